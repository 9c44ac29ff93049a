"""Reading and writing the rows of users, tokens and sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from sqlalchemy import Connection, delete, insert, select, update

from app.access.scopes import SCOPES, Scope
from app.access.store.schema import sessions, tokens, users
from app.access.values import Session, Stored, Token, User


def read_all(conn: Connection) -> Stored:
    """Everything: some people, some programs, some browsers; see the bounds where they are made."""
    people, programs, browsers = (
        conn.execute(select(table)).mappings().all() for table in (users, tokens, sessions)
    )
    return Stored(
        [User(row["id"], row["name"], row["role"], row["password"], bool(row["is_disabled"]),
              row["created_us"], row["password_us"], row["issuer"], row["subject"])
         for row in people],
        [Token(row["id"], row["name"], row["digest"], _scopes(row["scopes"]), row["pattern"],
               row["created_by"], row["created_us"], row["expires_us"]) for row in programs],
        [Session(row["digest"], row["user"], row["created_us"], row["address"], row["agent"])
         for row in browsers],
        {row["id"]: row["seen_us"] for row in people if row["seen_us"] is not None},
        {row["id"]: row["used_us"] for row in programs if row["used_us"] is not None},
        {row["digest"]: row["seen_us"] for row in browsers},
    )  # fmt: skip


def knows(conn: Connection, digest: str) -> bool:
    """Whether a session or a token has this digest."""
    in_browsers = select(sessions.c.user).where(sessions.c.digest == digest)  # primary key
    in_programs = select(tokens.c.id).where(tokens.c.digest == digest)  # unique
    return any(conn.execute(query).first() is not None for query in (in_browsers, in_programs))


def insert_user(conn: Connection, user: User) -> int:
    """Add a user, whose id is not regarded; returns the id that it got."""
    done = conn.execute(insert(users).values(_user_row(user)))
    return cast("tuple[int]", done.inserted_primary_key)[0]


def update_user(conn: Connection, user: User) -> None:
    """Write all of a user."""
    conn.execute(update(users).where(users.c.id == user.id).values(_user_row(user)))


def delete_user(conn: Connection, id: int) -> None:
    """Remove a user with all sessions."""
    conn.execute(delete(sessions).where(sessions.c.user == id))
    conn.execute(delete(users).where(users.c.id == id))


def insert_token(conn: Connection, token: Token) -> int:
    """Add a token, whose id is not regarded; returns the id that it got."""
    row = {
        "name": token.name, "digest": token.digest, "scopes": " ".join(sorted(token.scopes)),
        "pattern": token.pattern, "created_by": token.created_by,
        "created_us": token.created_us, "expires_us": token.expires_us,
    }  # fmt: skip
    done = conn.execute(insert(tokens).values(row))
    return cast("tuple[int]", done.inserted_primary_key)[0]


def delete_token(conn: Connection, id: int) -> None:
    """Remove a token."""
    conn.execute(delete(tokens).where(tokens.c.id == id))


def insert_session(conn: Connection, session: Session) -> None:
    """Add a session, seen when it was made."""
    row = {
        "digest": session.digest, "user": session.user, "created_us": session.created_us,
        "seen_us": session.created_us, "address": session.address, "agent": session.agent,
    }  # fmt: skip
    conn.execute(insert(sessions).values(row))


def delete_sessions(conn: Connection, digests: Iterable[str]) -> None:
    """Remove sessions; those that are gone already are no matter."""
    for digest in digests:
        conn.execute(delete(sessions).where(sessions.c.digest == digest))


def write_seen(
    conn: Connection,
    people: Mapping[int, int],
    programs: Mapping[int, int],
    browsers: Mapping[str, int],
) -> None:
    """Write when they were last seen."""
    for user, seen_us in people.items():
        conn.execute(update(users).where(users.c.id == user).values(seen_us=seen_us))
    for token, used_us in programs.items():
        conn.execute(update(tokens).where(tokens.c.id == token).values(used_us=used_us))
    for browser, seen_us in browsers.items():
        changed = update(sessions).where(sessions.c.digest == browser)
        conn.execute(changed.values(seen_us=seen_us))


def _user_row(user: User) -> dict[str, object]:
    return {
        "name": user.name, "name_key": user.key, "role": user.role, "password": user.password,
        "is_disabled": int(user.is_disabled), "created_us": user.created_us,
        "password_us": user.password_us, "issuer": user.issuer, "subject": user.subject,
    }  # fmt: skip


def _scopes(text: str) -> frozenset[Scope]:
    return frozenset(scope for scope in SCOPES if scope in text.split())
