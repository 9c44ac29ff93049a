// Tabs: [data-tabs] holds buttons, each with aria-controls; arrows go through them (ARIA APG).
// Bars of links that scroll sideways begin where the current one is seen.

function choose(tabs, chosen) {
  for (const tab of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", isChosen ? "true" : "false");
    tab.tabIndex = isChosen ? 0 : -1;
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    panel.hidden = !isChosen;
    if (isChosen) panel.dispatchEvent(new Event("chosen")); // for what is asked for only then
  }
}

function attach(list) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  choose(tabs, tabs[0]);
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tabs, tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = tabs.at(to % tabs.length);
    choose(tabs, next);
    next.focus();
  });
}

// Not scrollIntoView, which would scroll the page too.
function bringIntoSight(current) {
  const bar = current.closest(".tabs, .chips");
  if (!bar || bar.scrollWidth <= bar.clientWidth) return;
  const [inner, outer] = [current.getBoundingClientRect(), bar.getBoundingClientRect()];
  bar.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
}

export function start() {
  document.querySelectorAll("[aria-current]").forEach(bringIntoSight);
  document.querySelectorAll("[data-tabs]").forEach(attach);
}
