"""The words of the API's document that belong to no single operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ABOUT = """\
Publish, read and steer the events of a running system, over HTTP and WebSockets.

**JSON in, JSON out.** Times are RFC 3339 in UTC with microseconds, durations end in their unit
(`_s`, `_ms`), sizes in `_bytes`.

**Pages.** A list answers `next`, a cursor or null. Give it back as `cursor`, with the same filter,
for the next page.

**Errors** are `application/problem+json` (RFC 9457) with `title`, `status` and `detail`. For input
`errors` names every place: `pointer` is a JSON Pointer into the body, `parameter` a name.
A parameter or a member that is not known is an error, so that a misspelt filter never finds
everything.

**Trying again.** After 408, 429, 503 or a lost connection, send the same again, after
`Retry-After` seconds where that is given. An event with an `id` and a `source` of your own is
recorded once, however often it is sent.

**HEAD and OPTIONS** work everywhere; 405 says in `Allow` what does. What you `Accept` changes the
answer only where an event can also be had as a CloudEvent.
"""

TAGS: Mapping[str, str] = {
    "Events": "Publish events and read the log: one event, its deliveries, what it caused.",
    "Scheduled events": "Events that are recorded later.",
    "Streams": "WebSockets: every event as it is recorded, and work for other processes.",
    "Evaluations": "What the events say about evaluations, and what a person may ask of one.",
    "Alerts": "Alerts, grouped, and what people decide about them.",
    "Notifications": "Where changes of alerts are told.",
    "Webhooks": "Which events go to whose URL, signed and as deliveries of a subscription.",
    "Deliveries": "Events at subscriptions; dead letters, and what is done about many of them.",
    "Subscriptions": "Who gets what, how far they are, pausing and ending them.",
    "Operations": "Long work that somebody began: redrives, discards, replays, rebuilds.",
    "Queues and metrics": "What the events say about queues and metrics.",
    "Figures": "Counters, what flowed.",
    "Types": "Event types: what was seen of them, and what is declared.",
    "Saved views": "Names for filters, which everybody shares.",
    "Storage": "The room that the log takes, and retention.",
    "Users and tokens": "Who may do what; see docs/access.md.",
    "Health": "For load balancers and containers.",
}

STATUSES: Mapping[int, str] = {
    101: "The connection speaks WebSocket from now on.",
    200: "As it is now, or done.",
    201: "Made anew.",
    202: "Recorded; what follows from it is under way.",
    304: "Not changed since the ETag that was given.",
    400: "A parameter, a header or the body is wrong; nothing was done.",
    401: "Nobody is signed in, or the token is not valid.",
    403: "Not allowed: from a page of another site, or for this role.",
    408: "The body did not arrive completely in time.",
    413: "The body is too large.",
    414: "The address is longer than the server reads.",
    415: "The body has a content type, charset or compression that is not taken.",
    421: "The server does not answer to this host.",
    426: "This is a WebSocket.",
    429: "Too many requests.",
    500: "A mistake of the server; its log has the rest.",
    503: "Not now: the server starts or stops, or the log cannot be written.",
}

_RETRY = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}},
}
HEADERS: Mapping[int, Any] = {429: _RETRY, 503: _RETRY}
