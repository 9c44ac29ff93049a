"""A bus under observation: what was published on it, what failed, and time in the test's hand."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

from eventbus.bus import EventBus
from eventbus.event import Event
from eventbus.lane import Job
from eventbus.log import EventLog
from eventbus.patterns import Pattern
from eventbus.testing.clock import FakeClock
from eventbus.testing.differences import differences, explain, shown

SETTLE_TIMEOUT_S = 5.0
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed: ``attempt`` counts from 1, ``error`` is what the handler raised."""

    subscription: str
    event: Event
    attempt: int
    error: BaseException


@dataclass(eq=False, slots=True)
class _Expectation:
    subscription: str
    error: type[BaseException]
    match: str
    count: int = 0

    def covers(self, failure: Failure) -> bool:
        return (
            fnmatchcase(failure.subscription, self.subscription)
            and isinstance(failure.error, self.error)
            and self.match in str(failure.error)
        )


class ObservedBus(EventBus):
    """An EventBus with a clock that stands still, which remembers what failed.

    All that an EventBus can, it can as well, so give it to what is tested. Methods that assert
    wait by themselves until the bus has come to rest.
    """

    def __init__(self, log: EventLog, *, clock: FakeClock | None = None, **options: Any) -> None:
        """``options`` are those of EventBus; ``clock`` is there to let several share one."""
        self.clock = clock or FakeClock()
        self.failures: list[Failure] = []
        """Every attempt that failed, in order; also of handlers without a name."""
        self._expected: list[_Expectation] = []
        super().__init__(log, clock=self.clock, **options)
        self.dispatcher.on_failure = self._attempt_failed
        self.clock.attach(self)

    @classmethod
    def temporary(cls, **options: Any) -> Self:
        """A bus on a new log that is removed when it is closed; use it in a ``with``."""
        return cls(EventLog("sqlite://"), **options)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self, timeout: float = 2.0) -> None:
        self.clock.detach(self)
        super().close(timeout)

    # -- waiting -----------------------------------------------------------------------------

    def settle(self, timeout: float = SETTLE_TIMEOUT_S) -> None:
        """Wait until everything that can be done now is done.

        That is all deliveries, those of the further events that their handlers published, and
        what is due by the clock; what is due later waits for ``clock.advance``. Raises
        AssertionError, telling what is not done, after ``timeout`` seconds of real time.
        """
        __tracebackhide__ = True
        if self.drain(timeout):
            return
        lines = [f"the bus has not come to rest within {timeout:g} s:"]
        for run in self.running():
            lines.append(
                f"  {run.subscription} handles #{run.sequence} {run.event_type}, "
                f"attempt {run.attempt}"
            )
        for stats in self.subscriptions():
            if stats.lag:
                lines.append(f"  {stats.name} has {stats.lag} to do")
        raise AssertionError("\n".join(lines))

    # -- what was published ------------------------------------------------------------------

    def events(self, pattern: str = "*") -> list[Event]:
        """What was recorded so far and matches, in order; does not wait."""
        found: list[Event] = []
        position, end = 0, self.log.last_sequence
        while position < end:
            chunk = self.log.read(position, _PAGE, upto=end)
            found += chunk.events
            position = chunk.position
        wanted = Pattern(pattern)
        return [event for event in found if wanted.matches(event.type)]

    def published(
        self,
        type_or_pattern: str,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        times: int | None = None,
        within: float | None = None,
        **subset: Any,
    ) -> list[Event]:
        """Assert that such events were published, and return them in order.

        Their data must have the fields of ``subset`` (of objects in it, again at least the
        fields). Fields whose names are no keywords, or are ``times`` or ``within``, are given as
        ``data``. With ``times`` there must be exactly so many. ``within`` is how many seconds of
        real time they may take to come, for what threads and processes publish that the bus knows
        nothing of; it returns as soon as they are there. Raises AssertionError, which shows what
        was published instead.
        """
        __tracebackhide__ = True
        expected = {**(data or {}), **subset}
        with self._news() as news:
            deadline = time.monotonic() + (within or 0.0)
            while True:
                news.clear()
                self.settle()
                found = self._matching(type_or_pattern, expected)
                if found if times is None else len(found) == times:
                    return found
                is_too_often = times is not None and len(found) > times
                left_s = deadline - time.monotonic()
                if is_too_often or left_s <= 0 or not news.wait(left_s):
                    break
        wanted = f"{type_or_pattern!r}" + (f" with {shown(expected)}" if expected else "")
        how_often = f"{len(found)} times, not {times}" if times is not None else "never"
        how_often += f" within {within:g} s" if within and not is_too_often else ""
        lines = [f"{wanted} was published {how_often}"]
        if found:
            lines += [
                f"  #{event.sequence} {event.type} {shown(event.data)}" for event in found[:10]
            ]
        else:
            lines.append(explain(self.events(), Pattern(type_or_pattern), expected))
        raise AssertionError("\n".join([*lines, *self._hints()]))

    def not_published(
        self, type_or_pattern: str, data: Mapping[str, Any] | None = None, /, **subset: Any
    ) -> None:
        """Assert that no such event was published; otherwise as ``published``."""
        __tracebackhide__ = True
        self.settle()
        found = self._matching(type_or_pattern, {**(data or {}), **subset})
        if found:
            lines = [
                f"  #{event.sequence} {event.type} {shown(event.data)}" for event in found[:10]
            ]
            raise AssertionError("\n".join(["published, against what was expected:", *lines]))

    @contextmanager
    def _news(self) -> Iterator[threading.Event]:
        """An event that is set whenever something is recorded."""
        news = threading.Event()

        def tell(_: list[Event]) -> None:
            news.set()

        self.log.add_listener(tell)
        try:
            yield news
        finally:
            self.log.remove_listener(tell)

    def _matching(self, pattern: str, expected: Mapping[str, Any]) -> list[Event]:
        return [event for event in self.events(pattern) if not differences(expected, event.data)]

    def _hints(self) -> list[str]:
        hints = []
        if scheduled := self.log.schedules.count():
            hints.append(f"{scheduled} scheduled for later: event_bus.clock.advance(...)")
        if retrying := sum(stats.retrying for stats in self.subscriptions()):
            hints.append(f"{retrying} deliveries wait for a retry: event_bus.clock.advance(...)")
        for failure in self.failures[-3:]:
            hints.append(
                f"{failure.subscription} failed for {failure.event.type}: {failure.error!r}"
            )
        return hints

    # -- what failed -------------------------------------------------------------------------

    def expect_failure(
        self,
        error: type[BaseException] = Exception,
        *,
        match: str = "",
        subscription: str = "*",
    ) -> None:
        """Say that attempts will fail: at least one, with this error, whose message has ``match``.

        ``subscription`` is a name, ``*`` in it stands for anything. Which failures were expected
        is looked at in ``check_failures``.
        """
        self._expected.append(_Expectation(subscription, error, match))

    def check_failures(self) -> None:
        """Assert that what failed was expected and what was expected failed."""
        __tracebackhide__ = True
        unexpected = []
        for expectation in self._expected:
            expectation.count = 0
        for failure in self.failures:
            covering = [each for each in self._expected if each.covers(failure)]
            for each in covering:
                each.count += 1
            if not covering:
                unexpected.append(failure)
        lines = [
            f"expected {each.error.__name__} of {each.subscription!r}"
            + (f" with {each.match!r}" if each.match else "")
            + ", but nothing like it was raised"
            for each in self._expected
            if not each.count
        ]
        for failure in unexpected[:3]:
            lines.append(
                f"{failure.subscription} failed unexpectedly for {failure.event!r}, attempt "
                f"{failure.attempt}:\n{''.join(traceback.format_exception(failure.error))}"
            )
        if unexpected:
            lines.append(f"{len(unexpected)} attempts failed; see event_bus.expect_failure")
        if lines:
            raise AssertionError("\n".join(lines))

    def _attempt_failed(self, job: Job, error: BaseException) -> None:
        name = job.lane.subscription.name
        self.failures.append(Failure(name, job.event, job.attempt + 1, error))
