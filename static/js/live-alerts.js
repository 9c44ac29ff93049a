// Open critical alerts where one looks from another tab: in the title, the favicon and, when this
// browser was asked to, as a notification of the system.

import { ALERT_ICON, showCritical } from "./attention.js";
import { recall, remember } from "./remembered.js";

const KEY = "notify-of-alerts";

export class AlertSignal {
  #list = document.getElementById("alerts");
  #button = document.querySelector("[data-notify]");
  #says = document.querySelector("[data-notify-says]");
  #announcer;
  #known;

  constructor(announcer) {
    this.#announcer = announcer;
    this.#known = new Set(this.#alerts.map((alert) => alert.id));
    this.#show();
    new MutationObserver(() => this.#look()).observe(this.#list, { childList: true });
    this.#button.hidden = !("Notification" in window);
    this.#button.addEventListener("click", () => this.#toggle());
    this.#press();
  }

  get #alerts() {
    return [...this.#list.querySelectorAll("li.alarm")];
  }

  get #isWanted() {
    return recall(KEY, false) && window.Notification?.permission === "granted";
  }

  #look() {
    const alerts = this.#alerts;
    const fresh = alerts.filter((alert) => !this.#known.has(alert.id));
    this.#known = new Set(alerts.map((alert) => alert.id));
    this.#show();
    if (!fresh.length) return;
    const what = fresh.length === 1 ? text(fresh[0], ".alarm-text b") : `${fresh.length} at once`;
    this.#announcer.say(`New critical alert: ${what}.`);
    if (document.hidden && this.#isWanted) fresh.forEach(notify);
  }

  #show() {
    showCritical(this.#known.size);
  }

  async #toggle() {
    if (this.#isWanted) {
      remember(KEY, false);
      this.#press("");
      return;
    }
    const permission = await window.Notification.requestPermission();
    remember(KEY, permission === "granted");
    this.#press(permission === "denied" ? "blocked in this browser's settings" : "");
  }

  #press(problem = "") {
    this.#button.setAttribute("aria-pressed", String(this.#isWanted));
    this.#says.textContent = problem;
    if (problem) this.#announcer.say(`Notifications are ${problem}.`);
  }
}

function text(alert, selector) {
  return alert.querySelector(selector)?.textContent.trim() ?? "";
}

// One for each alert, whichever and however many tabs are open: the tag is the alert's.
function notify(alert) {
  const body = `${text(alert, ".alarm-text .mono")} ${text(alert, ".alarm-message")}`.trim();
  const notification = new window.Notification(`Critical alert: ${text(alert, ".alarm-text b")}`, {
    body, tag: alert.id, icon: ALERT_ICON,
  });
  notification.onclick = () => {
    window.focus();
    notification.close();
  };
}
