// Back from an event to Events one is at its row, also when newer events have pushed it off the page
// that led to it: then the page that begins where that one did is shown, by its address. The event's
// link to Events leads back to the filter and the page that one came from.

const ROW = "#found .row";

function remember({ target }) {
  const row = target.closest?.(ROW);
  if (!row) return;
  const { sequence: top } = row.parentElement.querySelector(".row").dataset;
  history.replaceState({ ...history.state, place: { id: row.id, top } }, "");
}

// Whoever loads a page again wants what is there now.
function placeToFind() {
  const [page] = performance.getEntriesByType("navigation");
  if (page?.type === "reload") return null;
  const [, top] = location.hash.match(/^#e(\d{1,18})$/) ?? [];
  return history.state?.place ?? (top && { id: `e${top}`, top });
}

function comeBack() {
  const place = placeToFind();
  if (!place) return;
  const row = document.getElementById(place.id);
  if (row) {
    // Once the browser has gone to where one was, or to the row, which takes the focus from it.
    addEventListener("load", () => requestAnimationFrame(() => show(row)), { once: true });
    return;
  }
  const url = new URL(location.href);
  if (url.searchParams.get("at") === place.top) return;
  url.searchParams.delete("cursor");
  url.searchParams.set("at", place.top);
  url.hash = place.id;
  location.replace(url);
}

function show(row) {
  row.querySelector(".row-link").focus({ preventScroll: true });
  const { top, bottom } = row.getBoundingClientRect();
  const isSeen = top >= document.querySelector(".topbar").offsetHeight && bottom <= innerHeight;
  if (!isSeen) row.scrollIntoView({ block: "center" });
}

function leadBack(link) {
  const from = document.referrer ? new URL(document.referrer) : null;
  if (from?.origin === location.origin && from.pathname === "/events")
    link.href = `/events${from.search}#e${link.dataset.backFrom}`;
}

const link = document.querySelector("[data-back-from]");
if (link) {
  leadBack(link);
} else {
  document.addEventListener("click", remember);
  comeBack();
}
