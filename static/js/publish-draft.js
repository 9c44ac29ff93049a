// What is typed into the publish form stays in this browser, over reloads, errors and lost
// connections; another start (?type=, ?like=) offers it instead of taking its place.

import { isSame, keep, read, recall, write } from "./publish-values.js";

const KEY = "eventbus.publish.draft";
const KEEP_MS = 300;

export function startDraft(form) {
  const note = form.querySelector("[data-draft]");
  const says = note.querySelector("[data-draft-says]");
  const use = note.querySelector("[data-draft-use]");
  const served = read(form);
  const draft = recall(KEY);
  let timer = null;

  function offer(text, button, values) {
    says.textContent = text;
    use.textContent = button;
    use.onclick = () => {
      write(form, values);
      note.hidden = true;
    };
    note.hidden = false;
  }

  function save(isSent) {
    clearTimeout(timer);
    timer = null; // else leaving the page would call what was sent a draft again
    keep(KEY, { values: read(form), isSent, search: location.search });
  }

  if (draft?.values && !isSame(draft.values, served)) {
    const isChosen = /[?&](type|like|receipt|scheduled)=/.test(location.search);
    if (!isChosen || draft.search === location.search) {
      write(form, draft.values);
      const what = draft.isSent ? "published from here last" : "typed here before";
      offer(`This is what you had ${what}.`, "Start over", served);
    } else if (!draft.isSent) {
      const type = draft.values.type || "an event";
      offer(`What you had typed (${type}) was not sent; it is kept.`, "Bring it back", draft.values);
    }
  }

  // A draft that is only offered is kept until something is typed here.
  form.addEventListener("input", (event) => {
    if (!event.isTrusted && note.hidden === false) return;
    clearTimeout(timer);
    timer = setTimeout(save, KEEP_MS, false);
  });
  window.addEventListener("pagehide", () => {
    if (timer) save(false);
  });
  return () => save(true);
}
