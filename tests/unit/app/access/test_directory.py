"""The directory on a real log: who a secret belongs to, for how long, and what stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.access import passwords, tokens, users
from app.access.directory import Directory
from app.access.errors import AccessConflictError, LoginError
from app.access.logins import MOST_SESSIONS_PER_USER, Logins
from app.access.oidc.client import OidcClient, WaysIn
from app.access.oidc.person import Person
from app.access.principal import EVERYBODY, NOBODY
from app.access.secret import is_token
from eventbus.log import EventLog
from handlers.installation import replay

PASSWORD = "a long enough secret"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing as weak as it can be."""
    monkeypatch.setattr(passwords, "METHOD", "scrypt:1024:8:1")
    passwords._nobodys.cache_clear()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog(f"sqlite:///{tmp_path}/events.db")
    yield log
    log.close()


@pytest.fixture
def directory(log: EventLog) -> Directory:
    directory = Directory(log)
    users.add(directory, "Ada", "admin", PASSWORD, "tests")
    return directory


def sign_in(directory: Directory, name: str = "ada", former: str | None = None) -> str:
    return Logins(directory).sign_in(name, PASSWORD, "10.0.0.1", "a browser", former)


def test_everything_is_there_again_after_a_restart(log: EventLog, directory: Directory) -> None:
    secret = sign_in(directory)
    token, value = tokens.create(directory, "ci", ["publish"], "ada", pattern="a.*", days=1)
    assert is_token(value)
    directory.of_token(value)
    directory.tidy()
    again = Directory(log)
    assert again.tokens_used == {token.id: directory.tokens_used[token.id]}
    found = again.of_session(secret)
    assert found is not None and (found.name, found.role) == ("Ada", "admin")
    program = again.of_token(value)
    assert program is not None and program.scopes == {"publish"}
    assert program.pattern is not None and program.pattern.text == "a.*"


def test_a_session_is_no_token_and_a_token_no_session(directory: Directory) -> None:
    secret = sign_in(directory)
    _, value = tokens.create(directory, "ci", "viewer", "ada")
    assert directory.of_token(secret) is None
    assert directory.of_session(value) is None
    assert directory.of_session(directory.local_secret) is None
    local = directory.of_token(directory.local_secret)
    assert local is not None and local.kind == "local"


def test_a_session_ends_when_it_is_not_used(directory: Directory) -> None:
    secret = sign_in(directory)
    (session,) = directory.sessions
    now_us = int(time.time() * 1e6)
    directory.sessions_seen[session] = now_us - int(directory._idle_s * 1e6) - 1
    assert directory.of_session(secret) is None
    directory.tidy()
    assert directory.sessions == {}


def test_a_session_ends_in_any_case_after_a_while(directory: Directory) -> None:
    secret = sign_in(directory)
    ((digest, session),) = directory.sessions.items()
    began_us = session.created_us - int(directory._most_s * 1e6)
    directory.sessions[digest] = replace(session, created_us=began_us)
    assert directory.of_session(secret) is None
    known = directory._principals[digest]
    assert directory.now(known) is NOBODY


def test_an_open_socket_counts_as_use(directory: Directory) -> None:
    known = directory.of_session(sign_in(directory))
    assert known is not None and known.session is not None
    directory.sessions_seen[known.session] = 0
    directory.keep_alive(known)
    assert directory.now(known) == known


def test_signing_in_again_in_the_same_browser_ends_the_former_session(
    directory: Directory,
) -> None:
    first = sign_in(directory)
    second = sign_in(directory, former=first)
    assert directory.of_session(first) is None
    assert directory.of_session(second) is not None


def test_the_oldest_of_too_many_sessions_ends(directory: Directory) -> None:
    first = sign_in(directory)
    logins = Logins(directory)
    for _ in range(MOST_SESSIONS_PER_USER):
        logins.sign_in("ada", PASSWORD, "10.0.0.1", "")
    assert len(directory.sessions) == MOST_SESSIONS_PER_USER
    assert directory.of_session(first) is None


def test_a_hash_with_former_parameters_is_made_anew_at_the_next_login(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "METHOD", "scrypt:2048:8:1")
    before = users.named(directory, "ada").password
    sign_in(directory)
    after = users.named(directory, "ada").password
    assert before.startswith("scrypt:1024:") and after.startswith("scrypt:2048:")
    sign_in(directory)
    assert users.named(directory, "ada").password == after


def test_who_is_disabled_cannot_sign_in(directory: Directory) -> None:
    users.add(directory, "bob", "viewer", PASSWORD, "ada")
    secret = sign_in(directory, "bob")
    users.set_disabled(directory, "bob", True, "ada")
    assert directory.of_session(secret) is None
    with pytest.raises(LoginError):
        sign_in(directory, "bob")
    users.set_disabled(directory, "bob", False, "ada")
    assert directory.of_session(secret) is None  # the sessions have ended for good
    sign_in(directory, "bob")


def test_the_last_credential_opens_the_server_only_when_that_is_said(
    directory: Directory,
) -> None:
    assert directory.is_guarded
    with pytest.raises(AccessConflictError, match="--open"):
        users.remove(directory, "ada", "tests")
    token, _ = tokens.create(directory, "ci", "read", "ada")
    users.remove(directory, "ada", "tests")
    assert directory.is_guarded
    with pytest.raises(AccessConflictError, match="--open"):
        tokens.revoke(directory, "ci", "tests")
    tokens.revoke(directory, str(token.id), "tests", opens=True)
    assert not directory.is_guarded
    assert directory.now(EVERYBODY) is EVERYBODY


def test_a_server_for_other_machines_is_never_open_to_everybody(log: EventLog) -> None:
    directory = Directory(log, is_closed=True)
    assert directory.is_guarded
    assert directory.now(EVERYBODY) is NOBODY


def test_a_replay_of_the_log_leaves_users_alone(log: EventLog, directory: Directory) -> None:
    tokens.create(directory, "ci", "read", "ada")
    replay(log)
    again = Directory(log)
    assert [user.name for user in again.users.values()] == ["Ada"]
    assert len(again.tokens) == 1


def test_knowing_a_token_costs_microseconds(directory: Directory) -> None:
    for number in range(300):
        _, value = tokens.create(directory, f"token {number}", "publish", "ada")
    best = min(_took_s(directory, value) for _ in range(5))
    assert best < 20e-6, best  # 2 to 4 µs on a quiet machine


def _took_s(directory: Directory, value: str) -> float:
    began = time.perf_counter()
    for _ in range(1_000):
        directory.of_token(value)
    return (time.perf_counter() - began) / 1_000


PROVIDER = OidcClient("https://id.example.org", "bus", name="Example ID", default_role="viewer")


def by_provider(directory: Directory, name: str = "cleo", subject: str = "1") -> str:
    person = Person(PROVIDER.issuer, subject, name, None)
    return Logins(directory).sign_in_by_provider(person, "10.0.0.1", "a browser")


def test_sessions_are_void_while_their_way_in_is_closed(log: EventLog) -> None:
    directory = Directory(log, ways=WaysIn(client=PROVIDER))
    users.add(directory, "Ada", "admin", PASSWORD, "tests")
    password, provider = sign_in(directory), by_provider(directory)

    def found(ways: WaysIn) -> list[bool]:
        again = Directory(log, ways=ways)
        return [again.of_session(each) is not None for each in (password, provider)]

    assert found(WaysIn(client=PROVIDER)) == [True, True]
    assert found(WaysIn(has_passwords=False, client=PROVIDER)) == [False, True]
    assert found(WaysIn()) == [True, False]
    other = replace(PROVIDER, issuer="https://other.example.org")
    assert found(WaysIn(client=other)) == [True, False]


def test_without_rules_a_role_that_an_admin_gave_stays(log: EventLog) -> None:
    directory = Directory(log, ways=WaysIn(client=PROVIDER))
    by_provider(directory)
    users.set_role(directory, "cleo", "admin", "ada")
    by_provider(directory, name="cleo-renamed")
    assert [(user.name, user.role) for user in directory.users.values()] == [("cleo", "admin")]
    by_provider(directory, name="other", subject="2")
    assert len(Directory(log).users) == 2
