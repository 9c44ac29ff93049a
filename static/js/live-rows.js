// The rows of the stream: merging folds, opening them, letting the oldest go, notes between rows.

const MOST_ROWS = 300;

export const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
export const events = (count) => (count === 1 ? "1 event" : `${number(count)} events`);

export class Rows {
  #root;
  #list;
  #template;

  constructor(root) {
    this.#root = root;
    this.#list = root.querySelector("#stream-rows");
    this.#template = document.getElementById("note-template");
    this.#list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-unfold]");
      if (button) this.#toggle(button.closest("li"), button);
    });
  }

  get element() {
    return this.#list;
  }

  // What the server rendered, the oldest part first: rows, or the partial that htmx would swap in.
  // They hold nothing of htmx's, so they are put on top as they are, and all at once.
  insert(parts) {
    const holder = document.createElement("template");
    holder.innerHTML = [...parts].reverse().join(""); // rendered and escaped by the same partial as every other row
    const coming = new Map();
    for (const fold of [...holder.content.querySelectorAll("li.fold")].reverse()) {
      if (!merge(coming.get(fold.id), fold)) coming.set(fold.id, fold);
    }
    for (const fold of coming.values()) merge(document.getElementById(fold.id), fold);
    this.#list.prepend(...holder.content.querySelectorAll("li"));
    this.#trim();
  }

  // No more rows than can be looked through.
  #trim() {
    const last = this.#list.children[MOST_ROWS];
    if (!last) return;
    const old = document.createRange();
    old.setStartBefore(last);
    old.setEndAfter(this.#list.lastChild);
    old.deleteContents();
  }

  // A line of the page's own, so that the stream explains itself.
  note(text) {
    const note = this.#template.content.cloneNode(true);
    note.querySelector("[data-note-text]").textContent = text;
    this.#list.prepend(note);
  }

  async #toggle(fold, button) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) {
      for (const row of fold.unfolded ?? []) row.remove();
      fold.unfolded = [];
      return;
    }
    const { type, first, last } = fold.dataset;
    const html = await fetchRows(type, Number(first) - 1, last);
    if (html === null) button.setAttribute("aria-expanded", "false");
    if (button.getAttribute("aria-expanded") === "false") return; // or closed again meanwhile
    const holder = document.createElement("template");
    holder.innerHTML = html; // rendered and escaped by the same partial as every other row
    // Events of this type may stand in the list as rows of their own, from a calmer moment.
    fold.unfolded = [...holder.content.children].filter((row) => !row.id || !document.getElementById(row.id));
    for (const row of fold.unfolded) row.classList.add("unfolded");
    fold.after(...fold.unfolded);
  }
}

// What one view sent in several ticks of a second becomes one line, which stays in its place. One
// that is unfolded is let be. Whether `fold` went into another.
function merge(older, fold) {
  if (!older || older.querySelector("[aria-expanded=true]")) return false;
  const count = Number(older.dataset.count) + Number(fold.dataset.count);
  const first = Math.min(older.dataset.first, fold.dataset.first);
  const last = Math.max(older.dataset.last, fold.dataset.last);
  Object.assign(older.dataset, { count, first, last });
  write(older, "[data-fold-count]", number(count));
  write(older, "[data-fold-first]", first);
  write(older, "[data-fold-last]", last);
  fold.remove();
  return true;
}

function write(row, selector, text) {
  for (const element of row.querySelectorAll(selector)) element.firstChild.data = text;
}

// The rows of `type` after one sequence up to another, newest first; null when that failed.
export async function fetchRows(type, after, upto) {
  const query = new URLSearchParams({ type, after, upto });
  try {
    const response = await fetch(`/live/rows?${query}`, { credentials: "same-origin" });
    return response.ok ? await response.text() : null;
  } catch {
    return null; // the network is away; who asked says so
  }
}
