// Keys: / filter, g and a letter to go somewhere, j and k through rows, t a time, z how times read,
// ? help.
// p pauses the stream of the live page, or plays the past.

import { step } from "./rows.js";

const PLACES = {
  l: "/",
  e: "/events",
  v: "/evaluations",
  r: "/retries",
  a: "/alerts",
  f: "/flow",
  h: "/handlers",
  c: "/types",
  p: "/publish",
};
const CHORD_MS = 1200;
let chordUntil = 0;

function isTyping(target) {
  return Boolean(target.closest?.("input, textarea, select, [contenteditable]"));
}

function help() {
  const dialog = document.querySelector("[data-help-dialog]");
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

// A phone shows one part of the live page at a time (live-parts.js).
function reveal(field) {
  const part = field?.closest("[data-in]")?.dataset.in;
  document.querySelector(`[data-show="${part}"]`)?.click();
}

// Where time travel begins: the menu of a page of now, the field of one of the past.
function travel() {
  const menu = document.querySelector(".travel-menu");
  const field = document.querySelector(menu ? "#travel-at" : "[data-travel] [data-local-moment]");
  reveal(field);
  if (menu) menu.open = true;
  field?.focus();
  return Boolean(field);
}

// The page's own filter, or the first field of whatever narrows what is shown.
function filter() {
  const field =
    document.querySelector("[data-filter]") ??
    [...document.querySelectorAll("main form[method=get] :is(input, select)")].find((each) =>
      each.checkVisibility({ visibilityProperty: true }),
    );
  reveal(field);
  field?.focus();
  field?.select?.();
  if (!field) say("There is nothing to filter on this page.");
}

let silence;

// A key that can do nothing here says so, for a moment.
function say(text) {
  let line = document.querySelector(".key-says");
  if (!line) {
    line = document.createElement("p");
    line.className = "key-says";
    line.setAttribute("role", "status");
    document.body.append(line);
  }
  line.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => line.replaceChildren(), 4000);
}

function act(key) {
  if (performance.now() < chordUntil) {
    chordUntil = 0;
    if (PLACES[key]) location.assign(PLACES[key]);
    return Boolean(PLACES[key]);
  }
  switch (key) {
    case "g":
      chordUntil = performance.now() + CHORD_MS;
      return true;
    case "/":
      filter();
      return true;
    case "p":
      document.querySelector("#pause, [data-travel-toggle]")?.click();
      return true;
    case "j":
    case "k":
      step(key === "j" ? 1 : -1);
      return true;
    case "t":
      return travel();
    case "z":
      document.querySelector("[data-times-switch]").click();
      return true;
    case "?":
      help();
      return true;
    default:
      return false;
  }
}

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape" && event.target.matches("[data-filter]")) event.target.blur();
      return;
    }
    if (act(event.key)) event.preventDefault();
  });
  document.querySelector("[data-help]")?.addEventListener("click", help);
}
