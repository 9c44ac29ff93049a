"""How a command ends: its exit codes, and the errors that lead to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventbus.errors import EventBusError

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
NOT_ALLOWED = 5
INTERRUPTED = 130  # what a shell gives for Ctrl-C
NO_READER = 141  # and for a pipe whose reader has gone


class CommandError(EventBusError):
    """A command cannot do what it was asked for; ``code`` is what it ends with.

    ``more`` are further lines for whoever reads the message: a field and what is wrong with it.
    """

    code = FAILED

    def __init__(self, message: str, more: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.more = tuple(more)


class UsageError(CommandError):
    """Arguments that contradict each other, or that cannot be read."""

    code = USAGE


class ServerRefusedError(CommandError):
    """The server has answered no; ``status`` is that of HTTP, ``problem`` the whole document."""

    def __init__(
        self,
        status: int,
        message: str,
        more: Sequence[str] = (),
        problem: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, more)
        self.status = status
        self.problem = dict(problem or {})
        self.retry_after_s = retry_after_s


class MissingError(ServerRefusedError):
    """What was asked for is not there."""

    code = NOT_FOUND


class NotAllowedError(ServerRefusedError):
    """Without a token, or with one that does not allow this."""

    code = NOT_ALLOWED


class UnreachableError(CommandError):
    """No event bus answers at the address."""

    code = UNREACHABLE
