// The live page: its WebSocket (htmx's hx-ws), its stream, and its alerts, what is told.

import { AlertSignal } from "./live-alerts.js";
import { Announcer } from "./live-announce.js";
import { Connection } from "./live-connection.js";
import "./live-parts.js";
import { Rows } from "./live-rows.js";
import { Stream } from "./live-stream.js";

const root = document.getElementById("live");
const announcer = new Announcer(document.getElementById("announce"));
const rows = new Rows(root);
const stream = new Stream(root, rows, announcer);
const connection = new Connection(root, announcer);
new AlertSignal(announcer);

connection.onHello = (hello) => stream.greet(hello);
stream.onProgress = (seen) => connection.remember(seen);
stream.onHold = (text) => connection.hold(text);

// The socket is opened by this event and not on load, so that no message comes before somebody
// listens. htmx may have looked at the page before its hx-ws extension was there: it looks again.
window.htmx.process(root);
root.dispatchEvent(new CustomEvent("live"));
