// Times in local time: clocks that tick, ages that grow, countdowns, exact times on hover.
//   <time data-clock>          14:03:22.123, with the date before it when that is not today
//   <time data-full>           2026-11-24 14:03:22.123 and the zone
//   <time data-relative>       5 min ago
//   <time data-elapsed-since>  2:14, counting up      <time data-countdown-to>  in 0:12, down
// Whoever chose exact times or UTC (times-switch.js) reads the moment in the last three instead.

import { clock, elapsed, full, relative, way } from "./time-forms.js";

const TICKING = "time[data-relative], time[data-elapsed-since], time[data-countdown-to]";
const STILL = "time[data-clock], time[data-full]";
const skew = measureSkew();

// How far this machine's clock is ahead of the server's, when that is enough to be seen.
function measureSkew() {
  const served = Date.parse(document.documentElement.dataset.now);
  const [page] = performance.getEntriesByType("navigation");
  if (!page || Number.isNaN(served) || page.type === "back_forward") return 0;
  const ahead = performance.timeOrigin + page.responseStart - served;
  return Math.abs(ahead) > 1500 ? ahead : 0;
}

function text(element, now) {
  const isSince = "elapsedSince" in element.dataset;
  const isUntil = "countdownTo" in element.dataset;
  const moment = new Date(element.dateTime);
  if (way() !== "relative" && !Number.isNaN(moment.getTime())) {
    return `${isSince ? "since " : isUntil ? "at " : ""}${clock(moment, false)}`;
  }
  const age = (now - moment) / 1000;
  if (isSince) return elapsed(age);
  if (isUntil) return age >= 0 ? "due now" : `in ${elapsed(1 - age)}`;
  return relative(age);
}

// A page of the past counts up to its own time, which stands still.
function present() {
  const past = Date.parse(document.documentElement.dataset.at);
  return Number.isNaN(past) ? Date.now() - skew : past;
}

export function tick(scope = document) {
  const now = present();
  for (const element of scope.querySelectorAll(TICKING)) {
    const value = text(element, now);
    if (element.textContent !== value) element.textContent = value;
  }
}

export function localise(scope = document) {
  for (const element of scope.querySelectorAll(STILL)) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const value = "full" in element.dataset ? full(moment) : clock(moment);
    if (element.textContent !== value) element.textContent = value;
  }
  tick(scope);
}

function nameExactTime(event) {
  const element = event.target.closest?.("time[datetime]");
  const moment = new Date(element?.dateTime);
  if (!element || Number.isNaN(moment.getTime())) return;
  element.title = `${full(moment)}\n${element.dateTime}`;
}

export function start() {
  localise();
  // New content is put right before it is painted: observers run ahead of the next frame.
  new MutationObserver((records) => {
    for (const { type, target, addedNodes } of records) {
      // A morph puts the server's text or time into an element that stays.
      const kept = type !== "childList" && (target.parentElement ?? target).closest("time");
      if (kept) localise(kept.parentElement);
      for (const node of addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        localise(node.matches("time") ? (node.parentElement ?? node) : node);
      }
    }
  }).observe(document.body, {
    childList: true,
    subtree: true,
    characterData: true,
    attributeFilter: ["datetime"],
  });
  document.addEventListener("pointerover", nameExactTime);
  setInterval(() => {
    if (!document.hidden) tick();
  }, 1000);
  document.addEventListener("visibilitychange", () => tick());
}
