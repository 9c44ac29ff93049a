// The dot of the connection lights up when something comes. An animation without an end would keep
// every machine that has the page open busy, sixty times a second, also when nothing happens.

const BEAT_MS = 900;
const REST_MS = 2400;
const MANY = 10; // in that time: then the rows move all along, and the dot says nothing that they do not

export class Beat {
  #dot;
  #at = -Infinity;
  #heard = 0;

  constructor(dot) {
    this.#dot = dot;
  }

  strike() {
    const now = performance.now();
    this.#heard += 1;
    if (now < this.#at + REST_MS) return;
    const isMany = this.#heard > MANY;
    this.#at = now;
    this.#heard = 0;
    if (isMany || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const how = { duration: BEAT_MS, easing: "ease-out", pseudoElement: "::after" };
    this.#dot.animate({ opacity: [0.35, 0] }, how);
  }
}
