// What calls for a person, shown on every page: the numbers in the navigation, told to a screen
// reader too, and open critical alerts in title and icon, where one looks from another tab. Live has
// news of its own; the other pages ask now and then, also while nobody looks at them.

import { Announcer } from "./live-announce.js";

const PERIOD_MS = 15_000;
const ICONS = { calm: "/static/icons/favicon.svg", alert: "/static/icons/favicon-alert.svg" };
const SHOWN = 99;
const NOUNS = { alerts: ["open alert", "open alerts"], retries: ["failure in the inbox", "failures in the inbox"] };
const title = document.title.replace(/^\(\d+\+?\) /, "");

let announcer = null;

export const ALERT_ICON = ICONS.alert;

export function showCritical(count) {
  const wanted = count ? `(${count > SHOWN ? `${SHOWN}+` : count}) ${title}` : title;
  if (document.title !== wanted) document.title = wanted;
  const icon = document.querySelector("link[rel=icon]");
  const href = count ? ICONS.alert : ICONS.calm;
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}

export function showCount(place, count) {
  const badge = document.querySelector(`[data-nav-count="${place}"]`);
  if (!badge) return;
  const shown = count > SHOWN ? `${SHOWN}+` : String(count);
  if (badge.textContent.trim() === shown) return;
  badge.hidden = count === 0;
  badge.textContent = shown;
  announcer?.say(`${shown} ${NOUNS[place][count === 1 ? 0 : 1]}.`);
}

async function ask() {
  let found;
  try {
    const response = await fetch("/attention");
    if (!response.ok) return;
    found = await response.json();
  } catch {
    return; // the server is away: what was last known stays
  }
  showCritical(found.critical);
  showCount("alerts", found.alerts);
  showCount("retries", found.retries);
}

export function start() {
  if (document.getElementById("live") || document.body.classList.contains("in-past")) return;
  const region = document.createElement("p");
  region.className = "sr-only";
  region.ariaLive = "polite";
  document.body.append(region);
  announcer = new Announcer(region);
  setInterval(ask, PERIOD_MS);
  document.addEventListener("visibilitychange", () => document.hidden || ask());
}
