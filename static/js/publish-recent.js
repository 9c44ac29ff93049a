// The events that were sent from this browser, newest first, to send again or to change.

import { isSame, keep, recall, write } from "./publish-values.js";

const KEY = "eventbus.publish.recent";
const MOST = 8;
const MOST_CHARS = 20_000; // of one event: the browser's storage is small

function entry(form, sent) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "recent-use";
  const type = document.createElement("b");
  type.textContent = sent.values.type;
  const data = document.createElement("span");
  data.className = "clip dim";
  data.textContent = sent.values.data.replace(/\s+/g, " ").slice(0, 200);
  button.append(type, data);
  button.addEventListener("click", () => {
    write(form, sent.values);
    form.elements.type.focus();
  });
  item.append(button);
  return item;
}

export function startRecent(form) {
  const panel = document.querySelector("[data-recent]");
  const list = panel.querySelector("[data-recent-list]");

  function show(all) {
    list.replaceChildren(...all.map((sent) => entry(form, sent)));
    panel.hidden = all.length === 0;
  }

  panel.querySelector("[data-recent-clear]").addEventListener("click", () => {
    keep(KEY, []);
    show([]);
    form.elements.type.focus();
  });
  show(recall(KEY) ?? []);
  return (values) => {
    if (values.data.length > MOST_CHARS) return;
    const others = (recall(KEY) ?? []).filter((sent) => !isSame(sent.values, values));
    const all = [{ values }, ...others].slice(0, MOST);
    keep(KEY, all);
    show(all);
  };
}
