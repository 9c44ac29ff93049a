"""Sending over SMTP: encrypted, unless the server's address says that it need not be."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from handlers.deadline import deadline
from handlers.errors import NotificationError, NotificationRefusedError

_PORTS = {"smtp": 587, "smtps": 465, "smtp+insecure": 25}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server to send by: ``smtps`` is TLS from the start, ``smtp`` is STARTTLS, which only
    loopback hosts may lack, ``smtp+insecure`` sends in the clear.
    """

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> MailServer:
        """``smtps://user:password@host:port``. Raises ValueError, which never repeats the text."""
        problem = "must be smtp://, smtps:// or smtp+insecure:// with a host"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(problem) from None
        is_bare = not (parts.path.strip("/") or parts.query or parts.fragment)
        if parts.scheme not in _PORTS or not parts.hostname or not is_bare or port == 0:
            raise ValueError(problem)
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], user, password)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def send(
    server: MailServer, letter: EmailMessage, recipients: Sequence[str], timeout_s: float
) -> str:
    """Hand the letter over; returns what became of it, in a few words.

    Raises NotificationError when another try may help, NotificationRefusedError when not.
    """
    smtp: smtplib.SMTP | None = None
    try:
        with deadline(timeout_s, lambda: None if smtp is None else smtp.sock):
            context = ssl.create_default_context()
            if server.scheme == "smtps":
                smtp = smtplib.SMTP_SSL(
                    server.host, server.port, timeout=timeout_s, context=context
                )
            else:
                smtp = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
                smtp.ehlo_or_helo_if_needed()
                if server.scheme == "smtp":
                    _encrypt(smtp, server, context)
            if server.user is not None:
                smtp.login(server.user, server.password or "")
            refused = smtp.send_message(letter, to_addrs=list(recipients))
    except smtplib.SMTPRecipientsRefused as error:
        raise _answered(server, *next(iter(error.recipients.values()))) from None
    except smtplib.SMTPResponseException as error:
        raise _answered(server, error.smtp_code, error.smtp_error) from None
    except (OSError, smtplib.SMTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NotificationError(f"{server.host}: {why}") from None
    finally:
        if smtp is not None:
            smtp.close()
    if refused:
        return f"taken, but not for {', '.join(sorted(refused))}"
    return "taken"


def _encrypt(smtp: smtplib.SMTP, server: MailServer, context: ssl.SSLContext) -> None:
    if smtp.has_extn("starttls"):
        smtp.starttls(context=context)
        smtp.ehlo()
    elif server.host not in _LOOPBACK:
        raise NotificationRefusedError(
            f"{server.host} offers no STARTTLS; smtp+insecure:// would send without encryption"
        )


def _answered(server: MailServer, code: int, text: bytes | str) -> NotificationError:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    what = f"{server.host} answered {code} {' '.join(said.split())[:200]}"
    return NotificationRefusedError(what) if code >= 500 else NotificationError(what)
