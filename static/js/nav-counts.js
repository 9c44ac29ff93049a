// Keeps the numbers in the navigation equal to what the page itself shows, in [data-counts].

const SOURCES = { alerts: "open_alerts", retries: "dead_letters" };

function follow(counters) {
  for (const [place, name] of Object.entries(SOURCES)) {
    const count = counters
      .querySelector(`[data-counter="${name}"]`)
      ?.textContent.replace(/\D/g, "");
    const badge = document.querySelector(`[data-nav-count="${place}"]`);
    if (!badge || count === undefined) continue;
    badge.hidden = Number(count) === 0;
    badge.textContent = Number(count) > 99 ? "99+" : count;
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
