// Keeps the numbers in the navigation equal to what the page itself shows, in [data-counts].

import { showCount } from "./attention.js";

const SOURCES = { alerts: "open_alerts", retries: "inbox" };

function follow(counters) {
  for (const [place, name] of Object.entries(SOURCES)) {
    const count = counters
      .querySelector(`[data-counter="${name}"]`)
      ?.textContent.replace(/\D/g, "");
    if (count !== undefined) showCount(place, Number(count));
  }
}

export function start() {
  const counters = document.querySelector("[data-counts]");
  if (!counters) return;
  follow(counters);
  new MutationObserver(() => follow(counters)).observe(counters, {
    childList: true,
    subtree: true,
    characterData: true,
  });
}
