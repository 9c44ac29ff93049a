// On a phone the live page, also of the past, shows one of its parts at a time, which its data-part names.

const root = document.querySelector("[data-part]");
const bar = root.querySelector("[data-parts]");
bar.addEventListener("click", ({ target }) => {
  const chosen = target.closest("[data-show]");
  if (!chosen) return;
  root.dataset.part = chosen.dataset.show;
  for (const button of bar.children) button.setAttribute("aria-pressed", String(button === chosen));
});
