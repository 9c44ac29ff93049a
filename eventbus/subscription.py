"""A subscription: a pattern and a handler, its name, and how its failures are retried."""

from __future__ import annotations

import inspect
import logging
import random
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import AsyncGeneratorType, GeneratorType
from typing import Any, TypeVar

from eventbus.errors import RetryLaterError, SubscriptionError
from eventbus.event import Event
from eventbus.patterns import Pattern

logger = logging.getLogger("eventbus")

Handler = Callable[[Event], Any]
Key = Callable[[Event], str]
F = TypeVar("F", bound=Handler)

_MAX_NAME_CHARS = 200
_MAX_CONCURRENCY = 1_000
_JITTER = 0.25


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast a failing delivery is tried again.

    ``max_attempts`` counts the first one; ``timeout_s`` bounds one attempt; the delay doubles
    from ``base_delay_s`` to ``max_delay_s`` (seconds), then up to a quarter is added at random,
    so that what failed together does not come back together.
    """

    max_attempts: int = 5
    timeout_s: float = 30.0
    base_delay_s: float = 1.0
    max_delay_s: float = 300.0

    def __post_init__(self) -> None:
        _check_attempts(self.max_attempts)
        for name in ("timeout_s", "base_delay_s", "max_delay_s"):
            _check_seconds(name, getattr(self, name))

    def changed(self, max_attempts: int | None, timeout_s: float | None) -> RetryPolicy:
        """The policy with what is not None instead of its own. Raises SubscriptionError."""
        given = {"max_attempts": max_attempts, "timeout_s": timeout_s}
        return replace(self, **{name: v for name, v in given.items() if v is not None})  # type: ignore[arg-type]

    @property
    def longest_delay_s(self) -> float:
        """The most that ``delay_s`` can give."""
        return self.max_delay_s * (1.0 + _JITTER)

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1) has failed."""
        # Bounded before the power: 2.0 ** 5000 would overflow.
        doubled = self.base_delay_s * 2.0 ** min(attempt - 1, 60)
        return min(self.max_delay_s, doubled) * (1.0 + random.random() * _JITTER)

    def delay_after_s(self, attempt: int, error: BaseException) -> float:
        """The same after it has failed with ``error``, which may ask for more."""
        delay_s = self.delay_s(attempt)
        # Of a subclass that does not call ours it may be missing, or anything.
        asked_s = getattr(error, "retry_after_s", 0.0)
        if isinstance(error, RetryLaterError) and isinstance(asked_s, int | float):
            return max(delay_s, min(asked_s, self.max_delay_s))
        return delay_s


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """A live subscription; ``is_durable`` ones get every event also across restarts.

    Those that are ``together`` have one process, of several that share a log, for all of them.
    """

    name: str
    pattern: Pattern
    handler: Handler = field(repr=False)
    is_durable: bool
    is_async: bool
    is_inline: bool
    policy: RetryPolicy
    concurrency: int
    key: Key = field(repr=False)
    together: bool = False

    @property
    def is_remote(self) -> bool:
        """Whether its handler runs in another process, whose end is not this one's."""
        return getattr(self.handler, "is_remote", False)


def decorator(
    subscribe: Callable[..., object], pattern: str | Pattern, options: Mapping[str, Any]
) -> Callable[[F], F]:
    """What subscribes the function that it decorates, which stays as it is."""

    def decorate(handler: F) -> F:
        subscribe(pattern, handler, **options)
        return handler

    return decorate


def stable_name(handler: Handler) -> str | None:
    """``module:qualified.name`` of a function or method; None for lambdas, closures and objects."""
    function = inspect.unwrap(getattr(handler, "__func__", handler))
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if name is None or module is None or "<" in name:
        return None
    return f"{module}:{name}"


def new_subscription(
    pattern: str | Pattern,
    handler: Handler,
    retry: RetryPolicy,
    taken: Container[str],
    numbers: Iterator[int],
    *,
    name: str | None,
    max_attempts: int | None,
    timeout: float | None,
    concurrency: int,
    inline: bool,
    key: Key | None,
    together: bool,
) -> Subscription:
    """A subscription whose name is not among the ``taken``; ``numbers`` tell nameless ones apart.

    ``retry`` is for what is None. Raises PatternError, SubscriptionError.
    """
    if not isinstance(pattern, Pattern):
        pattern = Pattern(pattern)
    check_options(
        handler, name, concurrency, max_attempts, timeout,
        key=key, inline=inline, together=together,
    )  # fmt: skip
    chosen, is_durable = _choose_name(handler, name, pattern, taken, numbers)
    policy = retry.changed(max_attempts, timeout)
    return Subscription(
        chosen, pattern, handler, is_durable, is_async_callable(handler), inline,
        policy, concurrency, key or by_subject, together,
    )  # fmt: skip


def _choose_name(
    handler: Handler,
    name: str | None,
    pattern: Pattern,
    taken: Container[str],
    numbers: Iterator[int],
) -> tuple[str, bool]:
    """A subscription's name and whether it is durable; raises SubscriptionError for a taken one.

    ``numbers`` tells those apart that have none.
    """
    if name is not None:
        if name in taken:
            raise SubscriptionError(f"the name {name!r} is taken by another subscription")
        return name, True
    stable = stable_name(handler)
    if stable is None:
        numbered = map("ephemeral-{}".format, numbers)
        chosen = next(candidate for candidate in numbered if candidate not in taken)
        logger.info(
            "%s for %s has no stable name (a lambda or closure): it gets what is published "
            "while it lives; give it a name= to make it durable", chosen, pattern,
        )  # fmt: skip
        return chosen, False
    for candidate in (stable, f"{stable}[{pattern}]"):
        if candidate not in taken:
            return candidate, True
    raise SubscriptionError(
        f"{stable} is subscribed to {pattern} already; give the other one a name="
    )


def is_async_callable(handler: Handler) -> bool:
    """Whether calling it gives a coroutine at once (so that calling cannot block)."""
    function: Any = handler
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not inspect.isroutine(function):  # an object with a __call__ method
        function = type(function).__call__
    return inspect.iscoroutinefunction(function)


def check_result(result: object) -> None:
    """Raises SubscriptionError for what a handler gives when a call of it runs nothing."""
    if isinstance(result, GeneratorType | AsyncGeneratorType):
        raise SubscriptionError(
            f"a handler must not yield: this one gave {result!r}, whose body never runs"
        )


def by_subject(event: Event) -> str:
    """The default ordering key."""
    return event.subject


def check_name(name: object) -> None:
    """Raises SubscriptionError for what cannot name a subscription."""
    is_text = isinstance(name, str) and bool(name.strip()) and name.isprintable()
    if not is_text or len(str(name)) > _MAX_NAME_CHARS:
        raise SubscriptionError(
            f"a name must be 1 to {_MAX_NAME_CHARS} printable characters, not {str(name)[:300]!r}"
        )


def check_options(
    handler: Handler,
    name: str | None,
    concurrency: int,
    max_attempts: int | None,
    timeout: float | None,
    *,
    key: Key | None = None,
    **flags: bool,
) -> None:
    """Raises SubscriptionError, which names the option, the rule and the value."""
    if not callable(handler):
        raise SubscriptionError(f"a handler must be callable, {handler!r} is not")
    if _is_generator(handler):
        raise SubscriptionError(
            f"a handler must not yield: {handler!r} is a generator, whose body would never run"
        )
    if name is not None:
        check_name(name)
    if not _is_whole(concurrency) or not 1 <= concurrency <= _MAX_CONCURRENCY:
        raise SubscriptionError(
            f"concurrency must be from 1 to {_MAX_CONCURRENCY}, not {concurrency!r}"
        )
    if max_attempts is not None:
        _check_attempts(max_attempts)
    if timeout is not None:
        _check_seconds("timeout", timeout)
    if key is not None and not callable(key):
        raise SubscriptionError(f"key must be a function of an event, not {key!r}")
    for flag, value in flags.items():
        if not isinstance(value, bool):
            raise SubscriptionError(f"{flag} must be True or False, not {value!r}")


def _is_generator(handler: Handler) -> bool:
    while hasattr(handler, "func"):  # functools.partial, also of an object
        handler = handler.func
    function = handler if inspect.isroutine(handler) else type(handler).__call__
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_attempts(value: int) -> None:
    if not _is_whole(value) or value < 1:
        raise SubscriptionError(f"max_attempts must be at least 1, a whole number, not {value!r}")


def _check_seconds(name: str, value: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not value > 0:
        raise SubscriptionError(f"{name} must be above 0, a number of seconds, not {value!r}")
