"""The environment variables of a message broker beside the bus; part of those in app/config.py."""

from __future__ import annotations

from app.variables import Variable
from eventbus.brokers.address import QUEUE_NAME, BrokerAddress
from eventbus.brokers.opening import check_usable
from eventbus.errors import BrokerAddressError, MissingPackageError, PatternError
from eventbus.patterns import Pattern


def _name(text: str) -> str:
    if not QUEUE_NAME.fullmatch(text):
        raise ValueError(text)
    return text


def _patterns(text: str) -> tuple[Pattern, ...]:
    if text.lower() == "none":
        return ()
    try:
        return tuple(Pattern(part.strip()) for part in text.split(","))
    except PatternError as error:
        raise ValueError(str(error)) from error


def broker_problems(broker: BrokerAddress | None) -> list[str]:
    """Why an address that is right cannot be used here: no client, or no such certificates."""
    if broker is not None:
        try:
            check_usable(broker)
        except (BrokerAddressError, MissingPackageError) as error:
            return [f"EVENTBUS_BROKER_URL cannot be used: {error}"]
    return []


BROKER_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_BROKER_URL", "broker", BrokerAddress.parse,
        "`amqp://user:password@host:5672/vhost`, `amqps://…`, `kafka://host:9092,host:9092/prefix` "
        "or `kafka+ssl://…`; options behind a `?`",
        "The message broker that events are relayed to and taken in from; see docs/brokers.md.",
    ),
    Variable(
        "EVENTBUS_BROKER_NAME", "broker_name", _name,
        "up to 100 of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`",
        "The queue or consumer group of this bus; each bus needs one of its own.",
    ),
    Variable(
        "EVENTBUS_BROKER_SEND", "broker_send", _patterns,
        "patterns separated by commas, or `none`",
        "Which events go out to the broker; never those of `bus.*`, nor what came from there.",
    ),
    Variable(
        "EVENTBUS_BROKER_TAKE", "broker_take", _patterns,
        "patterns separated by commas, or `none`",
        "Which events come in from the broker.",
    ),
)  # fmt: skip
