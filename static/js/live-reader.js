// Whether somebody is reading the rows right now, so that none may move under their eyes.

const SCROLLED_PX = 8;

export class Reader {
  onFree = () => {};

  #scroller;
  #isPointing = false;
  #isFocused = false;
  #isScrolled = false; // as of the last scroll event: to measure at each message would cost a layout

  // `list` holds the rows; `scroller` around it scrolls on wide screens, else the page does.
  constructor(list, scroller) {
    this.#scroller = scroller;
    const free = () => this.isBusy || this.onFree();
    list.addEventListener("pointerenter", (event) => {
      this.#isPointing = event.pointerType !== "touch"; // a finger leaves no pointer behind
    });
    list.addEventListener("pointerleave", () => {
      this.#isPointing = false;
      free();
    });
    list.addEventListener("focusin", (event) => {
      this.#isFocused = event.target.matches(":focus-visible");
    });
    list.addEventListener("focusout", () => {
      this.#isFocused = false;
      free();
    });
    const measure = () => {
      this.#isScrolled = this.#measure() > SCROLLED_PX;
      free();
    };
    scroller.addEventListener("scroll", measure, { passive: true });
    window.addEventListener("scroll", measure, { passive: true });
    window.addEventListener("resize", measure);
  }

  get isBusy() {
    return this.#isPointing || this.#isFocused || this.#isScrolled;
  }

  // Go to the newest row and stop reading, as far as that is ours to say.
  leave() {
    this.#isPointing = this.#isFocused = false;
    this.#scroller.scrollTop = 0;
    if (this.#measure() > SCROLLED_PX) this.#scroller.scrollIntoView({ block: "start" });
    this.#isScrolled = false;
  }

  // How many pixels of the rows are out of sight above.
  #measure() {
    const box = this.#scroller;
    if (getComputedStyle(box).overflowY !== "visible") return box.scrollTop;
    return -box.getBoundingClientRect().top;
  }
}
