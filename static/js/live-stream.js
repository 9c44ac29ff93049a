// The stream: rows come in at the top, unless somebody reads. Then they wait in the log.

import { Pace } from "./live-pace.js";
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
  #waiting = 0; // events between the two that are held back
  #coming = []; // messages between the two that come in with the next move of the list
  #pace = new Pace(() => this.#bringIn());
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
    this.#bringIn();
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
    if (message.kind === "panels") this.#pace.join();
    if (message.kind !== "rows" && message.kind !== "behind") return;
    detail.cancelled = true; // not htmx's to swap: it comes in below
    this.#announcer.count(message.count);
    if (message.count) this.#coming.push(message);
    if (this.#isHeld) this.#keep();
    else if (message.count) this.#pace.plan(message.content?.includes("data-sequence="));
    this.#seen = message.sequence;
    if (!this.#waiting && !this.#coming.length && !this.#isFilling) this.#shown = this.#seen;
    this.onProgress(this.#seen);
    this.#report();
  }

  #bringIn() {
    this.#pace.clear();
    if (!this.#coming.length) return;
    if (this.#isHeld) {
      this.#keep();
      this.#report();
      return;
    }
    const messages = this.#coming.splice(0);
    this.#rows.insert(messages.map(({ content }) => content ?? ""));
    this.#shown = messages.at(-1).sequence;
    this.#pace.moved();
  }

  // Somebody reads: what has come is only counted, and read from the log later.
  #keep() {
    for (const { count } of this.#coming.splice(0)) this.#waiting += count;
  }

  // Nobody reads any more: fill what waits, then let the socket go on.
  async #release() {
    this.#report();
    if (this.#isHeld || !this.#waiting) return;
    this.#keep();
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
      this.#rows.insert([html]);
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
    // Written only when it changes: the same value again is a new style, and a frame, ten times a second.
    if (this.#chip.hidden === isWaiting) this.#chip.hidden = !isWaiting;
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
