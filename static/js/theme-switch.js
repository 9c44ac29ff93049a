// The button that goes round system, light and dark, and remembers the choice in this browser.

const ORDER = ["system", "light", "dark"];
const NAMES = { system: "as the system", light: "light", dark: "dark" };
const root = document.documentElement;

function current() {
  return root.dataset.theme ?? "system";
}

function show(button) {
  const theme = current();
  button.dataset.current = theme;
  button.title = `Theme: ${NAMES[theme]}`;
  button.setAttribute("aria-label", button.title);
}

function choose(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch (error) {
    console.info("the theme is not remembered: storage is closed to this page", error);
  }
}

export function start() {
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    show(button);
    button.addEventListener("click", () => {
      choose(ORDER[(ORDER.indexOf(current()) + 1) % ORDER.length]);
      show(button);
    });
    // Another tab changed it: follow.
    addEventListener("storage", (event) => {
      if (event.key !== "theme") return;
      choose(ORDER.includes(event.newValue) ? event.newValue : "system");
      show(button);
    });
  }
}
