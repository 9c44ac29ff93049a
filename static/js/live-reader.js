// Whether somebody is reading the rows right now, so that none may move under their eyes: no new
// ones come in then, and what comes or goes above the list (an alert) is made up for by scrolling.

const SCROLLED_PX = 8;

export class Reader {
  onFree = () => {};

  #list;
  #scroller;
  #isPointing = false;
  #isFocused = false;
  #pointer = [-1, -1]; // where it was last seen
  #hasLeft = false; // the rows came under a pointer that has not moved since
  #isScrolled = false; // as of the last scroll event: to measure at each message would cost a layout
  #top;
  #shift = 0; // pixels scrolled to keep rows in place, which is nobody's reading
  #room = 0; // pixels above the first row, where scrolling could not keep them in place

  // `list` holds the rows; `scroller` around it scrolls on wide screens, else the page does.
  // `above` are the elements whose height moves the list.
  constructor(list, scroller, above) {
    this.#list = list;
    this.#scroller = scroller;
    this.#top = this.#place();
    const free = () => {
      if (this.isBusy) return;
      this.#settle();
      this.onFree();
    };
    list.addEventListener("pointerenter", (event) => {
      if (!this.#hasLeft) this.#isPointing = event.pointerType !== "touch"; // no finger stays behind
    });
    list.addEventListener("pointermove", (event) => {
      const [x, y] = this.#pointer;
      if (!this.#hasLeft || (event.clientX === x && event.clientY === y)) return;
      this.#hasLeft = false;
      this.#isPointing = event.pointerType !== "touch";
    });
    list.addEventListener("pointerleave", () => {
      this.#isPointing = this.#hasLeft = false;
      free();
    });
    window.addEventListener("pointermove", (event) => {
      this.#pointer = [event.clientX, event.clientY];
    });
    list.addEventListener("focusin", (event) => {
      this.#isFocused = event.target.matches(":focus-visible");
    });
    list.addEventListener("focusout", () => {
      this.#isFocused = false;
      free();
    });
    const measure = () => {
      this.#isScrolled = this.#measure() - this.#shift > SCROLLED_PX;
      free();
    };
    scroller.addEventListener("scroll", measure, { passive: true });
    window.addEventListener("scroll", measure, { passive: true });
    window.addEventListener("resize", measure);
    // Called after layout and before paint: nobody sees the rows in between. What comes and goes at
    // once is looked at at once, or the pointer would be told meanwhile that it is over something else.
    const keepStill = () => this.#keepStill();
    const sizes = new ResizeObserver(keepStill);
    const items = new MutationObserver(keepStill);
    for (const element of above) {
      sizes.observe(element);
      if (element.matches(".alarms")) items.observe(element, { childList: true });
    }
  }

  get isBusy() {
    return this.#isPointing || this.#isFocused || this.#isScrolled;
  }

  // A button above the rows was used: what it moves under the pointer is not being read.
  rest() {
    this.#isPointing = false;
    this.#hasLeft = true;
  }

  // Go to the newest row and stop reading, as far as that is ours to say.
  leave() {
    this.rest();
    this.#isFocused = false;
    this.#settle();
    this.#scroller.scrollTop = 0;
    if (this.#measure() > SCROLLED_PX) this.#scroller.scrollIntoView({ block: "start" });
    this.#isScrolled = false;
  }

  get #isBox() {
    return getComputedStyle(this.#scroller).overflowY !== "visible";
  }

  // How many pixels of the rows are out of sight above.
  #measure() {
    return this.#isBox ? this.#scroller.scrollTop : -this.#scroller.getBoundingClientRect().top;
  }

  // Where the box of the rows begins, wherever the page is scrolled to.
  #place() {
    return this.#scroller.getBoundingClientRect().top + window.scrollY;
  }

  #keepStill() {
    const by = this.#place() - this.#top;
    this.#top += by;
    if (!by || !this.isBusy) return;
    if (!this.#isBox) {
      window.scrollBy({ top: by, behavior: "instant" });
      return;
    }
    const before = this.#scroller.scrollTop;
    const fromRoom = by > 0 ? Math.min(this.#room, by) : 0;
    this.#scroller.scrollTop += by - fromRoom;
    const scrolled = this.#scroller.scrollTop - before;
    this.#shift = Math.max(0, this.#shift + scrolled);
    this.#setRoom(by > 0 ? this.#room - fromRoom : this.#room - (by - scrolled));
  }

  #settle() {
    if (this.#room) this.#setRoom(0);
    if (this.#shift) this.#scroller.scrollTop -= this.#shift;
    this.#shift = 0;
  }

  #setRoom(pixels) {
    this.#room = pixels;
    this.#list.style.paddingTop = pixels ? `${pixels}px` : "";
  }
}
