// How a moment reads: in this browser's zone or in UTC, as an age, as a clock that runs. Times are
// shown "relative" (5 min ago), "exact" or in "utc", as this browser was told (times-switch.js).
// app/pages/times.py writes the same forms in UTC for pages without scripts.

import { recall, remember } from "./remembered.js";

const KEY = "times";
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });

export const WAYS = ["relative", "exact", "utc"];
let chosen = WAYS.includes(recall(KEY, "")) ? recall(KEY, "") : WAYS[0];

export const way = () => chosen;

export function choose(wanted) {
  chosen = wanted;
  remember(KEY, wanted);
}

const two = (n) => String(n).padStart(2, "0");

// The parts of a moment in the zone that is shown.
function parts(moment) {
  const isUtc = chosen === "utc";
  const of = (name) => (isUtc ? moment[`getUTC${name}`]() : moment[`get${name}`]());
  return {
    year: of("FullYear"),
    month: of("Month"),
    day: two(of("Date")),
    time: `${two(of("Hours"))}:${two(of("Minutes"))}:${two(of("Seconds"))}`,
    fraction: `.${String(of("Milliseconds")).padStart(3, "0")}`,
    mark: isUtc ? "Z" : "",
  };
}

// 14:03:22.123, with the date before it when that is not today.
export function clock(moment, isFine = true) {
  const at = parts(moment);
  const now = parts(new Date());
  const time = `${at.time}${isFine ? at.fraction : ""}${at.mark}`;
  if (at.year === now.year && at.month === now.month && at.day === now.day) return time;
  return `${at.year === now.year ? "" : `${at.year} `}${MONTHS[at.month]} ${at.day} ${time}`;
}

// 2026-11-24 14:03:22.123 and the zone.
export function full(moment) {
  const at = parts(moment);
  const local = zone.formatToParts(moment).find((part) => part.type === "timeZoneName")?.value;
  const name = chosen === "utc" ? "UTC" : local;
  return `${at.year}-${two(at.month + 1)}-${at.day} ${at.time}${at.fraction} ${name ?? ""}`.trim();
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

// 5 min ago; `seconds` is the age.
export function relative(seconds) {
  if (Math.abs(seconds) < 3) return "just now";
  return seconds > 0 ? `${coarse(seconds)} ago` : `in ${coarse(-seconds)}`;
}

// 2:14
export function elapsed(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor((whole % 86400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days) return `${days}d ${two(hours)}:${two(minutes)}:${two(whole % 60)}`;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
