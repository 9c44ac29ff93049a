"""Every error that the handlers raise."""

from __future__ import annotations

from typing import Any

from eventbus import Event
from eventbus.errors import RejectError, RetryLaterError
from eventbus.validation import shown


class HandlerError(Exception):
    """Base of all errors of this package."""


class MalformedEventError(HandlerError, RejectError, ValueError):
    """An event whose data a handler cannot understand: a dead letter at once, for a person."""

    def __init__(self, event: Event, field: str, rule: str, value: Any) -> None:
        super().__init__(f"{event.type}: data.{field} {rule}, not {shown(value)}")


class RuleError(HandlerError, ValueError):
    """A metric rule in the configuration that cannot be read."""


class RetryDelayError(HandlerError, ValueError):
    """A retry delay in the configuration that cannot be read."""


class StaleStateError(HandlerError):
    """What a handler decided rests on a state that has changed since; the event is tried again."""


class ChannelError(HandlerError, ValueError):
    """A notification channel in the configuration that cannot be read."""


class NotificationError(HandlerError):
    """A notification could not be sent now; it is tried again."""


class NotificationRefusedError(NotificationError, RejectError):
    """The other side will not take the notification, however often it is sent."""


class AddressPolicyError(HandlerError, ValueError):
    """Networks in the configuration that cannot be read."""


class PostError(HandlerError):
    """Another server could not be reached, or did not answer as HTTP wants it."""


class PostAddressError(PostError):
    """A server's address is none that may be sent to."""


class SignatureError(HandlerError):
    """A request is not signed as it should be; its text is for our log, not for the sender."""


class WebhookError(HandlerError):
    """A webhook was not delivered; it is tried again."""


class WebhookBusyError(WebhookError, RetryLaterError):
    """A webhook was not delivered, and its endpoint says when it wants to be asked again."""


class HookFileError(HandlerError, ValueError):
    """A file of incoming hooks that cannot be read; the text names section and key."""
