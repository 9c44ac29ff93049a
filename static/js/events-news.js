// What comes while one looks at the newest events: [data-news] is asked now and then, while the page
// is visible, how many there are, and says "+12 new". Pressed, it brings them in at the top, with
// their histogram, and nothing else of the page changes.

import { Announcer } from "./live-announce.js";
import { start as histogram } from "./histogram.js";

const EVERY_MS = 2000;
const MOST_MS = 30000; // while the server is away
const AGAIN_MS = 50; // there was more to look through
const MOST = 1000;
const RENEWED = ["found", "recorded"];

const chip = () => document.querySelector("[data-news]");

class News {
  #announcer;
  #count = 0;
  #every = EVERY_MS;
  #timer = null;
  #isAsking = false;

  constructor(region) {
    this.#announcer = new Announcer(region);
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("visibilitychange", () => this.#plan(0));
    this.#plan(this.#every);
  }

  #plan(after_ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), after_ms);
  }

  async #ask() {
    const asked = chip();
    if (document.hidden || this.#isAsking || !asked || this.#count >= MOST) return;
    this.#isAsking = true;
    let isAll = true;
    try {
      const { count, position, is_all } = await this.#fetch(asked);
      this.#every = EVERY_MS;
      if (asked.isConnected) {
        asked.dataset.position = position;
        this.#count = Math.min(this.#count + count, MOST);
        this.#show(asked);
        isAll = is_all;
      }
    } catch {
      this.#every = Math.min(2 * this.#every, MOST_MS); // what was counted stays
    }
    this.#isAsking = false;
    this.#plan(isAll ? this.#every : AGAIN_MS);
  }

  async #fetch({ dataset: { news, position } }) {
    const url = new URL(news, location.href);
    url.searchParams.set("after", position);
    const response = await fetch(url);
    if (response.status === 204) return { count: 0, position, is_all: true };
    if (!response.ok) throw new Error(response.statusText);
    return response.json();
  }

  #show(asked) {
    if (!this.#count) return;
    const label = this.#count < MOST ? `+${this.#count} new` : `${MOST - 1}+ new`;
    asked.querySelector("[data-label]").textContent = label;
    if (!asked.hidden) return;
    asked.hidden = false;
    this.#announcer.say("New events match.");
  }

  #click(event) {
    const pressed = event.target.closest("[data-news]");
    if (!pressed || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (pressed.ariaBusy) return;
    pressed.ariaBusy = "true";
    bringIn(pressed.href)
      .then(() => (this.#count = 0))
      .catch(() => location.assign(pressed.href))
      .finally(() => this.#plan(EVERY_MS));
  }
}

async function bringIn(href) {
  const response = await fetch(href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const renewed = RENEWED.map((id) => [document.getElementById(id), page.getElementById(id)]);
  if (!renewed.every(([, now]) => now)) throw new Error("not the page that was asked for");
  const known = new Set([...document.querySelectorAll("#found .row")].map(({ id }) => id));
  for (const [was, now] of renewed) was.replaceWith(now);
  histogram();
  const rows = [...document.querySelectorAll("#found .row")];
  const isSame = ({ id }) => known.has(id);
  if (rows.some(isSame)) for (const row of rows) row.toggleAttribute("data-fresh", !isSame(row));
  // Who read far below sees what was asked for; else nothing scrolls.
  const first = rows[0]?.querySelector(".row-link");
  first?.focus({ preventScroll: true });
  if (first?.getBoundingClientRect().top < document.querySelector(".topbar").offsetHeight)
    first.closest(".panel").scrollIntoView({ block: "start" });
}

const region = document.querySelector("[data-news-said]");
if (region) new News(region);
