"""An event as a test: a pytest file that publishes it and asserts what followed from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from app.pages.takeaway import literal
from eventbus import Event, EventBus
from eventbus.event import SPECVERSION
from eventbus.log import EventQuery
from eventbus.log.kin import deliveries_of
from eventbus.log.values import Delivery
from handlers import HandlerSettings
from handlers.evaluation.handler import RETRY_SCHEDULED
from handlers.installation import KINDS

MOST_BEFORE = 50
MOST_FOLLOWED = 200
MOST_BEFORE_CHARS = 1_000_000  # of data
_OURS = {f"/handlers/{kind.name}" for kind in KINDS}
_KEPT = (
    "id", "source", "type", "subject", "time", "dataschema", "traceparent", "correlationid",
    "causationid", "data",
)  # fmt: skip


def file_name(event: Event) -> str:
    """How the file is called, so that pytest finds it."""
    return f"test_{_word(event)}_{event.sequence}.py"


def as_test(bus: EventBus, event: Event, settings: HandlerSettings) -> str:
    """The file: on a bus of its own with the built-in handlers, it makes the past of the event's
    subject, publishes the event as it was, and asserts the events that followed at the built-in
    handlers, with their data. Of other handlers it names what is left out.
    """
    followed, others = _followed(bus, event)
    if settings.retry_delays:  # the test has none: what is asked for later comes at once
        followed = [each for each in followed if each.type != RETRY_SCHEDULED]
    before = _before(bus, event)
    expected = [{"type": each.type, "data": each.data} for each in followed]
    lines = [
        f'"""{event.type}, event #{event.sequence} of a log, published again: what follows from '
        'it."""\n',
        "from handlers import HandlerSettings, install\n",
        f"BEFORE = {literal([_plain(each) for each in before])}",
        f"EVENT = {literal(_plain(event))}",
        f"FOLLOWED = {literal(expected)}\n\n",
        f"def test_{_word(event)}_has_the_same_consequences(event_bus, published):",
        f"    install(event_bus, {_settings(settings)})",
        *(f"    # not here, as its handler is another one's: {text}" for text in others),
        "    for event in BEFORE:",
        "        event_bus.publish_many([event])",
        "        event_bus.settle()",
        "    end = event_bus.log.last_sequence",
        *_expected_failures(bus, event),
        "    event_bus.publish_many([EVENT])",
        "    for expected in FOLLOWED:",
        '        published(expected["type"], expected["data"])',
        "    event_bus.settle()",
        "    followed = [each for each in event_bus.events() if each.sequence > end + 1]",
        "    # handlers run side by side: their order is not promised",
        "    assert sorted(each.type for each in followed) == "
        "sorted(each['type'] for each in FOLLOWED)\n",
    ]
    return "\n".join(lines)


def _followed(bus: EventBus, event: Event) -> tuple[list[Event], list[str]]:
    """What the built-in handlers made of it, in order, and what others did."""
    known, others = {event.id}, []
    followed: list[Event] = []
    for each in _events(bus, MOST_FOLLOWED, correlation=event.correlationid):
        if each.causationid not in known or (each.sequence or 0) <= (event.sequence or 0):
            continue
        if each.source in _OURS:
            known.add(each.id)
            followed.append(each)
        else:
            others.append(f"{each.type} by {each.source!r}")
    return followed, others


def _before(bus: EventBus, event: Event) -> list[Event]:
    """What others had said about the same subject before, the newest of it, and was handled."""
    earlier = list(
        _events(bus, MOST_BEFORE, subject=event.subject, before=event.sequence, order="desc")
    )[::-1]
    given = [each for each in earlier if each.source not in _OURS and not each.is_stripped]
    while sum(len(each.data_json) for each in given) > MOST_BEFORE_CHARS:
        given.pop(0)
    with bus.log.reading() as conn:
        found = deliveries_of(conn, [each.sequence or 0 for each in given])
    return [each for each in given if not _dead(found.get(each.sequence or 0, []))]


def _events(bus: EventBus, limit: int, order: Any = "asc", **where: Any) -> Iterator[Event]:
    yield from bus.log.query(EventQuery(limit=limit, order=order, **where)).events


def _expected_failures(bus: EventBus, event: Event) -> list[str]:
    return [
        f"    event_bus.expect_failure(match={(each.error_message or '')[:120]!r}, "
        f"subscription={each.subscription!r})"
        for each in _dead(bus.log.deliveries(event.sequence or 0))
    ]


def _dead(deliveries: Sequence[Delivery]) -> list[Delivery]:
    ours = {kind.name for kind in KINDS}
    return [each for each in deliveries if each.subscription in ours and each.error_class
            and each.state in ("dead", "discarded")]  # fmt: skip


def _plain(event: Event) -> dict[str, Any]:
    whole = event.to_dict()
    known = {name: whole[name] for name in _KEPT if whole.get(name) is not None}
    # Which only a CloudEvent may have.
    more = {"specversion": SPECVERSION, **event.extensions} if event.extensions_json else {}
    return known | more


def _settings(settings: HandlerSettings) -> str:
    rules = tuple(rule.text for rule in settings.rules())
    given = f"max_retries={settings.max_retries!r}"
    return f"HandlerSettings({given}{f', metric_rules={rules!r}' if rules else ''})"


def _word(event: Event) -> str:
    return re.sub(r"[^a-z0-9]+", "_", event.type.lower()).strip("_") or "event"
