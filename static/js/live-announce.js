// Tells a screen reader what happens in the stream: whole sentences, never one per row.

const EVERY_MS = 10000;

export class Announcer {
  #region;
  #sentence = "";
  #events = 0;
  #timer = null;
  #quietUntil = 0;

  constructor(region) {
    this.#region = region;
  }

  // Something that stands for itself, such as a lost connection; the newest one counts.
  say(sentence) {
    this.#sentence = sentence;
    this.#plan();
  }

  // New events, to be summed up.
  count(events) {
    this.#events += events;
    if (events) this.#plan();
  }

  #plan() {
    this.#timer ??= setTimeout(() => this.#speak(), Math.max(500, this.#quietUntil - Date.now()));
  }

  #speak() {
    const said = [];
    if (this.#sentence) said.push(this.#sentence);
    if (this.#events) said.push(this.#events === 1 ? "1 new event." : `${this.#events} new events.`);
    this.#region.textContent = said.join(" ");
    this.#sentence = "";
    this.#events = 0;
    this.#timer = null;
    this.#quietUntil = Date.now() + EVERY_MS;
  }
}
