// Walking through a list: j and k from anywhere, arrows, Home and End once a row has the focus.

// A row is the link that stands for a line, or what unfolds it; Enter does either, as anywhere.
const ROWS = ".row-link, .row-main, .chain-what > a";
const WAYS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

export function step(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => row.checkVisibility());
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

// Back from what a row led to, one is at that row again. Not on the live page: there it would hold
// the stream.
function remember({ target }) {
  const href = target.closest?.(ROWS)?.getAttribute("href");
  if (href) history.replaceState({ ...history.state, row: href }, "");
}

function comeBack() {
  const href = history.state?.row;
  if (!href || document.getElementById("live")) return;
  const row = [...document.querySelectorAll(ROWS)].find((each) => each.getAttribute("href") === href);
  row?.focus({ preventScroll: true });
}

export function start() {
  comeBack();
  document.addEventListener("click", remember);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (!(event.key in WAYS) || !event.target.matches?.(ROWS)) return;
    event.preventDefault();
    step(WAYS[event.key]);
  });
}
