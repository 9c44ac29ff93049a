"""What a broker is to the bus: connect, publish with confirms, receive, acknowledge, close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from eventbus.event import Event


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """A message as it came from a broker, until it is acknowledged.

    ``attributes`` are the CloudEvents attributes that it carries beside its body (binary mode),
    by their names without a prefix; empty when there are none. ``mapped`` stands in for them when
    the message is no CloudEvent at all; None when such a message cannot be told apart from
    others and so must be refused. ``origin`` is where it came from, for people, ``mark`` tells it
    apart from every other message from there. ``token`` is the adapter's own. ``wrong``
    names attributes whose values have no form as text, such as tables: then it is no event.
    """

    body: bytes
    content_type: str
    attributes: Mapping[str, str]
    mapped: Mapping[str, str] | None
    origin: str
    mark: str
    token: Any = field(default=None, repr=False)
    wrong: tuple[str, ...] = ()


class Link(Protocol):
    """One connection; used on the event loop on which it was made, and never again once lost.

    Whatever finds the connection lost raises BrokerAwayError; what was published but not
    confirmed, and what was received but not acknowledged, may come twice then.
    """

    @property
    def warning(self) -> str | None:
        """What is not as it was asked for, although the link works; any thread may read it."""

    async def publish(self, events: Sequence[Event]) -> Mapping[int, str]:
        """Send the events in this order; returns when the broker has all of them for good.

        The result has, by index, why the broker will never take an event. Raises
        BrokerAwayError.
        """

    async def receive(self) -> Sequence[Incoming]:
        """The next messages, at least one, in the order of the broker. Raises BrokerAwayError.

        No more are handed out than the adapter's bound while some are unacknowledged.
        """

    async def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """They are dealt with for good: all that ``receive`` has returned at once.

        Raises BrokerAwayError.
        """

    async def give_back(self, messages: Sequence[Incoming]) -> None:
        """They are not dealt with: the broker is to deliver them again. Raises BrokerAwayError."""

    async def close(self) -> None:
        """End the connection in order; what is unacknowledged comes again. Never raises."""


class Broker(Protocol):
    """Where links are made to; ``name`` is its kind, ``shown`` its address without a password."""

    @property
    def name(self) -> str: ...

    @property
    def shown(self) -> str: ...

    async def connect(self) -> Link:
        """Connect, and make what is needed there: exchange, queue or topic.

        Raises BrokerAwayError.
        """
