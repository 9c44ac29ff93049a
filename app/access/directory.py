"""The directory: all users, tokens and sessions in memory, and who a secret belongs to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from app.access.oidc.client import WaysIn
from app.access.principal import EVERYBODY, LOCAL, NOBODY, Principal
from app.access.scopes import SCOPES_OF
from app.access.secret import LOCAL_PREFIX, digest, new_secret
from app.access.store import rows
from app.access.store.schema import COMPONENT, MIGRATIONS
from app.access.values import Session, Token, User
from eventbus import Event, Pattern
from eventbus.log.head import concerns
from eventbus.log.unit import Unit

if TYPE_CHECKING:
    from eventbus.log import EventLog
    from eventbus.log.migrations import Migration

IDLE_S = 12 * 3600.0
MOST_S = 7 * 24 * 3600.0


K = TypeVar("K", int, str)
_TOPIC = "access"  # told to other processes of the log


class Directory:
    """What the log's process knows of users, tokens and sessions; it alone changes them.

    Questions may be asked from any thread and cost a look into a dict, since they come with every
    request. Changes hold ``lock`` over their commit, so that memory and tables stay the same.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        is_closed: bool = False,
        idle_s: float = IDLE_S,
        most_s: float = MOST_S,
        ways: WaysIn | None = None,
    ) -> None:
        """``is_closed`` says that nobody may come in while there is neither user nor token.

        A session ends ``idle_s`` after it was last seen, and ``most_s`` after it began; one of a
        user who cannot sign in by any of the ``ways`` is void. Blocks; raises SchemaError,
        LogError.
        """
        log.migrate(COMPONENT, MIGRATIONS)
        self._log = log
        self._is_closed = is_closed
        self._idle_s, self._most_s = idle_s, most_s
        self.ways = ways or WaysIn()
        self.lock = threading.RLock()
        self.users: dict[int, User] = {}
        self.tokens: dict[str, Token] = {}
        self.sessions: dict[str, Session] = {}
        self.users_seen: dict[int, int] = {}
        self.tokens_used: dict[int, int] = {}
        self.sessions_seen: dict[str, int] = {}
        self._read()
        self._principals: dict[str, Principal] = {}
        self._written: tuple[dict[int, int], dict[int, int], dict[str, int]] = self._seen()
        self.on_change: Callable[[], None] = lambda: None
        """Called, under the lock, when somebody may have lost what they had."""
        self.local_secret = new_secret(LOCAL_PREFIX)
        """What the command line of this machine proves itself with while this process lives."""
        self.is_local: Callable[[str], bool] = lambda secret: False
        """Whether the command line has a secret from another process at the same address."""
        self.is_guarded = False
        """Whether everybody has to say who they are."""
        self.changed()
        log.change_listeners.append(self._changed_elsewhere)

    # -- who is it ---------------------------------------------------------------------------

    def of_token(self, secret: str) -> Principal | None:
        """Whose token it is; None for one that is wrong, revoked or expired."""
        found = self._found(digest(secret))
        if found is None and secret.startswith(LOCAL_PREFIX) and self.is_local(secret):
            return LOCAL
        if found is None or found.kind == "user":
            return None
        if found.kind == "token":
            now = time.time()
            if found.expires_at is not None and found.expires_at <= now:
                return None
            self.tokens_used[found.id] = int(now * 1_000_000)
        return found

    def of_session(self, secret: str) -> Principal | None:
        """Whose session it is; None for one that is wrong, ended or too old."""
        found = self._found(digest(secret))
        if found is None or found.session is None or not self._is_fresh(found.session):
            return None
        now_us = int(time.time() * 1_000_000)
        self.sessions_seen[found.session] = self.users_seen[found.id] = now_us
        return found

    def _found(self, digest: str) -> Principal | None:
        """Whose it is; what another process has given out just now is looked for in the log."""
        found = self._principals.get(digest)
        if found is not None or not self._log.channel:
            return found
        with self._log.reading() as conn:
            is_new = rows.knows(conn, digest)
        if is_new:
            self._changed_elsewhere({_TOPIC})
        return self._principals.get(digest)

    def now(self, principal: Principal) -> Principal:
        """The same one with what they may do now; NOBODY when that is nothing any more."""
        match principal.kind:
            case "everybody":
                return NOBODY if self.is_guarded else EVERYBODY
            case "local":
                return LOCAL
        found = self._principals.get(principal.session or principal.digest or "")
        if found is None or found.kind != principal.kind:
            return NOBODY
        if found.session is not None and not self._is_fresh(found.session):
            return NOBODY
        if found.expires_at is not None and found.expires_at <= time.time():
            return NOBODY
        return found

    def keep_alive(self, principal: Principal) -> None:
        """An open WebSocket counts as use: a screen on the wall is looked at."""
        now_us = int(time.time() * 1_000_000)
        if principal.session in self.sessions:
            self.sessions_seen[principal.session] = self.users_seen[principal.id] = now_us
        elif principal.digest in self.tokens:
            self.tokens_used[principal.id] = now_us

    def _is_fresh(self, session: str) -> bool:
        found = self.sessions.get(session)
        if found is None:
            return False
        now = time.time()
        seen_us = self.sessions_seen.get(session, found.created_us)
        is_used = now - seen_us / 1_000_000 < self._idle_s
        return is_used and now - found.created_us / 1_000_000 < self._most_s

    # -- changes -----------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock for a change, which begins with what other processes have changed."""
        with self.lock:
            if self._log.channel:
                self._changed_elsewhere({_TOPIC})
            yield

    def commit(self, call: Migration, events: Sequence[Event] = ()) -> None:
        """Change rows and record what tells of it, in one transaction; whoever calls has the lock.

        Raises LogWriteError; then neither has happened.
        """
        self._log.commit(Unit(list(events), call=call, topic=_TOPIC))

    def _read(self) -> None:
        """Take what is stored; of when whoever was seen, what is later."""
        with self._log.reading() as conn:
            stored = rows.read_all(conn)
        self.users = {user.id: user for user in stored.users}
        self.tokens = {token.digest: token for token in stored.tokens}
        self.sessions = {each.digest: each for each in stored.sessions}
        self.users_seen = _later(stored.users_seen, self.users_seen)
        self.tokens_used = _later(stored.tokens_used, self.tokens_used)
        self.sessions_seen = _later(stored.sessions_seen, self.sessions_seen)

    def _changed_elsewhere(self, topics: set[str]) -> None:
        if concerns(topics, _TOPIC):
            with self.lock:
                self._read()
                self.changed()

    def record(self, event: Event) -> None:
        """Record what changes nothing here."""
        self._log.commit(Unit([event]))

    def changed(self) -> None:
        """Make of the users, tokens and sessions who may do what; under the lock."""
        known = {digest(self.local_secret): LOCAL}
        for token in self.tokens.values():
            known[token.digest] = Principal(
                "token", token.name, token.scopes, token.id, digest=token.digest,
                pattern=None if token.pattern is None else Pattern(token.pattern),
                expires_at=None if token.expires_us is None else token.expires_us / 1_000_000,
            )  # fmt: skip
        for session in self.sessions.values():
            user = self.users.get(session.user)
            if user is not None and not user.is_disabled and self.ways.is_open_to(user):
                known[session.digest] = Principal(
                    "user", user.name, SCOPES_OF[user.role], user.id, user.role,
                    session=session.digest,
                )  # fmt: skip
        self._principals = known
        self.is_guarded = self._is_closed or bool(self.users or self.tokens)
        self.on_change()

    def tidy(self) -> None:
        """Forget sessions that are too old, and write when whoever was last seen."""
        with self.lock:
            old = [digest for digest in self.sessions if not self._is_fresh(digest)]
            people, programs, browsers = self._seen()
            was = self._written
            news = tuple(
                {key: value for key, value in now.items() if before.get(key) != value}
                for now, before in zip((people, programs, browsers), was, strict=True)
            )
            if not old and not any(news):
                return

            def write(conn: Any) -> None:
                rows.write_seen(conn, *news)
                rows.delete_sessions(conn, old)

            self.commit(write)
            self._written = (people, programs, browsers)
            for digest in old:
                self.forget_session(digest)
            if old:
                self.changed()

    def forget_session(self, digest: str) -> None:
        """Drop it from memory; under the lock."""
        self.sessions.pop(digest, None)
        self.sessions_seen.pop(digest, None)

    def _seen(self) -> tuple[dict[int, int], dict[int, int], dict[str, int]]:
        browsers = {key: us for key, us in dict(self.sessions_seen).items() if key in self.sessions}
        return dict(self.users_seen), dict(self.tokens_used), browsers


def _later(one: dict[K, int], other: dict[K, int]) -> dict[K, int]:
    return {key: max(us, other.get(key, us)) for key, us in one.items()}
