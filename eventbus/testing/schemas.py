"""Events held against the schemas of a folder: what a program publishes is what it declares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eventbus.catalogue import Catalogue, read_folder
from eventbus.event import Event
from eventbus.testing.differences import shown
from eventbus.testing.observed import ObservedBus

_MOST_SHOWN = 20


def assert_matches_schemas(
    published: ObservedBus | Iterable[Event], folder: Path | str, *, allow_unknown: bool = True
) -> None:
    """Assert that events keep to the schemas that the files of ``folder`` declare.

    ``published`` is an observed bus, which comes to rest first, or events. Without
    ``allow_unknown`` each type must be declared, too. Raises AssertionError, which names every
    event, field and rule, and DeclarationError for a folder that cannot be used.
    """
    __tracebackhide__ = True
    catalogue = Catalogue(read_folder(folder), unknown="allow" if allow_unknown else "refuse")
    if isinstance(published, ObservedBus):
        published.settle()
        events = published.events()
    else:
        events = list(published)
    lines: list[str] = []
    for event in events:
        for error in catalogue.violations(event.type, event.data):
            lines.append(f"  {event.type} {error.pointer} {error.detail}: {shown(event.data)}")
    if lines:
        more = f"\n  and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
        text = "\n".join(lines[:_MOST_SHOWN])
        raise AssertionError(f"published, against the schemas of {folder}:\n{text}{more}")
