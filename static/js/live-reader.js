// Whether somebody is reading the rows right now, so that none may move under their eyes.

const SCROLLED_PX = 8;

export class Reader {
  onFree = () => {};

  #scroller;
  #isPointing = false;
  #isFocused = false;

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
    scroller.addEventListener("scroll", free, { passive: true });
    window.addEventListener("scroll", free, { passive: true });
  }

  get isBusy() {
    return this.#isPointing || this.#isFocused || this.#isScrolled;
  }

  // Go to the newest row and stop reading, as far as that is ours to say.
  leave() {
    this.#isPointing = this.#isFocused = false;
    this.#scroller.scrollTop = 0;
    if (this.#isScrolled) this.#scroller.scrollIntoView({ block: "start" });
  }

  get #isScrolled() {
    const box = this.#scroller;
    if (getComputedStyle(box).overflowY !== "visible") return box.scrollTop > SCROLLED_PX;
    return box.getBoundingClientRect().top < -SCROLLED_PX;
  }
}
