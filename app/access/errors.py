"""What can be wrong about users, tokens and logins, in words for people."""

from __future__ import annotations

from eventbus.errors import EventBusError, FieldError


class AccessError(EventBusError):
    """Base of this package's errors."""


class AccessFieldError(AccessError):
    """A field of a request that cannot be used; ``field`` has the pointer and what is wrong."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} {detail}")
        self.name = name
        self.field = FieldError(f"/{name}", detail)


class AccessConflictError(AccessError):
    """It cannot be done as things are."""


class UnknownError(AccessError):
    """There is no such user or token."""


class UnprotectedError(AccessError):
    """The server would listen to other machines, and nobody has to sign in."""


class LoginError(AccessError):
    """Name or password is wrong; which of them is not told."""


class SignOnError(AccessError):
    """What came back from the OpenID provider lets nobody in; the message says why."""


class NotAllowedError(AccessError):
    """They are who they say, and may not come in."""


class ProviderError(AccessError):
    """The OpenID provider does not answer, or not as one."""


class ThrottledError(AccessError):
    """Too many attempts failed; ``retry_after_s`` is when the next may be made."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"too many attempts failed; the next can be made in {retry_after_s} "
            f"second{'' if retry_after_s == 1 else 's'}"
        )
        self.retry_after_s = retry_after_s
