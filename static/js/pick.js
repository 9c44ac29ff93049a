// Picking rows of a list to do something with all of them: the form [data-pick="#list"] has the
// buttons, the list's checkboxes belong to it. What is picked stays picked when the list is morphed.

const SAID_MS = 6000;

class Picker {
  #form;
  #mine;
  #list;
  #all;
  #count;
  #said;
  #picked = new Set();
  #last = null;

  constructor(form) {
    this.#form = form;
    this.#mine = `input[type="checkbox"][form="${form.getAttribute("id")}"]`;
    this.#list = document.querySelector(form.dataset.pick);
    this.#all = form.querySelector("[data-pick-all]");
    this.#count = form.querySelector("[data-pick-count]");
    this.#said = form.querySelector("[data-pick-said]");
    this.#list.addEventListener("change", ({ target }) => {
      if (target.form === form) this.#pick(target);
    });
    this.#list.addEventListener("click", (event) => this.#range(event));
    this.#all?.addEventListener("change", () => {
      for (const box of this.#boxes) this.#set(box, this.#all.checked);
      this.#show();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    new MutationObserver(() => this.#restore()).observe(this.#list, { childList: true, subtree: true });
    this.#restore();
  }

  get #boxes() {
    return [...this.#list.querySelectorAll(this.#mine)];
  }

  #set(box, isPicked) {
    box.checked = isPicked;
    if (isPicked) this.#picked.add(box.value);
    else this.#picked.delete(box.value);
  }

  #pick(box) {
    this.#set(box, box.checked);
    this.#last = box.value;
    this.#show();
  }

  // Shift and a click pick everything up to there.
  #range(event) {
    const boxes = this.#boxes;
    const to = boxes.indexOf(event.target);
    const from = boxes.findIndex((box) => box.value === this.#last);
    if (!event.shiftKey || to < 0 || from < 0) return;
    for (const box of boxes.slice(Math.min(from, to), Math.max(from, to) + 1))
      this.#set(box, event.target.checked);
    this.#show();
  }

  #key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.#picked.size) {
      for (const box of this.#boxes) this.#set(box, false);
      this.#show();
    }
    const row = event.key === "x" && this.#list.contains(event.target) && event.target.closest("li, tr");
    const box = row && row.querySelector(this.#mine);
    if (!box) return;
    box.checked = !box.checked;
    this.#pick(box);
  }

  // After a morph: the same rows stay picked, those that are gone are not.
  #restore() {
    const boxes = this.#boxes;
    const shown = new Set(boxes.map((box) => box.value));
    for (const value of this.#picked) if (!shown.has(value)) this.#picked.delete(value);
    for (const box of boxes) box.checked = this.#picked.has(box.value);
    const said = this.#list.querySelector("[data-said]");
    if (said) {
      this.#say(said.textContent);
      said.remove();
      this.#picked.clear();
      for (const box of boxes) box.checked = false;
    }
    this.#show();
  }

  #say(text) {
    this.#said.textContent = text;
    setTimeout(() => this.#said.textContent === text && this.#said.replaceChildren(), SAID_MS);
  }

  #show() {
    const had = this.#form.contains(document.activeElement) && document.activeElement;
    const [size, count] = [this.#picked.size, this.#boxes.length];
    this.#form.dataset.picked = size;
    if (this.#all) {
      this.#all.checked = size > 0 && size === count;
      this.#all.indeterminate = size > 0 && size < count;
    }
    const rest = this.#form.elements.namedItem("all"); // all that match, picked or not
    if (rest && !size) rest.checked = false;
    const text = size ? `${size} of ${count} picked` : "Pick all shown";
    if (this.#count.textContent !== text) this.#count.textContent = text;
    for (const button of this.#form.querySelectorAll("button")) {
      const exactly = Number(button.dataset.pickExactly ?? 0);
      button.disabled = exactly ? size !== exactly : size === 0;
      if (exactly) button.title = button.disabled ? `Pick ${exactly}` : "";
    }
    // The bar goes when nothing is picked any more; who worked in it goes on in the list.
    if (had && (had.disabled || !had.checkVisibility()))
      (this.#list.querySelector(this.#mine) ?? document.querySelector("main")).focus();
  }
}

export function start() {
  for (const form of document.querySelectorAll("form[data-pick]")) new Picker(form);
}
