"""Every setting of the app: read once from the environment, checked, handed down as one value."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.access.mask_rules import MaskError, MaskRule
from app.access.oidc.client import RoleRule
from app.access.rate import RequestRate
from app.access.scopes import Role
from app.access_variables import ACCESS_VARIABLES
from app.broker_variables import BROKER_VARIABLES, broker_problems
from app.database_variables import (
    DATABASE_VARIABLES,
    DEFAULT_DATABASE_URL,
    DEFAULT_FILES_FOLDER,
    database_problems,
)
from app.hooks.hook import Hook
from app.host_names import host, host_names
from app.notify_variables import NOTIFY_VARIABLES
from app.observe_variables import OBSERVE_VARIABLES
from app.oidc_variables import OIDC_VARIABLES, oidc_problems
from app.proxies import Network
from app.schema_variables import SCHEMA_VARIABLES
from app.storage_variables import STORAGE_VARIABLES
from app.variables import Variable, number, whole, yes_or_no
from app.webhook_variables import WEBHOOK_VARIABLES
from eventbus.brokers.address import BrokerAddress
from eventbus.catalogue import ModeRule, read_folder
from eventbus.catalogue.policy import Unknown
from eventbus.errors import BrokerAddressError, DeclarationError, RetentionError
from eventbus.patterns import Pattern
from eventbus.retention import RetentionRule
from handlers.addresses import AddressPolicy
from handlers.errors import HookFileError, RuleError
from handlers.notify import Channel, MailServer, RateLimit
from handlers.retry_delays import RetryDelay, parse_delays
from handlers.rules import MetricRule

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class SettingsError(Exception):
    """Environment variables that cannot be used; ``problems`` has one sentence for each.

    ``log_format`` is how the log was to look, as far as that was right.
    """

    def __init__(self, problems: tuple[str, ...], log_format: str = "text") -> None:
        self.problems = problems
        self.log_format = log_format
        super().__init__("Event Bus cannot start:\n" + "\n".join(f"  {p}" for p in problems))


# Errors that say what is wrong and not only that something is.
_EXPLAINED = HookFileError | BrokerAddressError | MaskError | RetentionError


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. Durations end in their unit, sizes are bytes.

    ``allowed_hosts`` are the names under which a browser may ask for this server; empty means any.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    insecure_bind: bool = False
    allowed_hosts: tuple[str, ...] = LOOPBACK_NAMES
    database_url: str = field(default=DEFAULT_DATABASE_URL, repr=False)  # may have a password
    files_folder: str = DEFAULT_FILES_FOLDER
    share_subscriptions: bool = True
    source: str = "/eventbus"
    max_event_bytes: int = 262_144
    max_body_bytes: int = 8_388_608
    request_threads: int = 32
    max_sockets: int = 500
    read_timeout_s: float = 10.0
    live_tick_ms: int = 100
    ping_every_s: float = 25.0
    consumer_grace_s: float = 5.0
    max_attempts: int = 5
    handler_timeout_s: float = 30.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 300.0
    max_retries: int = 3
    retry_delays: tuple[RetryDelay, ...] = ()
    stalled_min_s: float = 3600.0
    stalled_factor: float = 3.0
    stalled_quiet_s: float = 60.0
    check_s: float = 15.0
    metric_rules: tuple[MetricRule, ...] = ()
    retention: tuple[RetentionRule, ...] = ()
    max_database_bytes: int = 0
    channels: tuple[Channel, ...] = ()
    mail_server: MailServer | None = None
    mail_from: str = "eventbus@localhost"
    notify_limit: RateLimit = RateLimit()
    notify_attempts: int = 20
    notify_timeout_s: float = 10.0
    public_url: str = ""
    webhook_networks: AddressPolicy | None = None
    hooks: tuple[Hook, ...] = ()
    travel_max_bytes: int = 2_000_000_000
    schemas: str = ""
    schema_modes: tuple[ModeRule, ...] = ()
    unknown_types: Unknown = "allow"
    session_idle_s: float = 43_200.0
    session_max_s: float = 604_800.0
    max_sockets_per_user: int = 100
    rate_limit: RequestRate | None = None
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_name: str = "single sign-on"
    oidc_scopes: tuple[str, ...] = ("openid", "profile", "email")
    oidc_name_claim: str = "preferred_username"
    oidc_role_claim: str = "groups"
    oidc_roles: tuple[RoleRule, ...] = ()
    oidc_default_role: Role | None = None
    oidc_audiences: tuple[str, ...] = ()
    oidc_sign_out: bool = False
    password_login: bool = True
    mask: tuple[MaskRule, ...] = ()
    mask_below: Role = "operator"
    broker: BrokerAddress | None = None
    broker_name: str = "eventbus"
    broker_send: tuple[Pattern, ...] = (Pattern("#"),)
    broker_take: tuple[Pattern, ...] = (Pattern("#"),)
    log_level: str = "info"
    log_format: str = "text"
    log_requests: bool = False
    log_payloads: bool = False
    tracing: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    warn_disk_bytes: int = 500_000_000
    warn_lag_s: float = 300.0
    warn_dead_letters: int = 10

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that ``environ`` asks for; an empty value counts as not set.

        Raises SettingsError, which names every wrong variable at once.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for variable in VARIABLES:
            text = environ.get(variable.name, "").strip()
            if not text:
                continue
            try:
                values[variable.field] = variable.parse(text)
            except ValueError as error:
                shown = variable.shown(text)
                allowed = variable.allowed.replace("`", "")
                is_told = isinstance(error, _EXPLAINED)
                detail = f" ({error})" if is_told else ""
                problems.append(f"{variable.name}={shown!r} is wrong; allowed: {allowed}{detail}")
        settings = cls(**values)
        problems += settings._contradictions()
        if problems:
            raise SettingsError(tuple(problems), settings.log_format)
        if "allowed_hosts" not in values:
            own = settings.bind.rpartition(":")[0]
            names = dict.fromkeys((*LOOPBACK_NAMES, own))  # each once, in this order
            values["allowed_hosts"] = tuple(names) if settings.is_loopback else ()
        return cls(**values)

    def _contradictions(self) -> list[str]:
        """What is wrong with values that are right one by one."""
        problems = []
        if self.backoff_first_s > self.backoff_max_s:
            problems.append(
                f"EVENTBUS_BACKOFF_FIRST_S ({self.backoff_first_s:g}) is wrong; allowed: at most "
                f"EVENTBUS_BACKOFF_MAX_S ({self.backoff_max_s:g})"
            )
        mails = [channel.name for channel in self.channels if channel.kind == "email"]
        if mails and self.mail_server is None:
            problems.append(
                f"EVENTBUS_NOTIFY has the e-mail channel {mails[0]}, and EVENTBUS_SMTP_URL names "
                "no server to send by"
            )
        if self.schemas:
            try:
                read_folder(self.schemas)
            except DeclarationError as error:
                problems += [f"EVENTBUS_SCHEMAS={self.schemas!r} is wrong: {each.pointer}: "
                             f"{each.detail}" for each in error.errors[:20]]  # fmt: skip
        problems += broker_problems(self.broker) + database_problems(self.database_url)
        problems += oidc_problems(self)
        if self.max_event_bytes > self.max_body_bytes:
            problems.append(
                f"EVENTBUS_MAX_EVENT_BYTES ({self.max_event_bytes}) is wrong; allowed: at most "
                f"EVENTBUS_MAX_BODY_BYTES ({self.max_body_bytes})"
            )
        return problems

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def threads(self) -> int:
        """Threads of the server: an open WebSocket holds one for its life, a request its time."""
        return self.max_sockets + self.request_threads

    @property
    def bind(self) -> str:
        """Host and port as a server's ``bind`` option wants them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError(text)
    return text.lower()


def _rules(text: str) -> tuple[MetricRule, ...]:
    try:
        return tuple(MetricRule.parse(part) for part in text.split(";") if part.strip())
    except RuleError as error:
        raise ValueError(str(error)) from error


def _source(text: str) -> str:
    if len(text) > 1024 or not text.isprintable():
        raise ValueError(text)
    return text


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "HOST", "host", host,
        "an IP address or a host name; other than a loopback address only when there is a user or "
        "token, or with `EVENTBUS_INSECURE_BIND=yes`",
        "The address that the server listens on.",
    ),
    Variable(
        "PORT", "port", whole(0, 65_535), "a whole number from 0 to 65535",
        "The port that the server listens on; 0 takes a free one, which the start prints.",
    ),
    Variable(
        "EVENTBUS_INSECURE_BIND", "insecure_bind", yes_or_no, "yes or no",
        "Accept that everybody who reaches `HOST` can read and publish while there is neither user "
        "nor token.",
    ),
    Variable(
        "EVENTBUS_ALLOWED_HOSTS", "allowed_hosts", host_names,
        "host names separated by commas, `.example.org` with all below it; or `*` for any",
        "The names under which the server may be asked, against DNS rebinding. Behind a proxy, "
        "its public name. Any name when `HOST` is not a loopback address.",
    ),
    *DATABASE_VARIABLES,
    Variable(
        "EVENTBUS_SOURCE", "source", _source, "printable text of at most 1024 characters",
        "The `source` of events that come without one; what handlers publish has `/handlers/` and "
        "their name.",
    ),
    Variable(
        "EVENTBUS_MAX_EVENT_BYTES", "max_event_bytes", whole(1_024, 16_777_216),
        "a whole number from 1024 to 16777216, at most `EVENTBUS_MAX_BODY_BYTES`",
        "The largest payload of one event, as JSON in UTF-8.",
    ),
    Variable(
        "EVENTBUS_MAX_BODY_BYTES", "max_body_bytes", whole(1_024, 268_435_456),
        "a whole number from 1024 to 268435456",
        "The largest body of one request, so of a whole batch.",
    ),
    Variable(
        "EVENTBUS_REQUEST_THREADS", "request_threads", whole(4, 1_000),
        "a whole number from 4 to 1000",
        "How many requests are served at the same time, beside the open WebSockets.",
    ),
    Variable(
        "EVENTBUS_MAX_SOCKETS", "max_sockets", whole(1, 10_000), "a whole number from 1 to 10000",
        "How many WebSockets may be open at the same time.",
    ),
    Variable(
        "EVENTBUS_READ_TIMEOUT_S", "read_timeout_s", number(1, 600),
        "seconds from 1 to 600",
        "How long a request may keep the server waiting for the next part of its body.",
    ),
    Variable(
        "EVENTBUS_LIVE_TICK_MS", "live_tick_ms", whole(20, 5_000),
        "a whole number from 20 to 5000",
        "How often the live page gets what is new, in milliseconds.",
    ),
    Variable(
        "EVENTBUS_PING_EVERY_S", "ping_every_s", number(0.1, 3_600),
        "seconds from 0.1 to 3600",
        "How often every WebSocket is pinged; a peer that has not answered by the next time is "
        "taken for dead. Shorter than the patience of a proxy on the way.",
    ),
    Variable(
        "EVENTBUS_CONSUMER_GRACE_S", "consumer_grace_s", number(0, 3_600),
        "seconds from 0 to 3600",
        "How long a remote consumer whose connection broke may take to come back before the events "
        "that it was handling count as failed.",
    ),
    Variable(
        "EVENTBUS_MAX_ATTEMPTS", "max_attempts", whole(1, 100), "a whole number from 1 to 100",
        "How often a handler is tried with one event before the delivery is a dead letter.",
    ),
    Variable(
        "EVENTBUS_HANDLER_TIMEOUT_S", "handler_timeout_s", number(0.1, 86_400),
        "seconds from 0.1 to 86400",
        "How long one attempt of a handler may take.",
    ),
    Variable(
        "EVENTBUS_BACKOFF_FIRST_S", "backoff_first_s", number(0.01, 3_600),
        "seconds from 0.01 to 3600, at most `EVENTBUS_BACKOFF_MAX_S`",
        "The wait before the second attempt; it doubles with each further one.",
    ),
    Variable(
        "EVENTBUS_BACKOFF_MAX_S", "backoff_max_s", number(0.01, 86_400),
        "seconds from 0.01 to 86400",
        "The longest wait between two attempts.",
    ),
    Variable(
        "EVENTBUS_MAX_RETRIES", "max_retries", whole(0, 1_000), "a whole number from 0 to 1000",
        "How often a failed evaluation is retried before it is exhausted, when its events do not "
        "say it themselves.",
    ),
    Variable(
        "EVENTBUS_RETRY_DELAYS", "retry_delays", parse_delays,
        "delays like `math=30s, swe-bench=2m*2, *=5s`: an evaluation's task or `*` for all others, "
        "a number with s, m or h up to 24h, and a factor from 1 to 10 for each further retry",
        "How long a failed evaluation waits before `evaluation.retry` is published.",
    ),
    Variable(
        "EVENTBUS_STALLED_MIN_S", "stalled_min_s", number(1, 31_536_000),
        "seconds from 1 to 31536000",
        "An evaluation is never called stalled before it was active for this long.",
    ),
    Variable(
        "EVENTBUS_STALLED_FACTOR", "stalled_factor", number(1, 1_000), "a number from 1 to 1000",
        "It is called stalled after this many times the p99 duration of its kind.",
    ),
    Variable(
        "EVENTBUS_STALLED_QUIET_S", "stalled_quiet_s", number(0, 31_536_000),
        "seconds from 0 to 31536000",
        "It must also have shown no progress for this long.",
    ),
    Variable(
        "EVENTBUS_CHECK_S", "check_s", number(0.1, 3_600),
        "seconds from 0.1 to 3600",
        "How often evaluations are looked at for stalled ones, and alerts for mutes that are over.",
    ),
    Variable(
        "EVENTBUS_METRIC_RULES", "metric_rules", _rules,
        "rules like `gpu.memory > 0.95 for critical`, separated by semicolons; the name may be a "
        "pattern, the comparison >, >=, < or <=, the severity critical, warning or info",
        "Which metric values raise an alert.",
    ),
    *STORAGE_VARIABLES,
    *ACCESS_VARIABLES,
    *OIDC_VARIABLES,
    *NOTIFY_VARIABLES,
    *SCHEMA_VARIABLES,
    *WEBHOOK_VARIABLES,
    *BROKER_VARIABLES,
    Variable(
        "EVENTBUS_LOG_LEVEL", "log_level", _level, "debug, info, warning or error",
        "How much the server says on its standard error.",
    ),
    *OBSERVE_VARIABLES,
)  # fmt: skip
