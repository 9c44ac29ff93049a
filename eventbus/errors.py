"""Every error of the library; a message says what was wrong, with which value, what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class EventBusError(Exception):
    """Base of all errors of this library."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with an input.

    ``pointer`` is a JSON Pointer (RFC 6901) into the input, ``detail`` a sentence that names the
    rule and the value.
    """

    pointer: str
    detail: str


class EventValidationError(EventBusError, ValueError):
    """An event that breaks the rules of the envelope; ``errors`` names each field."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.detail}" for e in self.errors))

    @classmethod
    def of(cls, pointer: str, detail: str) -> EventValidationError:
        """The error of a single field."""
        return cls([FieldError(pointer, detail)])

    def under(self, prefix: str) -> EventValidationError:
        """The same errors with pointers below ``prefix``, such as ``"/3"`` for a batch's item 3."""
        return type(self)([FieldError(prefix + e.pointer, e.detail) for e in self.errors])


class JsonTextError(EventBusError, ValueError):
    """Text that is not JSON; the message says what is wrong where."""


class SchemaViolationError(EventValidationError):
    """An event whose payload its type's schema does not allow."""


class UndeclaredTypeError(EventValidationError):
    """An event of a type that nobody has declared, where only declared ones are taken."""


class DeclarationError(EventBusError, ValueError):
    """A declaration of an event type that cannot be used; ``errors`` names each member."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.detail}" for e in self.errors))


class UnsupportedContentTypeError(EventBusError, ValueError):
    """A body in a media type that the CloudEvents HTTP binding here does not read."""


class PatternError(EventBusError, ValueError):
    """A subscription pattern or event type that breaks the dialect."""


class CursorError(EventBusError, ValueError):
    """A paging cursor that this log did not hand out."""


class SearchTextError(EventBusError, ValueError):
    """A text to look for that holds nothing that can be looked for."""


class HiddenTextError(EventBusError):
    """A search that would tell somebody what is hidden from them."""


class SubscriptionError(EventBusError, ValueError):
    """A subscription that cannot be made: taken name, wrong option, nothing to call."""


class OperationError(EventBusError, ValueError):
    """A redrive, discard or replay that cannot be made."""


class ActorError(EventBusError, ValueError):
    """A name for who acts that cannot stand in the audit trail."""


class EffectError(EventBusError, RuntimeError):
    """An effect asked for outside a running handler, or after its attempt had ended."""


class NoThreadError(EventBusError, RuntimeError):
    """The system allows no more threads, and this one is needed."""


class ScheduleChangedError(EventBusError):
    """What a handler cancels was recorded or cancelled while it ran; its next attempt sees that."""


class BusClosedError(EventBusError, RuntimeError):
    """The bus is closed and takes no more events."""


class WaitingError(EventBusError, RuntimeError):
    """A wait that could never end where it was asked for, such as in a handler for itself."""


class ReceiptTimeoutError(EventBusError, TimeoutError):
    """What a receipt waited for did not happen in time; the event itself is not affected."""


class EventRefusedError(EventBusError, ValueError):
    """A remote bus looked at the event and will not record it."""


class EventDroppedError(EventBusError):
    """A client gave an event up before a remote bus had confirmed it."""


class LogError(EventBusError):
    """Base of the errors of the durable log."""


class LogLockedError(LogError):
    """Another process has this log open for writing."""


class LogWriteError(LogError):
    """A write could not be made durable (disk full, read-only, damaged); nothing was recorded."""


class LogReadError(LogError):
    """The log could not be read: damaged, too many open files, a disk that fails."""


class LogDamagedError(LogWriteError):
    """The database file is damaged; nothing more is written to it until it is restored."""


class BackupError(LogError):
    """A backup that could not be made, or one that cannot be restored; nothing was replaced."""


class MoveError(LogError):
    """A log that cannot be copied to another database; the source is as it was."""


class SchemaError(LogError):
    """The database was made by a newer version of this software."""


class HandlerTimeoutError(EventBusError, TimeoutError):
    """A handler ran longer than its subscription allows."""


class CrashedAttemptError(EventBusError):
    """An attempt during which the process died; written to the delivery at the next start."""


class ConsumerLostError(CrashedAttemptError):
    """The process that was handling the event went away and did not come back."""


class BusUnavailableError(EventBusError, ConnectionError):
    """A remote bus could not be asked, or not now."""


class MissingPackageError(EventBusError, ImportError):
    """What was asked for needs a package that is not installed; the message says which."""


class HandshakeRefusedError(EventBusError):
    """A bus answered, but not with the WebSocket that was asked for."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"it answered {status}: {detail}")
        self.status = status
        self.detail = detail


class SocketClosedError(EventBusError):
    """A WebSocket has ended; ``code`` is that of RFC 6455 §7.4.1."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason or f"closed with code {code}")
        self.code = code


class ConsumerProtocolError(EventBusError, ValueError):
    """A consumer has sent what it must not send; its connection is closed."""


class DeliveryTakenError(EventBusError):
    """Another process has finished the delivery, so what its handler asked for here is not done."""


class DeliveryReturnedError(EventBusError):
    """Raised by a handler that cannot take the event now: it is no attempt, and it runs again."""


class RemoteHandlerError(EventBusError):
    """A handler in another process has failed; class, message and traceback are what it told."""

    def __init__(self, error_class: str, message: str, traceback: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message
        self.traceback = traceback


class RejectError(EventBusError):
    """Raised by a handler, itself or a subclass: no retry can help, make it a dead letter now."""


class RetryLaterError(EventBusError):
    """Raised by a handler, itself or a subclass: another attempt, but not before some time.

    ``retry_after_s`` is in seconds, bounded by the longest wait of the subscription's policy.
    Raises TypeError for what is no number, as the text of a header.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        if not isinstance(retry_after_s, int | float):
            raise TypeError(f"retry_after_s must be a number of seconds, not {retry_after_s!r}")
        self.retry_after_s = retry_after_s


class EventLoopError(RejectError):
    """A chain of events causing events that is deeper than the bus allows."""


class RemoteRejectError(RemoteHandlerError, RejectError):
    """A handler in another process has rejected the event for good."""


class RemoteRetryLaterError(RemoteHandlerError, RetryLaterError):
    """A handler in another process has failed, and says when to try again at the earliest."""

    def __init__(
        self, error_class: str, message: str, traceback: str, retry_after_s: float
    ) -> None:
        RetryLaterError.__init__(self, message, retry_after_s)
        self.error_class = error_class
        self.message = message
        self.traceback = traceback


class TooManyEffectsError(RejectError):
    """A handler asked for more in one delivery than one transaction may hold."""


class RetentionError(EventBusError, ValueError):
    """A retention rule that cannot be read, or events that cannot be removed now."""


class RebuildError(EventBusError):
    """Read models cannot be folded afresh, or are being folded already."""


class OverlayError(EventBusError):
    """What was asked for cannot be tried out without doing it."""


class DryRunError(EventBusError):
    """No dry run now; the message says why."""


class TravelError(EventBusError):
    """The state at a time that is not kept any more, cannot be told yet, or not now."""


class TravelTooEarlyError(TravelError):
    """Retention has removed what was recorded then; ``floor`` is the first position kept."""

    def __init__(self, message: str, floor: int) -> None:
        super().__init__(message)
        self.floor = floor


class TravelNotReadyError(TravelError):
    """It can be told in a while; the message says what is being done."""


class BrokerError(EventBusError):
    """Something about a message broker."""


class BrokerAddressError(BrokerError, ValueError):
    """The address of a broker that cannot be read; the message says what it must be."""


class BrokerAwayError(BrokerError):
    """The broker cannot be reached, or the connection to it was lost; nothing is lost by it."""


class BrokerDeniedError(BrokerAwayError):
    """The broker is there, and its login may not do what is needed; the message says what."""


class BrokerBusyError(BrokerAwayError):
    """The broker is there and does not take events now; the first ``confirmed`` it has."""

    def __init__(self, message: str, confirmed: int) -> None:
        super().__init__(message)
        self.confirmed = confirmed


class BrokerRefusedError(BrokerError, RejectError):
    """The broker will never take this event, such as one that is too large for it."""
