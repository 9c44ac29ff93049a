// The API's page: a filter over the list of operations; the current one is brought into sight.

const box = document.querySelector("[data-reference-filter]");
const none = document.querySelector("[data-reference-none]");
const groups = [...document.querySelectorAll("[data-reference-group]")];
const opened = new Map(groups.map((group) => [group, group.open]));

function filter() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const group of groups) {
    let here = 0;
    for (const entry of group.querySelectorAll("[data-reference-entry]")) {
      const text = `${group.firstElementChild.textContent} ${entry.textContent}`.toLowerCase();
      entry.hidden = !words.every((word) => text.includes(word));
      if (!entry.hidden) here += 1;
    }
    group.hidden = here === 0;
    group.open = words.length > 0 || opened.get(group);
    found += here;
  }
  none.hidden = found > 0;
}

box.addEventListener("input", filter);
box.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    box.value = "";
    filter();
  } else if (event.key === "Enter") {
    document.querySelector("[data-reference-entry]:not([hidden]) a")?.click();
  }
});
// Not scrollIntoView, which would scroll the page too.
const list = document.querySelector(".reference-list");
const current = list.querySelector("a[aria-current]");
if (current) {
  const [inner, outer] = [current.getBoundingClientRect(), list.getBoundingClientRect()];
  if (inner.bottom > outer.bottom) list.scrollTop += inner.top - outer.top - outer.height / 2;
}
