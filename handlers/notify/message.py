"""What a notification says: from an alert's change, a summary or a test to words and bodies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote

from eventbus.timestamps import format_time

SLACK_COLOURS = {"critical": "#b0272b", "warning": "#d08700", "info": "#0064b5", "good": "#00713a"}
_MAX_TITLE_CHARS = 200
_MAX_LINE_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Message:
    """A notification, whatever it is sent by.

    ``key`` is the same for every attempt to send it; ``tone`` is a severity or "good"; ``data``
    is what programs get.
    """

    key: str
    type: str
    subject: str
    title: str
    time: datetime
    tone: str
    url: str
    lines: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def of_change(data: Mapping[str, Any], key: str, time: datetime, base_url: str) -> Message:
    """The message about one change; ``data`` is that of the event that asks for it."""
    change, severity = str(data.get("change")), str(data.get("severity"))
    alert_id = str(data.get("alert_id"))
    what = f"{data.get('service')}: {data.get('error_type')}"
    occurrences = data.get("occurrences")
    facts = [
        f"{occurrences} occurrences so far" if occurrences != 1 else "",
        f"evaluation {data['eval_id']}" if data.get("eval_id") else "",
        f"by {data['by']}" if data.get("by") else "",
    ]
    lines = [str(data.get("error") or ""), ", ".join(fact for fact in facts if fact)]
    return Message(
        key=key,
        type=f"alert.{change}",
        subject=alert_id,
        title=_line(f"[{severity}] {what} {change}", _MAX_TITLE_CHARS),
        time=time,
        tone="good" if change == "resolved" else severity,
        url=f"{base_url}/alerts/{quote(alert_id, safe='')}",
        lines=[_line(line, _MAX_LINE_CHARS) for line in lines if line],
        data=data,
    )


def of_summary(
    held: Sequence[Mapping[str, Any]], key: str, time: datetime, base_url: str, subject: str
) -> Message:
    """The message that sums up what was held back; ``held`` are the data of those events."""
    changes = Counter(str(each.get("change")) for each in held)
    alerts = Counter(str(each.get("title")) for each in held)
    what = ", ".join(f"{count} {change}" for change, count in changes.most_common())
    severities = {each.get("severity") for each in held}
    tone = next((each for each in ("critical", "warning") if each in severities), "info")
    shown = [title for title, _ in alerts.most_common(10)]
    more = len(alerts) - len(shown)
    return Message(
        key=key,
        type="alert.summary",
        subject=subject,
        title=f"{len(held)} more changes of alerts: {what}",
        time=time,
        tone=tone,
        url=f"{base_url}/alerts",
        lines=[*shown, *([f"and {more} others"] if more else [])],
        data={"count": len(held), "changes": dict(changes), "titles": shown},
    )


def of_test(channel: str, key: str, time: datetime, base_url: str, by: str) -> Message:
    """The message of the button "Send test"."""
    return Message(
        key=key,
        type="notification.test",
        subject=channel,
        title=f"Test of the channel {channel}",
        time=time,
        tone="info",
        url=f"{base_url}/alerts/channels",
        lines=[f"Sent by {by}. Notifications about alerts will look like this."],
        data={"channel": channel, "by": by},
    )


def webhook_body(message: Message, source: str) -> bytes:
    """A CloudEvent in structured mode (application/cloudevents+json)."""
    event = {
        "specversion": "1.0",
        "id": message.key,
        "source": source,
        "type": message.type,
        "subject": message.subject,
        "time": format_time(message.time),
        "datacontenttype": "application/json",
        "data": {**message.data, "title": message.title, "url": message.url},
    }
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")


def slack_body(message: Message) -> bytes:
    """The body of an incoming webhook of Slack; Mattermost and others take it as well."""
    text = "\n".join([f"*<{message.url}|{_escape(message.title)}>*", *map(_escape, message.lines)])
    body = {
        "text": _escape(message.title),
        "attachments": [
            {
                "color": SLACK_COLOURS.get(message.tone, SLACK_COLOURS["info"]),
                "fallback": message.title,
                "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}],
            }
        ],
    }
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def mail(message: Message, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """An e-mail in plain text; its Message-ID is the same for every attempt."""
    letter = EmailMessage()
    letter["From"] = sender
    letter["To"] = ", ".join(recipients)
    letter["Subject"] = message.title
    letter["Date"] = message.time
    letter["Message-ID"] = f"<{quote(message.key, safe='')}@{sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
    letter.set_content("\n".join([message.title, "", *message.lines, "", message.url, ""]))
    return letter


def _line(text: str, limit: int) -> str:
    """One printable line: a header or a chat's first line must not be broken by an error's text."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: limit * 2]).split())
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _escape(text: str) -> str:
    """Slack's three control characters; else a text could be a link or call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
