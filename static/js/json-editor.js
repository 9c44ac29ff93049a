// The JSON field: line numbers, a check while typing with line and column, indenting, formatting.

import { check, place } from "./json-check.js";

const CHECK_MS = 150;

function problemOf(text) {
  if (!text.trim()) return null;
  const wrong = check(text);
  if (wrong) return { ...place(text, wrong.offset), message: wrong.message };
  const isObject = text.trimStart().startsWith("{");
  return isObject ? null : { line: 1, column: 1, message: "data must be an object: { … }" };
}

function drawLines(lines, text, scrollTop, wrongLine) {
  const count = text.split("\n").length;
  const numbers = Array.from({ length: count }, (_, i) => {
    const element = document.createElement(i + 1 === wrongLine ? "b" : "span");
    element.textContent = i + 1 === wrongLine ? `${i + 1}` : `${i + 1}\n`;
    return element;
  });
  lines.replaceChildren(...numbers);
  lines.scrollTop = scrollTop;
}

// Enter keeps the indent and opens a block between brackets.
function breakLine(area) {
  const { selectionStart: start, selectionEnd: end, value } = area;
  const indent = value.slice(value.lastIndexOf("\n", start - 1) + 1).match(/^[ \t]*/)[0];
  const opens = /[{[]$/.test(value.slice(0, start).trimEnd());
  const closes = /^[ \t]*[}\]]/.test(value.slice(end));
  const inner = `\n${indent}${opens ? "  " : ""}`;
  // execCommand, although old, is what keeps the browser's undo.
  document.execCommand("insertText", false, opens && closes ? `${inner}\n${indent}` : inner);
  if (opens && closes) area.selectionStart = area.selectionEnd = start + inner.length;
}

export function replaceText(area, text) {
  const focused = document.activeElement;
  area.focus();
  area.select();
  if (!document.execCommand("insertText", false, text)) {
    area.value = text;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
  area.setSelectionRange(0, 0);
  area.scrollTop = 0;
  focused?.focus();
}

function attach(editor) {
  const area = editor.querySelector("[data-json-text]");
  const lines = editor.querySelector("[data-json-lines]");
  const field = editor.closest(".field");
  const state = field.querySelector("[data-json-state]");
  let timer;

  function refresh() {
    const problem = problemOf(area.value);
    drawLines(lines, area.value, area.scrollTop, problem?.line);
    editor.dataset.valid = state.dataset.valid = problem ? "no" : "yes";
    const bytes = new TextEncoder().encode(area.value).length;
    state.textContent = problem
      ? `line ${problem.line}, column ${problem.column}: ${problem.message}`
      : area.value.trim()
        ? `valid JSON, ${bytes} bytes`
        : "empty: an event without data";
  }

  area.addEventListener("input", () => {
    drawLines(lines, area.value, area.scrollTop);
    clearTimeout(timer);
    timer = setTimeout(refresh, CHECK_MS);
  });
  area.addEventListener("scroll", () => {
    lines.scrollTop = area.scrollTop;
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    event.preventDefault();
    breakLine(area);
  });
  field.querySelector("[data-json-format]").addEventListener("click", () => {
    if (problemOf(area.value) || !area.value.trim()) return refresh();
    replaceText(area, JSON.stringify(JSON.parse(area.value), null, 2));
  });
  refresh();
}

export function start() {
  document.querySelectorAll("[data-json-editor]").forEach(attach);
}
