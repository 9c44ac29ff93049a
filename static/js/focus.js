// The focus stays where one works: a button that did its work is often gone with what it changed,
// and then the focus goes to what stands in its place, never to the top of the page.

const KEY = "focus-after-reload";
const CONTROLS = "button:not(:disabled), .row-link, .row-main, a[href], summary";
const ROW = "li[id], tr[id]";

function rowsOf(row) {
  return [...row.parentElement.children].filter((each) => each.matches(ROW));
}

// What an element is found again by.
function place(element) {
  const row = element.closest(ROW);
  return {
    id: element.id,
    row: row?.id,
    list: row?.parentElement.closest("[id]")?.id,
    index: row ? rowsOf(row).indexOf(row) : 0,
    inActions: element.closest(".actions") !== null,
  };
}

function controlIn(scope) {
  const controls = [...(scope?.querySelectorAll(CONTROLS) ?? [])].filter((each) => each.checkVisibility());
  return controls.find((each) => each.matches("button")) ?? controls[0];
}

function find({ id, row, list, index, inActions }) {
  const same = id && document.getElementById(id);
  if (same && !same.disabled && same.checkVisibility()) return same;
  const rows = [...(list ? document.getElementById(list)?.querySelectorAll(ROW) ?? [] : [])];
  return (
    controlIn(row && document.getElementById(row)) ??
    controlIn(rows[Math.min(index, rows.length - 1)]) ??
    (inActions ? controlIn(document.querySelector(".actions")) : null) ??
    document.querySelector("main")
  );
}

function restore(was) {
  const active = document.activeElement;
  if (!active || active === document.body || active.disabled) find(was)?.focus({ preventScroll: true });
}

export function start() {
  const places = new WeakMap(); // by the context of the request
  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    const active = document.activeElement;
    const target = ctx.target;
    if (target?.contains?.(active) && active !== target) places.set(ctx, place(active));
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    const was = places.get(ctx);
    if (was) setTimeout(() => restore(was)); // what was disabled meanwhile is enabled by then
  });
  try {
    overReload();
  } catch (error) {
    console.info("the focus is not kept over a reload", error); // this browser keeps no storage
  }
}

// A form that loads the page again; in a filter one goes on typing where one was.
function overReload() {
  const was = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  sessionStorage.removeItem(KEY);
  if (was?.path === location.pathname) {
    if (was.field) edit(was.field);
    else restore(was);
    document.activeElement.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("submit", ({ target, submitter }) => {
    const path = location.pathname;
    const field = target.contains(document.activeElement) && document.activeElement.name;
    if (target.method === "get" && field) {
      sessionStorage.setItem(KEY, JSON.stringify({ path, field }));
      return;
    }
    if (target.method !== "post" || target.hasAttribute("hx-post") || !submitter) return;
    sessionStorage.setItem(KEY, JSON.stringify({ path, ...place(submitter) }));
  });
}

function edit(name) {
  const field = document.querySelector(
    `form[method=get] [name="${CSS.escape(name)}"]:not([type=hidden])`,
  );
  field?.focus({ preventScroll: true });
  if (field?.selectionEnd != null) field.selectionStart = field.selectionEnd = field.value.length;
}
