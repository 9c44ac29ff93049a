// Completes event types from those that were seen: an input with data-complete="types" (to publish
// one) or "patterns" (to filter: wildcards too) gets a listbox that /api/types fills. ARIA 1.2's
// combobox with a listbox popup; without scripts the input's own <datalist> stays.

const WAIT_MS = 80;
const MOST = 12;
let made = 0;

class Completion {
  #input;
  #list = document.createElement("ul");
  #active = -1;
  #asked = 0;
  #timer = null;
  #isTaking = false;

  constructor(input) {
    this.#input = input;
    this.#list.id = `completion-${++made}`;
    this.#list.className = "completion";
    this.#list.role = "listbox";
    this.#list.ariaLabel = "Types seen";
    this.#list.hidden = true;
    this.#attach();
    input.addEventListener("input", () => this.#isTaking || this.#ask());
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => this.#close());
    input.addEventListener("click", () => this.#ask());
    // Before the input loses the focus, which would close the list under the pointer.
    this.#list.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      const option = event.target.closest("[role=option]");
      if (option) this.#take(option);
    });
  }

  // Again when a morph of the form took away what the server does not know of.
  #attach() {
    if (this.#list.isConnected) return;
    this.#input.removeAttribute("list");
    this.#input.setAttribute("role", "combobox");
    this.#input.setAttribute("aria-autocomplete", "list");
    this.#input.setAttribute("aria-controls", this.#list.id);
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.after(this.#list);
  }

  get #options() {
    return [...this.#list.children];
  }

  #ask() {
    this.#attach();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), WAIT_MS);
  }

  async #fetch() {
    const turn = ++this.#asked;
    const query = new URLSearchParams({ q: this.#input.value.trim(), limit: MOST });
    let found;
    try {
      const response = await fetch(`/api/types?${query}`);
      if (!response.ok) return;
      found = await response.json();
    } catch {
      return; // typing goes on without help
    }
    if (turn !== this.#asked || document.activeElement !== this.#input) return;
    const isFilter = this.#input.dataset.complete === "patterns";
    const patterns = isFilter ? found.patterns.slice(0, MOST / 2) : [];
    const entries = [
      ...patterns.map(({ pattern, ...rest }) => ({ text: pattern, ...rest })),
      ...found.types.map(({ type, ...rest }) => ({ text: type, ...rest })),
    ].slice(0, MOST);
    const marked = this.#options[this.#active]?.dataset.value;
    this.#list.replaceChildren(...entries.map((entry, place) => this.#option(entry, place)));
    const isNothingNew = entries.length === 1 && entries[0].text === this.#input.value;
    if (entries.length && !isNothingNew) this.#open(entries.findIndex(({ text }) => text === marked));
    else this.#close();
  }

  #option({ text, count, hue }, place) {
    const option = document.createElement("li");
    option.role = "option";
    option.id = `${this.#list.id}-${place}`;
    option.dataset.value = text;
    const name = document.createElement("span");
    name.className = `type hue-${hue}`;
    const [family, ...rest] = text.split(".");
    const strong = document.createElement("b");
    strong.textContent = family;
    name.append(strong, rest.length ? `.${rest.join(".")}` : "");
    const times = document.createElement("span");
    times.className = "completion-count";
    times.textContent = count.toLocaleString("en").replaceAll(",", "\u202f");
    option.append(name, times);
    return option;
  }

  // What was marked while an answer was under way stays marked, if that has it, too.
  #open(place) {
    this.#mark(place);
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
  }

  #close() {
    this.#asked++;
    clearTimeout(this.#timer);
    this.#mark(-1);
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
  }

  #mark(place) {
    this.#active = place;
    this.#options.forEach((option, i) => option.setAttribute("aria-selected", String(i === place)));
    const option = this.#options[place];
    if (option) this.#input.setAttribute("aria-activedescendant", option.id);
    else this.#input.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }

  #take(option) {
    this.#input.value = option.dataset.value;
    this.#close();
    this.#isTaking = true;
    for (const name of ["input", "change"]) this.#input.dispatchEvent(new Event(name, { bubbles: true }));
    this.#isTaking = false;
    if (this.#input.matches("[data-complete-sends]")) this.#input.form.requestSubmit();
  }

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    const isOpen = !this.#list.hidden;
    const count = this.#options.length;
    if (event.key === "ArrowDown" && !isOpen) this.#ask();
    else if (event.key === "ArrowDown") this.#mark((this.#active + 1) % count);
    else if (event.key === "ArrowUp" && isOpen) this.#mark(this.#active <= 0 ? count - 1 : this.#active - 1);
    else if (event.key === "Enter" && isOpen && this.#active >= 0) this.#take(this.#options[this.#active]);
    else if (event.key === "Escape" && isOpen) this.#close();
    else return;
    if (event.key === "Escape") event.stopPropagation(); // the next Escape is for the page
    event.preventDefault();
  }
}

export function start() {
  for (const input of document.querySelectorAll("input[data-complete]")) new Completion(input);
}
