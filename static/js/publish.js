// The publish page: Ctrl or Cmd and Enter sends; choosing a type brings its example payload as long
// as the data has not been changed by hand.

import { replaceText, start as startEditor } from "./json-editor.js";

function sendByKey(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    form.requestSubmit();
  });
}

// What the server said about a field is about what was there then.
function forgetErrors(form) {
  form.addEventListener("input", (event) => {
    const field = event.target;
    if (field.getAttribute("aria-invalid") !== "true") return;
    field.removeAttribute("aria-invalid");
    form.querySelector(`#e-${field.name}`)?.replaceChildren();
  });
}

function bringExamples(form) {
  const type = form.querySelector("[data-type-field]");
  const area = form.querySelector("[data-json-text]");
  let untouched = area.value;
  type.addEventListener("change", async () => {
    if (area.value.trim() !== "" && area.value !== untouched) return;
    const answer = await fetch(`/publish/example?type=${encodeURIComponent(type.value.trim())}`);
    const text = answer.ok ? await answer.text() : "";
    if (!text) return;
    replaceText(area, text);
    untouched = area.value;
  });
}

startEditor();
for (const form of document.querySelectorAll("[data-publish-form]")) {
  sendByKey(form);
  forgetErrors(form);
  bringExamples(form);
}
