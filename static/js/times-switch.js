// The button, and the key z, that go round relative times, exact ones and UTC; kept in this browser.

import { localise } from "./clock.js";
import { choose, way, WAYS } from "./time-forms.js";

const NAMES = { relative: "relative", exact: "exact, in your time zone", utc: "exact, in UTC" };

function show(button) {
  document.documentElement.dataset.times = way();
  button.title = `Times: ${NAMES[way()]} (z)`;
  button.setAttribute("aria-label", `Times: ${NAMES[way()]}`);
}

export function start() {
  const button = document.querySelector("[data-times-switch]");
  show(button);
  const change = (wanted) => {
    choose(wanted);
    show(button);
    localise();
  };
  button.addEventListener("click", () => change(WAYS[(WAYS.indexOf(way()) + 1) % WAYS.length]));
  // Another tab changed it: follow.
  addEventListener("storage", ({ key, newValue }) => {
    if (key !== "times") return;
    const wanted = (newValue ?? "").replaceAll('"', "");
    change(WAYS.includes(wanted) ? wanted : WAYS[0]);
  });
}
