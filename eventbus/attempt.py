"""One attempt of one delivery: calling the handler and telling how it ended."""

from __future__ import annotations

import contextvars
import inspect
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from eventbus.effects import Effects, set_effects
from eventbus.event import Event
from eventbus.subscription import Subscription

_MAX_MESSAGE_CHARS = 2_000
_MAX_TRACEBACK_CHARS = 20_000

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


async def call_handler(
    subscription: Subscription, event: Event, effects: Effects, in_thread: InThread
) -> None:
    """Run the handler to its end; what it raises is raised.

    An async handler runs here, on the loop; any other in a thread by ``in_thread``, so that it
    may block. What either returns is awaited if it can be.
    """
    set_effects(effects)
    try:
        handler = subscription.handler
        if subscription.is_async or subscription.is_inline:
            result = handler(event)
        else:
            context = contextvars.copy_context()
            result = await in_thread(lambda: context.run(handler, event))
        if inspect.isawaitable(result):
            await result
        if effects.error is not None:  # refused, and the handler caught the refusal
            raise effects.error
    finally:
        effects.is_open = False
        set_effects(None)


def describe(error: BaseException) -> tuple[str, str, str]:
    """The class name, message and traceback of an error, each of bounded length."""
    try:
        message = str(error)
    except Exception as unprintable:
        message = f"(its message cannot be shown: {type(unprintable).__name__})"
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:
        # Python 3.11 parses source to place its carets, and that fails when another thread
        # parses at the same time. Without positions it does not parse.
        lines = _without_carets(error)
    if len(lines) > _MAX_TRACEBACK_CHARS:
        half = _MAX_TRACEBACK_CHARS // 2
        lines = f"{lines[:half]}\n... shortened ...\n{lines[-half:]}"
    return type(error).__qualname__, _storable(message[:_MAX_MESSAGE_CHARS]), _storable(lines)


def _without_carets(error: BaseException) -> str:
    try:
        frames = [f"{f.f_code.co_filename}:{line} in {f.f_code.co_name}"
                  for f, line in traceback.walk_tb(error.__traceback__)]  # fmt: skip
        return "\n".join([*frames, "".join(traceback.format_exception_only(error))])
    except Exception as unprintable:
        return f"(its traceback cannot be shown: {type(unprintable).__name__})"


def _storable(text: str) -> str:
    """Text that any database takes: no NUL, no lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
