// Buttons that print the page; on paper an age means nothing, so each is given its moment.

import { full } from "./time-forms.js";

export function start() {
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-print]")) window.print();
  });
  window.addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll("time[data-relative]")) {
      element.dataset.exact = full(new Date(element.dateTime));
    }
  });
}
