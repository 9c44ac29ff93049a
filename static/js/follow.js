// Lists that follow at once: [data-follow="alert.*"] is refreshed as soon as such an event is
// recorded, in every window that shows it. Its data-refresh interval stays, for what time brings.
// data-follow-rest="2000" is how long at least between two refreshes of a flood, and
// data-follow-subject the only subject of interest.

const SOON_MS = 100;
const REST_MS = 500;
const AGAIN_MS = 1000; // the handler may come to the event after it was recorded
const FIRST_DELAY_MS = 500;
const MOST_DELAY_MS = 8000;

class Follower {
  #element;
  #after = null;
  #delay = FIRST_DELAY_MS;
  #timer = null;
  #again = null;
  #refreshed = -Infinity;
  #waitsFor = null;

  constructor(element) {
    this.#element = element;
    this.#connect();
    document.addEventListener("visibilitychange", () => this.#refresh());
  }

  #connect() {
    const url = new URL("/api/stream", location.href.replace(/^http/, "ws"));
    url.searchParams.set("type", this.#element.dataset.follow);
    if (this.#after !== null) url.searchParams.set("after", this.#after);
    const socket = new WebSocket(url);
    socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)));
    socket.addEventListener("close", () => this.#retry());
  }

  #hear({ events, sequence }) {
    this.#delay = FIRST_DELAY_MS;
    if (sequence !== undefined) this.#after = sequence;
    const { followSubject, followRest } = this.#element.dataset;
    if (!events?.some(({ subject }) => !followSubject || subject === followSubject)) return;
    const rest = Number(followRest ?? REST_MS);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#refreshed = performance.now();
      this.#refresh();
    }, Math.max(SOON_MS, this.#refreshed + rest - performance.now()));
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#refresh(), AGAIN_MS);
  }

  // A menu that is open would be closed by it: then as soon as it is closed.
  #refresh() {
    if (this.#waitsFor?.open) return;
    this.#waitsFor = this.#element.querySelector("details[open]");
    if (this.#waitsFor) this.#waitsFor.addEventListener("toggle", () => this.#refresh(), { once: true });
    else this.#element.dispatchEvent(new CustomEvent("refresh:now"));
  }

  // A log that was replaced refuses the position: then it goes on from now, with a refresh.
  #retry() {
    if (this.#delay > FIRST_DELAY_MS) this.#after = null;
    setTimeout(() => {
      this.#connect();
      this.#refresh();
    }, this.#delay);
    this.#delay = Math.min(2 * this.#delay, MOST_DELAY_MS);
  }
}

export function start() {
  for (const element of document.querySelectorAll("[data-follow]")) new Follower(element);
}
