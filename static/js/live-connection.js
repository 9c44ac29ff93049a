// The connection: where it would go on after a break, and what the header says about it.

import { Beat } from "./live-beat.js";
import { events, number } from "./live-rows.js";
import { parsed } from "./live-stream.js";

const FIRST_DELAY_MS = 300;
const MOST_DELAY_MS = 3000;
const JITTER = 0.3; // so that all browsers do not come back in the same instant
const NEWS_MS = 6000;
const PROBE_AFTER = 3;
// Beside hx-ws's own: 1000 is how it leaves a page that "back" may revive, and 1008 how the server
// ends a connection whose pings went unanswered, as those of a sleeping laptop do.
const RECONNECT_CODES = [1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 1014];

export class Connection {
  onHello = () => {};

  #root;
  #state;
  #text;
  #announcer;
  #boot;
  #connection = null;
  #isFirst = true;
  #held = "";
  #news = null; // [state, text, how many events were folded] that is shown for a while
  #newsTimer = null;
  #timer = null;
  #beat = new Beat(document.querySelector("#connection .connection-dot"));

  constructor(root, announcer) {
    this.#root = root;
    this.#announcer = announcer;
    this.#boot = root.dataset.boot;
    this.#state = document.getElementById("connection");
    this.#text = document.getElementById("connection-text");
    root.addEventListener("htmx:ws:before:connection", ({ detail }) => this.#prepare(detail.connection));
    root.addEventListener("htmx:ws:before:message:incoming", ({ detail }) => this.#hear(detail));
    root.addEventListener("htmx:ws:close", ({ detail }) => this.#lose(detail));
  }

  // The page is complete up to `sequence`: a new connection, on whichever way it comes about, goes
  // on there. hx-ws takes the URL as it is when the tab comes back to the foreground.
  remember(sequence) {
    if (!this.#connection) return;
    const url = new URL(this.#connection.url);
    url.searchParams.set("after", sequence);
    url.searchParams.set("boot", this.#boot);
    this.#connection.url = url.href;
  }

  // What the stream holds back, or "" for nothing.
  hold(text) {
    this.#held = text;
    if (this.#state.dataset.state !== "reconnecting" && this.#state.dataset.state !== "offline") this.#rest();
  }

  #prepare(connection) {
    this.#connection = connection;
    connection.config.reconnectCodes = RECONNECT_CODES;
  }

  #hear({ connection, message }) {
    this.#connection = connection;
    const value = parsed(message);
    this.#beat.strike();
    if (value.kind === "hello") this.#greet(value);
    if (value.kind === "behind") this.#sum(value.skipped);
  }

  #greet(hello) {
    clearInterval(this.#timer);
    this.#boot = hello.boot;
    const { filled, restarted, removed_upto: removed } = hello;
    const found = filled?.count ? `filled #${filled.from}–#${filled.to}` : removed ? "nothing left" : "nothing missed";
    const gap = removed ? `${found}, some up to #${removed} removed by retention` : found;
    this.#state.dataset.state = "live";
    if (restarted) this.#tell("restarted", `server restarted, ${gap}`);
    else if (!this.#isFirst) this.#tell("filled", `reconnected, ${gap}`);
    else this.#rest();
    if (!this.#isFirst) this.#announcer.say(`Connected again, ${events(filled?.count ?? 0)} filled in.`);
    this.#isFirst = false;
    this.onHello(hello);
  }

  // More came at once than the list holds: of a gap that was just filled, or of a slow browser.
  #sum(skipped) {
    const [state, text, folded] = this.#news ?? ["behind", "caught up", 0];
    this.#tell(state, text, folded + skipped);
  }

  #lose({ connection, reason, code }) {
    if (reason !== "closed" || document.hidden) return;
    this.#news = null;
    this.#isFirst = false;
    if (!connection.config.reconnect) return; // said already
    if (!RECONNECT_CODES.includes(code)) return this.#show("offline", `closed (${code}), reload the page`);
    if (connection.attempt === 0) this.#announcer.say("Connection lost, reconnecting.");
    if (connection.attempt >= PROBE_AFTER) this.#probe();
    const delay = Math.min(FIRST_DELAY_MS * 2 ** connection.attempt, MOST_DELAY_MS);
    this.#countDown(connection, delay * (1 + JITTER * (2 * Math.random() - 1)));
  }

  // hx-ws computes its next delay right after this from the config: so it takes the one shown.
  #countDown(connection, delay) {
    Object.assign(connection.config, { reconnectDelay: delay, reconnectMaxDelay: delay, reconnectJitter: 0 });
    const end = performance.now() + delay;
    const show = () => {
      const left = Math.ceil((end - performance.now()) / 1000);
      this.#show("reconnecting", left > 0 ? `reconnecting in ${left} s` : "reconnecting");
    };
    clearInterval(this.#timer);
    this.#timer = setInterval(show, 500);
    show();
  }

  // A refused handshake looks like a network error; a request can tell why.
  async #probe() {
    const after = new URL(this.#connection.url).searchParams.get("after");
    try {
      const { status } = await fetch(`/live/rows?after=${after}&upto=${after}`);
      if (status === 401) location.reload(); // which leads to the login, and from there back
      if (status !== 400) return;
    } catch {
      return; // away, as was known
    }
    clearInterval(this.#timer);
    this.#connection.config.reconnect = false;
    this.#show("offline", "the log was replaced, reload the page");
  }

  #tell(state, text, folded = 0) {
    this.#news = [state, text, folded];
    clearTimeout(this.#newsTimer);
    this.#newsTimer = setTimeout(() => {
      this.#news = null;
      if (!["reconnecting", "offline"].includes(this.#state.dataset.state)) this.#rest();
    }, NEWS_MS);
    this.#rest();
  }

  #rest() {
    if (this.#state.dataset.state === "connecting" && this.#isFirst) return;
    const [state, text, folded] = this.#news ?? [];
    if (state) this.#show(state, folded ? `${text}, ${number(folded)} folded` : text);
    else if (this.#held) this.#show(this.#held.startsWith("paused") ? "paused" : "behind", this.#held);
    else this.#show("live", "live");
  }

  #show(state, text) {
    if (this.#state.dataset.state !== state) this.#state.dataset.state = state;
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}
