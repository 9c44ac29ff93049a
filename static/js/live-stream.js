// The stream: rows come in at the top, unless somebody reads. Then they wait in the log.

import { Reader } from "./live-reader.js";
import { events, fetchRows, number } from "./live-rows.js";

export class Stream {
  onProgress = () => {};
  onHold = () => {};

  #rows;
  #announcer;
  #reader;
  #pattern;
  #pause;
  #chip;
  #seen; // the stream is complete up to here, in the list or in what waits
  #shown; // the list is complete up to here
  #waiting = 0; // events between the two
  #isFilling = false;

  constructor(root, rows, announcer) {
    this.#rows = rows;
    this.#announcer = announcer;
    this.#pattern = root.dataset.pattern || "#";
    this.#pause = root.querySelector("#pause");
    this.#chip = root.querySelector("#new-rows");
    this.#seen = this.#shown = Number(root.dataset.sequence);
    const above = root.querySelectorAll("[data-above-rows]");
    this.#reader = new Reader(rows.element, root.querySelector("#stream"), above);
    this.#reader.onFree = () => this.#release();
    root.addEventListener("htmx:ws:before:message:incoming", (event) => this.#arrive(event));
    root.addEventListener("htmx:ws:after:message:incoming", (event) => this.#settle(event));
    this.#pause.addEventListener("click", () => {
      this.#reader.rest();
      this.#setPaused(!this.#isPaused);
    });
    this.#chip.addEventListener("click", () => {
      this.#reader.leave();
      this.#setPaused(false);
    });
  }

  // The first message of a connection: says in the list where it was cut.
  greet({ filled, restarted, removed_upto: removed }) {
    if ((!filled?.count && !removed) || this.#isHeld) return;
    const why = restarted ? "server restarted" : "reconnected";
    const gone = removed ? `; of older ones, up to #${removed}, some were removed by retention` : "";
    this.#rows.note(`${why}, filled #${filled.from}–#${filled.to}: ${events(filled.count)}${gone}`);
  }

  get #isPaused() {
    return this.#pause.getAttribute("aria-pressed") === "true";
  }

  get #isHeld() {
    return this.#isPaused || this.#isFilling || this.#reader.isBusy;
  }

  #arrive({ detail }) {
    const message = parsed(detail.message);
    if (message.kind !== "rows" && message.kind !== "behind") return;
    this.#announcer.count(message.count);
    if (!this.#isHeld) return;
    detail.cancelled = true;
    this.#waiting += message.count;
    this.#advance(message.sequence);
  }

  #settle({ detail }) {
    const message = parsed(detail.message);
    if (message.kind !== "rows" && message.kind !== "behind") return;
    if (message.count) this.#rows.tidy();
    this.#shown = message.sequence;
    this.#advance(message.sequence);
  }

  #advance(sequence) {
    this.#seen = sequence;
    if (!this.#waiting && !this.#isFilling) this.#shown = sequence;
    this.onProgress(sequence);
    this.#report();
  }

  // Nobody reads any more: fill what waits, then let the socket go on.
  async #release() {
    this.#report();
    if (this.#isHeld) return;
    this.#isFilling = true;
    while (this.#shown < this.#seen) {
      const upto = this.#seen;
      const counted = this.#waiting;
      const html = await fetchRows(this.#pattern, this.#shown, upto);
      if (this.#isPaused || this.#reader.isBusy) break;
      if (html === null) {
        this.#setPaused(true); // nothing is lost: resuming asks for it again
        break;
      }
      await this.#rows.insert(html);
      this.#shown = upto;
      this.#waiting -= counted;
    }
    this.#isFilling = false;
    this.#report();
  }

  #setPaused(isPaused) {
    this.#pause.setAttribute("aria-pressed", String(isPaused));
    this.#pause.querySelector("[data-label]").textContent = isPaused ? "Resume" : "Pause";
    this.#release();
  }

  #report() {
    const isWaiting = this.#waiting > 0;
    const count = number(this.#waiting);
    this.#chip.hidden = !isWaiting;
    if (isWaiting) this.#chip.querySelector("[data-label]").textContent = `+${count} new`;
    const behind = isWaiting ? `${count} behind` : "";
    if (!this.#isPaused) this.onHold(behind);
    else this.onHold(isWaiting ? `paused, +${count}` : "paused");
  }
}

// The message as an object, parsed once for everybody: hx-ws asks for it again.
export function parsed(message) {
  if (!message.parsed) {
    const value = JSON.parse(message.data);
    message.parsed = value;
    message.json = () => Promise.resolve(value);
  }
  return message.parsed;
}
