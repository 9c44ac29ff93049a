// The publish page: Ctrl or Cmd and Enter sends; choosing a type brings its example payload as long
// as the data has not been changed by hand.

import { replaceText, start as startEditor } from "./json-editor.js";
import { startDraft } from "./publish-draft.js";
import { startRecent } from "./publish-recent.js";
import { startRepeat } from "./publish-repeat.js";
import { read } from "./publish-values.js";

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
  const known = new Set(Array.from(document.getElementById("types").options, (option) => option.value));
  let brought = area.value;
  // Never into a field that somebody is in.
  const isFree = () =>
    document.activeElement !== area && (area.value.trim() === "" || area.value === brought);
  type.addEventListener("input", async () => {
    const name = type.value.trim();
    if (!known.has(name) || !isFree()) return;
    const answer = await fetch(`/publish/example?type=${encodeURIComponent(name)}`);
    const text = answer.ok ? await answer.text() : "";
    if (!text || !isFree() || type.value.trim() !== name) return; // something was typed meanwhile
    replaceText(area, text);
    brought = area.value;
  });
}

// The chips and the address say which example it began with, until the type is another.
function keepStarts(form) {
  const type = form.querySelector("[data-type-field]");
  const follow = () => {
    for (const chip of document.querySelectorAll(".starts .chip")) {
      const isIt = new URL(chip.href).searchParams.get("type") === type.value.trim();
      if (isIt) chip.setAttribute("aria-current", "true");
      else chip.removeAttribute("aria-current");
    }
    const url = new URL(location.href);
    if (!url.searchParams.has("type") || url.searchParams.get("type") === type.value.trim()) return;
    url.searchParams.delete("type");
    history.replaceState(history.state, "", url);
  };
  type.addEventListener("input", follow);
  follow();
}

// A receipt that follows a sending: what was sent is no draft any more.
function noteSent(form, markSent, remember) {
  let sent = null;
  form.addEventListener("submit", () => {
    sent = read(form);
  });
  new MutationObserver(() => {
    if (!sent) return;
    remember(sent);
    sent = null;
    markSent();
    document.querySelector("#preview").dispatchEvent(new Event("again")); // the state is another
  }).observe(document.querySelector("#receipt"), { childList: true });
}

startEditor();
for (const form of document.querySelectorAll("[data-publish-form]")) {
  sendByKey(form);
  forgetErrors(form);
  noteSent(form, startDraft(form), startRecent(form));
  bringExamples(form);
  keepStarts(form);
  startRepeat(form);
}
