// The history's histogram: drag over columns to choose a time, or use the arrow keys with Shift.
//   <section data-histogram> with links that have data-start, data-end, data-count; [data-said]

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const two = (n) => String(n).padStart(2, "0");
const three = (n) => String(n).padStart(3, "0");

function short(moment, form) {
  const day = `${MONTHS[moment.getMonth()]} ${two(moment.getDate())}`;
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
  if (form === "day") return day;
  if (form === "hour") return `${day} ${time}`;
  if (form === "minute") return time;
  const second = `${time}:${two(moment.getSeconds())}`;
  return form === "second" ? second : `${second}.${three(moment.getMilliseconds())}`;
}

function exact(text) {
  const moment = new Date(text);
  return `${short(moment, "day")} ${short(moment, moment.getMilliseconds() ? "millisecond" : "second")}`;
}

class Histogram {
  #columns;
  #said;
  #usual;
  #from = null;
  #to = null;
  #isDragging = false;
  #hasDragged = false;

  constructor(section) {
    this.#columns = [...section.querySelectorAll(".column")];
    this.#said = section.querySelector("[data-said]");
    this.#usual = this.#said.textContent;
    for (const time of section.querySelectorAll("[data-tick]"))
      time.textContent = short(new Date(time.dateTime), time.dataset.tick);
    for (const column of this.#columns)
      column.setAttribute("aria-label", this.#text(column, column));
    const chart = section.querySelector("svg");
    chart.addEventListener("pointerdown", (event) => this.#down(chart, event));
    chart.addEventListener("pointermove", (event) => this.#move(event));
    chart.addEventListener("pointerup", () => this.#up());
    chart.addEventListener("pointercancel", () => this.#clear());
    chart.addEventListener("pointerleave", () => this.#isDragging || this.#clear());
    // A click that ends a dragging must not also follow the link under it.
    chart.addEventListener("click", (event) => this.#hasDragged && event.preventDefault(), true);
    chart.addEventListener("dragstart", (event) => event.preventDefault());
    chart.addEventListener("keydown", (event) => this.#key(event));
  }

  #text(first, last) {
    const low = this.#columns.indexOf(first);
    const chosen = this.#columns.slice(low, this.#columns.indexOf(last) + 1);
    const count = chosen.reduce((sum, column) => sum + Number(column.dataset.count), 0);
    const span = `${exact(first.dataset.start)} to ${exact(last.dataset.end)}`;
    return `${span}: ${count.toLocaleString("en").replaceAll(",", "\u202f")} ${count === 1 ? "event" : "events"}`;
  }

  #at(event) {
    // By place, not by target: a finger keeps the target that it came down on.
    const box = event.currentTarget.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * this.#columns.length);
    return Math.min(Math.max(place, 0), this.#columns.length - 1);
  }

  #down(chart, event) {
    if (event.button !== 0 || event.ctrlKey || event.metaKey) return;
    this.#isDragging = true;
    this.#hasDragged = false;
    this.#from = this.#to = this.#at(event);
    chart.setPointerCapture(event.pointerId);
    this.#show();
  }

  #move(event) {
    const place = this.#at(event);
    if (!this.#isDragging) this.#from = place;
    else if (place !== this.#from) this.#hasDragged = true;
    this.#to = place;
    this.#show();
  }

  #up() {
    if (!this.#isDragging) return;
    this.#isDragging = false;
    this.#go();
  }

  #key(event) {
    const here = this.#columns.indexOf(event.target);
    const last = this.#columns.length - 1;
    const by = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (by !== undefined) {
      const place = Math.min(Math.max(by, 0), last);
      if (!event.shiftKey) this.#from = place;
      else this.#from ??= here;
      this.#to = place;
      event.target.tabIndex = -1;
      this.#columns[place].tabIndex = 0;
      this.#columns[place].focus();
      this.#show();
    } else if (event.key === "Enter" && this.#to !== null) this.#go();
    else if (event.key === "Escape") this.#clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #range() {
    const [low, high] = [Math.min(this.#from, this.#to), Math.max(this.#from, this.#to)];
    return [this.#columns[low], this.#columns[high], low, high];
  }

  #show() {
    const [first, last, low, high] = this.#range();
    this.#columns.forEach((column, place) =>
      column.classList.toggle("in", place >= low && place <= high),
    );
    this.#said.textContent = this.#text(first, last);
  }

  #clear() {
    this.#from = this.#to = null;
    this.#isDragging = false;
    for (const column of this.#columns) column.classList.remove("in");
    this.#said.textContent = this.#usual;
  }

  #go() {
    const [first, last] = this.#range();
    const url = new URL(first.href.baseVal, location.href);
    url.searchParams.set("until", last.dataset.end);
    location.assign(url);
  }
}

export function start() {
  for (const section of document.querySelectorAll("[data-histogram]")) new Histogram(section);
}
