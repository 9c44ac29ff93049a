"""Hooks that let an event bus watch the evaluations of Inspect AI.

Inspect loads this module through the entry point ``inspect_ai``, so with the package installed
it is enough to set the environment variable ``EVENTBUS_URL`` to the bus's address before the first
evaluation of the process; without it nothing is registered. See docs/inspect-ai.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from eventbus.client import RemoteEventBus
from eventbus.integrations.inspect_runs import Recorder

if TYPE_CHECKING:
    # Types alone: a version of Inspect that lacks one of them only never calls its hook.
    from inspect_ai.hooks import (
        ModelRetry,
        ModelUsageData,
        RunEnd,
        RunStart,
        SampleAttemptEnd,
        SampleEnd,
        TaskEnd,
        TaskStart,
    )

URL_VARIABLE = "EVENTBUS_URL"
SOURCE = "/inspect-ai"
TESTED_VERSION = "0.3.285"

log = logging.getLogger("eventbus.inspect_ai")

_T = TypeVar("_T")

try:
    from inspect_ai.hooks import Hooks, hooks
except ImportError as error:
    # Raised, it would end every command of Inspect, which loads this by an entry point.
    _missing: ImportError | None = error

    class Hooks:  # type: ignore[no-redef]
        """Stands in for what this version of Inspect does not have."""
else:
    _missing = None


def inspect_version() -> str:
    """The version of Inspect AI that is installed."""
    try:
        return metadata.version("inspect_ai")
    except metadata.PackageNotFoundError:
        return "unknown"


class EventBusHooks(Hooks):
    """Publishes what Inspect's hooks tell to the bus at ``EVENTBUS_URL``.

    The variable is looked at whenever Inspect asks whether the hooks are enabled. Every hook only
    queues events: it never waits, and an error in one is logged once and goes no further.
    """

    def __init__(self) -> None:
        self.bus: RemoteEventBus | None = None
        self._recorder: Recorder | None = None
        self._url: str | None = None
        self._failed: set[str] = set()

    def enabled(self) -> bool:
        """Whether ``EVENTBUS_URL`` names a bus."""
        url = os.environ.get(URL_VARIABLE)
        if url != self._url:
            self._url = url
            self._connect(url)
        return self.bus is not None

    async def on_run_start(self, data: RunStart) -> None:
        self._record(Recorder.run_start, data)

    async def on_run_end(self, data: RunEnd) -> None:
        self._record(Recorder.run_end, data)

    async def on_task_start(self, data: TaskStart) -> None:
        self._record(Recorder.task_start, data)

    async def on_task_end(self, data: TaskEnd) -> None:
        self._record(Recorder.task_end, data)

    async def on_sample_attempt_end(self, data: SampleAttemptEnd) -> None:
        self._record(Recorder.sample_attempt_end, data)

    async def on_sample_end(self, data: SampleEnd) -> None:
        self._record(Recorder.sample_end, data)

    async def on_model_usage(self, data: ModelUsageData) -> None:
        self._record(Recorder.model_usage, data)

    async def on_model_retry(self, data: ModelRetry) -> None:
        self._record(Recorder.model_retry, data)

    def _connect(self, url: str | None) -> None:
        self.bus = self._recorder = None  # a former client sends what it has, and idles
        if not url:
            return
        try:
            self.bus = RemoteEventBus(url, source=SOURCE)
        except ValueError as error:
            log.warning("%s is wrong, so no events are published: %s", URL_VARIABLE, error)
        else:
            self._recorder = Recorder(self.bus.publish)

    def _record(self, method: Callable[[Recorder, _T], None], data: _T) -> None:
        if self._recorder is None:
            return
        try:
            method(self._recorder, data)
        except Exception as error:
            # The evaluation matters more than its spectator. Inspect would survive this too, but
            # with a warning for each of maybe thousands of calls.
            name = method.__name__
            if name not in self._failed:
                self._failed.add(name)
                log.warning(
                    "events of %s are missing: %r (inspect-ai %s; made for %s)",
                    name, error, inspect_version(), TESTED_VERSION, exc_info=error,
                )  # fmt: skip


def register() -> type[Any] | None:
    """Register the hooks with Inspect; once per process, and done on import when the URL is set.

    None, and a warning that says why, with a version of Inspect that cannot have them.
    """
    global _registered
    if _registered is None:
        try:
            if _missing is not None:
                raise _missing
            decorate = hooks(
                name="eventbus", description="publishes to the event bus at EVENTBUS_URL"
            )
            _registered = decorate(EventBusHooks)
        except Exception as error:
            log.warning(
                "no events are published: inspect-ai %s has no hooks that fit (%r); made for %s",
                inspect_version(), error, TESTED_VERSION,
            )  # fmt: skip
    return _registered


_registered: type[Any] | None = None

# An entry point can only import. Hooks that are registered but not enabled would have Inspect
# print "hooks enabled: 0" to everybody who has this package installed for something else.
if os.environ.get(URL_VARIABLE):
    register()
