"""One attempt of one delivery: calling the handler."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from eventbus.effects import Effects, set_effects
from eventbus.event import Event
from eventbus.subscription import Subscription

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
