// The dot of the connection lights up when something comes. An animation without an end would keep
// every machine that has the page open busy, sixty times a second, also when nothing happens.

const BEAT_MS = 900;
const REST_MS = 2400;

export class Beat {
  #dot;
  #at = -Infinity;

  constructor(dot) {
    this.#dot = dot;
  }

  strike() {
    const now = performance.now();
    if (now < this.#at + REST_MS || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.#at = now;
    const how = { duration: BEAT_MS, easing: "ease-out", pseudoElement: "::after" };
    this.#dot.animate({ opacity: [0.35, 0] }, how);
  }
}
