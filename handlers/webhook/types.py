"""The ``webhook.*`` types: what people do with outgoing webhooks."""

from __future__ import annotations

from collections.abc import Iterator

from eventbus.catalogue import Declaration
from eventbus.catalogue.fields import BY, declared, record, text
from handlers.webhook.webhooks import CHANGED, CREATED, DELETED, ROTATED, TESTED

OWNER = "Webhooks"

_WORDS = {
    CREATED: ("A webhook was made", "Events that match its pattern are sent to its URL."),
    CHANGED: ("A webhook was changed", "What comes from now on is sent as it says now."),
    DELETED: ("A webhook was deleted", "Nothing more is sent to its URL."),
    ROTATED: ("A webhook has a new secret", "The old one signs beside it for a while."),
    TESTED: ("A webhook was tried", "A person had a test sent to its URL."),
}


def _types() -> Iterator[Declaration]:
    for type, (title, description) in _WORDS.items():
        yield declared(
            type, title, description,
            record("name", name=text("of the webhook"), pattern=text("which events it is sent"),
                   url=text("where to, without what may be secret in it"), by=BY),
            {"name": "billing", "pattern": "invoice.*", "url": "https://example.org", "by": "ann"},
            OWNER,
        )  # fmt: skip


TYPES = tuple(_types())
