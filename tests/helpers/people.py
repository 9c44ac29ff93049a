"""Signing in as a browser does, and users and tokens to do it with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tests.helpers.api import Answer
from tests.helpers.server import ServerProcess

PASSWORD = "a long enough secret"


class Visitor:
    """A client with one cookie, or one token, that asks as a browser on a page of the server."""

    def __init__(
        self, server: ServerProcess, token: str | None = None, accept: str = "text/html"
    ) -> None:
        self.cookie: str | None = None
        self._server = server
        self._api = server.new_api()
        self._headers = {"Accept": accept}
        if token is None:
            self._headers["Origin"] = server.url
        else:
            self._headers["Authorization"] = f"Bearer {token}"

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What it sends with every request; an empty value in ``more`` leaves a header out."""
        cookie = {} if self.cookie is None else {"Cookie": self.cookie}
        fields = {**self._headers, **cookie, **(more or {})}
        return {name: value for name, value in fields.items() if value}

    def request(self, method: str, path: str, body: str | None = None, **more: str) -> Answer:
        """One request; a session that comes back is kept."""
        named = {name.replace("_", "-"): value for name, value in more.items()}
        answer = self._api.request(method, path, body, self.headers(named))
        pair = answer.headers.get("set-cookie", "").partition(";")[0]
        if "eventbus_session" in pair:
            self.cookie = pair if pair.partition("=")[2] else None
        return answer

    def get(self, path: str, **more: str) -> Answer:
        return self.request("GET", path, **more)

    def submit(self, path: str, /, **fields: str) -> Answer:
        """A form."""
        return self.request(
            "POST", path, urlencode(fields), Content_Type="application/x-www-form-urlencoded"
        )

    def post(self, path: str, value: Any) -> Answer:
        """A JSON body."""
        return self.request("POST", path, json.dumps(value), Content_Type="application/json")

    def sign_in(self, name: str, password: str = PASSWORD, next: str = "") -> Answer:
        """Send the login form."""
        return self.submit("/login", name=name, password=password, next=next)


def add_first(server: ServerProcess, name: str = "ada") -> None:
    """Add an admin to a server that has nobody yet."""
    answer = server.new_api().post(
        "/api/access/users", {"name": name, "role": "admin", "password": PASSWORD}
    )
    assert answer.status == 201, answer.text


def signed_in(server: ServerProcess, name: str = "ada", password: str = PASSWORD) -> Visitor:
    """Somebody who has just signed in."""
    visitor = Visitor(server)
    assert visitor.sign_in(name, password).status == 303
    return visitor


def add_user(server: ServerProcess, admin: Visitor, name: str, role: str) -> None:
    """Add a user as an admin does."""
    answer = admin.post("/api/access/users", {"name": name, "role": role, "password": PASSWORD})
    assert answer.status == 201, answer.text


def make_token(admin: Visitor, name: str, *scopes: str, **more: Any) -> str:
    """Make a token as an admin does; its value."""
    answer = admin.post("/api/access/tokens", {"name": name, "scopes": list(scopes), **more})
    assert answer.status == 201, answer.text
    token: str = answer.json["token"]
    return token
