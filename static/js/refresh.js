// Lists that stay up to date: [data-refresh="4"] is fetched again every 4 s and morphed, while the
// page is visible and nothing in it is unfolded or typed into; at once on the event "refresh:now".

const TYPED = 'input:not([type="checkbox"]), textarea, select';

function isInUse(element) {
  const active = document.activeElement;
  const isTyping = element.contains(active) && active.matches(TYPED);
  return isTyping || element.querySelector("details[open]") !== null;
}

async function refresh(element) {
  if (document.hidden || !element.isConnected || isInUse(element)) return;
  await htmx.ajax("GET", location.pathname + location.search, {
    source: element,
    target: element,
    select: `#${CSS.escape(element.id)} > *`,
    swap: "innerMorph",
  });
}

// Whoever unfolds or types while the answer is under way keeps that; the next one brings the news.
function keepInUse(event) {
  const list = event.detail.ctx?.sourceElement;
  if (list?.matches?.("[data-refresh]") && isInUse(list)) event.preventDefault();
}

export function start() {
  document.addEventListener("htmx:before:swap", keepInUse);
  for (const element of document.querySelectorAll("[data-refresh]")) {
    const look = () =>
      refresh(element).catch((error) => console.info("the list could not be refreshed", error));
    setInterval(look, Number(element.dataset.refresh) * 1000);
    element.addEventListener("refresh:now", look);
  }
}
