// The tree of types: folds its branches and remembers which, in this browser.
// The morph of the panel leaves the buttons alone (hx-morph-skip), so only new ones need a look.

import { recall, remember } from "./remembered.js";

const KEY = "folded-types";

export function start() {
  const tree = document.querySelector("[data-types]");
  if (!tree) return;
  const folded = new Map(Object.entries(recall(KEY, {})));

  const apply = () => {
    for (const button of tree.querySelectorAll("[data-fold-kind]")) {
      const isFolded = folded.get(button.dataset.foldKind);
      if (isFolded !== undefined) button.setAttribute("aria-expanded", String(!isFolded));
    }
  };
  apply();
  new MutationObserver((changes) => {
    if (changes.some((change) => [...change.addedNodes].some((node) => node.matches?.("li")))) apply();
  }).observe(tree, { childList: true, subtree: true });

  tree.addEventListener("click", (event) => {
    const button = event.target.closest("[data-fold-kind]");
    if (!button) return;
    const isFolded = button.getAttribute("aria-expanded") === "true";
    folded.set(button.dataset.foldKind, isFolded);
    remember(KEY, Object.fromEntries(folded));
    apply();
  });

  // Where the tree has no column of its own it is folded away behind its title.
  document.querySelector("[data-types-toggle]").addEventListener("click", ({ currentTarget: button }) => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
  });
}
