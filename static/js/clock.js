// Times in local time: clocks that tick, ages that grow, countdowns, exact times on hover.
//   <time data-clock>          14:03:22.123, with the date before it when that is not today
//   <time data-full>           2026-11-24 14:03:22.123 and the zone
//   <time data-relative>       5 min ago
//   <time data-elapsed-since>  2:14, counting up      <time data-countdown-to>  in 0:12, down
// app/pages/times.py writes the same forms in UTC for pages without scripts.

const TICKING = "time[data-relative], time[data-elapsed-since], time[data-countdown-to]";
const STILL = "time[data-clock], time[data-full]";
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
const skew = measureSkew();

// How far this machine's clock is ahead of the server's, when that is enough to be seen.
function measureSkew() {
  const served = Date.parse(document.documentElement.dataset.now);
  const [page] = performance.getEntriesByType("navigation");
  if (!page || Number.isNaN(served) || page.type === "back_forward") return 0;
  const ahead = performance.timeOrigin + page.responseStart - served;
  return Math.abs(ahead) > 1500 ? ahead : 0;
}

const two = (n) => String(n).padStart(2, "0");

function clock(moment) {
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  return `${time}.${String(moment.getMilliseconds()).padStart(3, "0")}`;
}

function withDay(moment) {
  const now = new Date();
  if (moment.toDateString() === now.toDateString()) return clock(moment);
  const year = moment.getFullYear() === now.getFullYear() ? "" : `${moment.getFullYear()} `;
  return `${year}${MONTHS[moment.getMonth()]} ${two(moment.getDate())} ${clock(moment)}`;
}

export function full(moment) {
  const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  const name = zone.formatToParts(moment).find((part) => part.type === "timeZoneName")?.value;
  return `${day} ${clock(moment)} ${name ?? ""}`.trim();
}

function coarse(seconds) {
  for (const [size, unit] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

function relative(seconds) {
  if (Math.abs(seconds) < 3) return "just now";
  return seconds > 0 ? `${coarse(seconds)} ago` : `in ${coarse(-seconds)}`;
}

export function elapsed(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor((whole % 86400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days) return `${days}d ${two(hours)}:${two(minutes)}:${two(whole % 60)}`;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function text(element, now) {
  const age = (now - Date.parse(element.dateTime)) / 1000;
  if ("elapsedSince" in element.dataset) return elapsed(age);
  if ("countdownTo" in element.dataset) return age >= 0 ? "due now" : `in ${elapsed(1 - age)}`;
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

function localise(scope) {
  for (const element of scope.querySelectorAll(STILL)) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const value = "full" in element.dataset ? full(moment) : withDay(moment);
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
  localise(document);
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
