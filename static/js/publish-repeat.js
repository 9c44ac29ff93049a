// Sends the form's event again and again at a rate, in batches of what is due, until it is done,
// stopped or refused.

import { asEvent } from "./publish-values.js";

const TICK_MS = 100;
const MOST_AT_ONCE = 100;

const bounded = (input) => Math.min(Number(input.max), Math.max(1, Math.round(Number(input.value) || 1)));

async function send(events) {
  const answer = await fetch("/api/events", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(events),
  });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `the server answered ${answer.status}`);
}

export function startRepeat(form) {
  const box = form.querySelector("[data-repeat]");
  const part = (name) => box.querySelector(`[data-repeat-${name}]`);
  const [begin, stop, bar, state] = ["start", "stop", "bar", "state"].map(part);
  let isRunning = false;

  async function run() {
    const times = (part("times").value = bounded(part("times")));
    const rate = (part("rate").value = bounded(part("rate")));
    const began = performance.now();
    let sent = 0;
    let last;
    bar.max = times;
    while (isRunning && sent < times) {
      const due = Math.floor(((performance.now() - began) / 1000) * rate) + 1;
      const count = Math.min(due - sent, times - sent, MOST_AT_ONCE);
      if (count > 0) {
        const events = Array.from({ length: count }, (_, i) => asEvent(form, sent + i + 1));
        last = (await send(events)).events.at(-1);
        sent += count;
        bar.value = sent;
        state.textContent = `${sent} of ${times} published`;
      }
      if (sent < times) await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    const end = last?.sequence ? `, the last as #${last.sequence}` : "";
    state.textContent = `${sent < times ? "Stopped: " : "Done: "}${sent} of ${times} published${end}`;
  }

  async function start() {
    isRunning = true;
    begin.hidden = true;
    stop.hidden = bar.hidden = false;
    bar.value = 0;
    state.dataset.tone = "";
    stop.focus();
    try {
      await run();
    } catch (error) {
      state.dataset.tone = "bad";
      state.textContent = `Ended after ${bar.value} of ${bar.max}: ${error.message}`;
    }
    isRunning = false;
    const hadFocus = document.activeElement === stop;
    stop.hidden = true;
    begin.hidden = false;
    if (hadFocus) begin.focus();
  }

  begin.addEventListener("click", start);
  stop.addEventListener("click", () => {
    isRunning = false;
  });
  // Enter in one of its numbers begins it, rather than sending the form once.
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    if (!isRunning) start();
  });
}
