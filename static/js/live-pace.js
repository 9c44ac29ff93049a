// How often the list moves: more cannot be followed, and each time costs a layout. The first move
// after a rest is made at once.

const ROWS_EVERY_MS = 200;
// Where all that comes are counts of a flood, the list moves with the panels beside it, in the same
// frame. These come twice a second then; for one that is late it waits no longer than this.
const COUNTS_EVERY_MS = 750;

export class Pace {
  #move;
  #timer = null;
  #due = Infinity;
  #movedAt = -Infinity;

  constructor(move) {
    this.#move = move;
  }

  // Something came in, with rows of its own or only counts.
  plan(hasRows) {
    const due = this.#movedAt + (hasRows ? ROWS_EVERY_MS : COUNTS_EVERY_MS);
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(this.#move, due - performance.now());
  }

  // The page is drawn anew anyhow.
  join() {
    if (this.#due < Infinity && performance.now() >= this.#movedAt + ROWS_EVERY_MS) this.#move();
  }

  // What was planned is done.
  clear() {
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }

  moved() {
    this.#movedAt = performance.now();
  }
}
