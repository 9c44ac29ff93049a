"""Access: the directory with everything around it that lives as long as the server."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from hmac import compare_digest
from typing import TYPE_CHECKING

from app.access.directory import Directory
from app.access.door import Door, close_door, doors, open_door
from app.access.errors import UnprotectedError
from app.access.logins import Logins
from app.access.mask import Mask
from app.access.oidc.client import OidcClient, WaysIn, client_of
from app.access.principal import Principal
from app.access.rate import RateLimiter
from app.access.sockets import Sockets
from eventbus.errors import EventBusError
from eventbus.threads import start_thread

if TYPE_CHECKING:
    from app.access.oidc.provider import Provider
    from app.config import Settings
    from eventbus.log import EventLog

_LOOK_S = 1.0
_WRITE_S = 60.0

log = logging.getLogger(__name__)


class Access:
    """Who may come in, and one thread, ``eventbus-access``.

    Every second it closes the WebSockets of those who may not have them any more, every minute it
    writes when whoever was last seen; changes of the directory wake it.
    """

    def __init__(self, log: EventLog, settings: Settings) -> None:
        """Raises UnprotectedError when strangers could come in, and the log's errors."""
        client = client_of(settings)
        is_reached = not settings.is_loopback and not settings.insecure_bind
        self.directory = Directory(
            log, is_closed=is_reached or client is not None, idle_s=settings.session_idle_s,
            most_s=settings.session_max_s, ways=WaysIn(settings.password_login, client),
        )  # fmt: skip
        self.provider = None if client is None else _provider(client)
        is_empty = not (self.directory.users or self.directory.tokens)
        if is_reached and client is None and is_empty:
            raise UnprotectedError(
                f"HOST={settings.host!r} opens the server to other machines, and there is neither "
                "user nor token, so that anybody who reaches it could read and publish. Add one "
                "with `flask users add NAME --role admin`; or keep to a loopback address "
                "(127.0.0.1, ::1, localhost); or set EVENTBUS_INSECURE_BIND=yes to accept that"
            )
        self.logins = Logins(self.directory)
        self.mask = Mask(settings.mask, settings.mask_below) if settings.mask else None
        self.sockets = Sockets(settings.max_sockets_per_user, self.mask)
        self.limiter = None if settings.rate_limit is None else RateLimiter(settings.rate_limit)
        self._database, self._shared = log.path, log.shared_path
        self._is_shared = bool(log.channel)
        self._url: str | None = None
        self._woken = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="eventbus-access", daemon=True)

    @property
    def is_guarded(self) -> bool:
        """Whether everybody has to say who they are."""
        return self.directory.is_guarded

    def mask_for(self, known: Principal) -> Mask | None:
        """What somebody sees payloads through; None for who sees all of them."""
        return self.mask if self.mask is not None and self.mask.is_for(known) else None

    @property
    def panel_mask(self) -> Mask | None:
        """What all are shown through what is made once for all of them."""
        return self.mask if self.is_guarded else None

    def start(self) -> None:
        """Begin to look. Raises NoThreadError."""
        if self.mask is not None and not self.is_guarded:
            log.warning(
                "EVENTBUS_MASK hides nothing yet: nobody has to sign in, so that there are no "
                "roles. Add a user with `flask users add NAME --role admin`"
            )
        self.directory.on_change = self._woken.set
        start_thread(self._thread)

    def open_door(self, url: str) -> None:
        """Let the command line of this machine in, at the address where the server answers."""
        self._url = url
        if self._is_shared:
            self.directory.is_local = self._opens
        try:
            open_door(self._database, Door(url, self.directory.local_secret))
        except OSError as error:
            log.warning("the command line gets no way in: %s", error)

    def close(self) -> None:
        """End the thread, after it has written what it knows; close the door."""
        self._is_closing = True
        self._woken.set()
        self._thread.join(timeout=0.5)
        close_door(self._database, self.directory.local_secret)

    def _opens(self, secret: str) -> bool:
        """Whether another process has opened a door with it to the same address: they share it."""
        return any(
            door.url == self._url and compare_digest(door.secret, secret)
            for door in doors(self._shared)
        )

    def _run(self) -> None:
        write_at = time.monotonic() + _WRITE_S
        while not self._is_closing:
            self._woken.wait(_LOOK_S)
            self._woken.clear()
            try:
                self.sockets.close_ended(self.directory)
                if time.monotonic() >= write_at:
                    write_at = time.monotonic() + _WRITE_S
                    self.directory.tidy()
            except EventBusError as error:
                log.warning("when users and tokens were last seen is not written: %s", error)
            except Exception:
                log.exception("looking after users and tokens failed")
        with suppress(EventBusError):
            self.directory.tidy()


def _provider(client: OidcClient) -> Provider:
    from app.access.oidc.provider import Provider  # its packages are an extra

    return Provider(client)
