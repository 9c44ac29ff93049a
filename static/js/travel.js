// A page of the past: its range, its steps, its player; the address follows, so that it can be
// shared. Without script the bar's links and its form do the same.

import { tick } from "./clock.js";
import { Player } from "./travel-play.js";

const SETTLE_MS = 150;

class Traveller {
  #bar;
  #list;
  #range;
  #player;
  #place; // what the list says of itself
  #settling = null;
  #wanted = null; // the address to go to when the present one is there
  #isBusy = false;

  constructor(bar, list) {
    this.#bar = bar;
    this.#list = list;
    this.#range = bar.querySelector("[data-travel-range]");
    this.#player = new Player(
      bar.querySelector("[data-travel-play]"),
      () => ({ at: Date.parse(this.#place.at), last: Date.parse(this.#place.last) }),
      (ms, isEnd) => this.#frame(ms, isEnd),
    );
    this.#read();
    this.#range.hidden = false;
    this.#range.addEventListener("input", () => this.#scrub());
    bar.addEventListener("click", (event) => this.#step(event));
  }

  // What the list says of its place in time, into the bar.
  #read() {
    this.#place = { ...this.#list.querySelector("[data-moment]").dataset };
    const { at, first, last, position, end } = this.#place;
    document.documentElement.dataset.at = at;
    this.#range.min = Math.floor(Date.parse(first) / 1000) * 1000;
    this.#range.max = Math.ceil(Date.parse(last) / 1000) * 1000;
    this.#range.step = 1000;
    if (this.#settling === null) {
      this.#range.value = Date.parse(at);
      this.#show(at);
    }
    this.#bar.querySelector("#travel-place").textContent = `event #${position} of #${end}`;
    for (const link of this.#bar.querySelectorAll("[data-travel-step]")) {
      const [unit, way] = link.dataset.travelStep.split("-");
      const href = this.#place[unit + way[0].toUpperCase() + way.slice(1)];
      if (href) link.href = href;
      else link.removeAttribute("href");
      link.ariaDisabled = String(!href);
    }
    tick();
  }

  #show(iso) {
    const time = this.#bar.querySelector("#travel-full time");
    time.dateTime = iso;
    const local = Date.parse(iso) - new Date(iso).getTimezoneOffset() * 60_000;
    this.#bar.querySelector("[data-travel-field]").value = new Date(local).toISOString().slice(0, 19);
    this.#range.ariaValueText = new Date(iso).toLocaleString();
  }

  #href(ms) {
    const url = new URL(location.href);
    url.searchParams.set("at", new Date(ms).toISOString());
    url.searchParams.delete("cursor");
    return url.href;
  }

  #scrub() {
    this.#player.stop();
    this.#show(new Date(Number(this.#range.value)).toISOString());
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.#settling = null;
      this.#go(this.#href(Number(this.#range.value)));
    }, SETTLE_MS);
  }

  #step(event) {
    const link = event.target.closest("[data-travel-step]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.#player.stop();
    if (link.href) this.#go(link.href).then(() => this.#say(`As of ${new Date(this.#place.at).toLocaleString()}`));
  }

  #frame(ms, isEnd) {
    if (this.#isBusy) return; // the next one shows what this one would have
    if (isEnd) {
      this.#player.stop();
      this.#say("The end of the log is reached.");
    }
    this.#go(this.#href(ms));
  }

  #say(text) {
    this.#bar.querySelector("[data-travel-says]").textContent = text;
  }

  async #go(href) {
    this.#wanted = href;
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#wanted) {
      const url = this.#wanted;
      this.#wanted = null;
      await this.#load(url);
    }
    this.#isBusy = false;
  }

  async #load(url) {
    const answer = await fetch(url, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer?.ok) {
      location.assign(url); // the page says in full what is wrong
      return;
    }
    const list = this.#list;
    const text = await answer.text();
    const select = `#${list.id} > *`;
    await window.htmx.swap({ text, target: list, sourceElement: list, swap: "innerMorph", select });
    history.replaceState(null, "", url);
    document.title = new DOMParser().parseFromString(text, "text/html").title;
    this.#read();
  }
}

export function start() {
  const bar = document.querySelector("[data-travel]");
  const list = document.querySelector("[data-travel-target]");
  if (bar?.querySelector("[data-travel-range]") && list?.querySelector("[data-moment]")) new Traveller(bar, list);
}
