"""The address of a broker: EVENTBUS_BROKER_URL, read and checked before anything is connected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from eventbus.errors import BrokerAddressError

Kind = Literal["rabbitmq", "kafka"]

_KINDS: dict[str, Kind] = {
    "amqp": "rabbitmq", "amqps": "rabbitmq", "kafka": "kafka", "kafka+ssl": "kafka",
}  # fmt: skip
_PORTS = {"amqp": 5672, "amqps": 5671, "kafka": 9092, "kafka+ssl": 9092}
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253})(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
QUEUE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_WHOLE = re.compile(r"[0-9]{1,9}")

# What may stand behind the "?", and its least and most when it is a number.
_NUMBERS = {
    "prefetch": (1, 10_000),
    "heartbeat": (1, 600),
    "delivery-limit": (1, 1_000),
    "partitions": (1, 1_000),
}
_CHOICES = {
    "from": ("now", "beginning"),
    "sasl": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
}
_FILES = frozenset({"ca", "cert", "key"})
_OPTIONS = {
    "rabbitmq": {"exchange", "prefetch", "heartbeat", "delivery-limit", *_FILES},
    "kafka": {"topic", "read", "prefetch", "partitions", "from", "sasl", *_FILES},
}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """An address that was checked.

    ``hosts`` are host and port; ``path`` is the virtual host of RabbitMQ, the prefix of Kafka's
    topic; ``options`` is what stood behind the ``?``.
    """

    kind: Kind
    scheme: str
    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None
    path: str
    options: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> BrokerAddress:
        """Read ``amqp://user:password@host:5672/vhost?…`` or ``kafka://a:9092,b:9092/prefix?…``.

        Raises BrokerAddressError, which never repeats a password.
        """
        if not isinstance(text, str):
            raise BrokerAddressError(f"must be text, such as amqp://host/, not {text!r}")
        parts = _split(text)
        kind = _KINDS.get(parts.scheme)
        if kind is None:
            raise BrokerAddressError(
                f"must begin with amqp://, amqps://, kafka:// or kafka+ssl://, not with "
                f"{parts.scheme[:20] + '://' if parts.scheme else 'anything else'}"
            )
        if parts.fragment:
            raise BrokerAddressError("must have no #fragment")
        login, at, hosts = parts.netloc.rpartition("@")
        user, colon, password = login.partition(":")
        found = _hosts(hosts, _PORTS[parts.scheme])
        if kind == "rabbitmq" and len(found) > 1:
            raise BrokerAddressError("must have one host: put a load balancer before a cluster")
        address = cls(
            kind, parts.scheme, found,
            unquote(user) if at else None, unquote(password) if colon else None,
            _path(kind, parts.path), _options(kind, parts.query),
        )  # fmt: skip
        address._check_security()
        return address

    @property
    def shown(self) -> str:
        """For people: without a login."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{self.scheme}://{hosts}{'/' + self.path if self.path else ''}"

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is asked for."""
        return self.scheme in ("amqps", "kafka+ssl")

    def option(self, name: str, default: str) -> str:
        """What stood behind the ``?`` under ``name``."""
        return dict(self.options).get(name, default)

    def number(self, name: str, default: int) -> int:
        """The same as a number."""
        return int(self.option(name, str(default)))

    def _check_security(self) -> None:
        given = dict(self.options)
        files = [name for name in sorted(_FILES) if name in given]
        if files and not self.is_encrypted:
            secure = "amqps" if self.kind == "rabbitmq" else "kafka+ssl"
            raise BrokerAddressError(f"{files[0]} is for {secure}://, not for {self.scheme}://")
        if "key" in given and "cert" not in given:
            raise BrokerAddressError("key needs cert, the certificate that it belongs to")
        if "sasl" in given and self.user is None:
            raise BrokerAddressError("sasl needs a login in the address: kafka://user:password@…")


def check_broker_name(name: str) -> str:
    """What may name a queue or consumer group, on every broker. Raises BrokerAddressError."""
    if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
        raise BrokerAddressError(
            "the name of the queue or consumer group must be 1 to 100 of A-Z, a-z, 0-9, '.', '_' "
            f"and '-', not {str(name)[:120]!r}"
        )
    return name


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise BrokerAddressError(f"is no URL: {error}") from None


def _hosts(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for each in text.split(","):
        match = _HOST.fullmatch(each)
        if match is None or not 0 < int(match["port"] or default_port) < 65_536:
            raise BrokerAddressError("must name a host, or host:port with a port below 65536")
        found.append((match["host"], int(match["port"] or default_port)))
    return tuple(found)


def _path(kind: Kind, path: str) -> str:
    name = unquote(path.removeprefix("/"))
    if kind == "kafka" and name and not _NAME.fullmatch(name):
        raise BrokerAddressError("the prefix of topics must be of A-Z, a-z, 0-9, '.', '_' and '-'")
    return name


def _options(kind: Kind, query: str) -> tuple[tuple[str, str], ...]:
    found = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS[kind]:
            allowed = ", ".join(sorted(_OPTIONS[kind]))
            raise BrokerAddressError(f"has an unknown option {name[:40]!r}; there are {allowed}")
        if name in found:
            raise BrokerAddressError(f"has the option {name} twice")
        if name in _NUMBERS:
            least, most = _NUMBERS[name]
            if not _WHOLE.fullmatch(value) or not least <= int(value) <= most:
                raise BrokerAddressError(f"{name} must be a whole number from {least} to {most}")
        elif name in _CHOICES:
            if value not in _CHOICES[name]:
                allowed = " or ".join(_CHOICES[name])
                raise BrokerAddressError(f"{name} must be {allowed}, not {value[:80]!r}")
        elif name in _FILES:
            if not value or not value.isprintable():
                raise BrokerAddressError(f"{name} must be the path of a file, not {value[:80]!r}")
        elif not all(map(_NAME.fullmatch, value.split(",") if name == "read" else [value])):
            raise BrokerAddressError(
                f"{name} must be of A-Z, a-z, 0-9, '.', '_' and '-', not {value[:80]!r}"
            )
        found[name] = value
    return tuple(found.items())
