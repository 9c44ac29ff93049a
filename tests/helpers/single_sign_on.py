"""Servers with single sign-on, and signing in there as a browser does, redirect by redirect."""

from __future__ import annotations

from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from tests.helpers.api import Answer
from tests.helpers.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider
from tests.helpers.server import ServerProcess

CALLBACK = "/login/oidc/callback"
ROLES = "bosses=admin; CN=ops,OU=groups=operator; staff=viewer"


def variables(provider: OidcProvider, **more: str) -> dict[str, str]:
    """What a server is started with to use a provider."""
    return {
        "EVENTBUS_OIDC_ISSUER": provider.issuer,
        "EVENTBUS_OIDC_CLIENT_ID": CLIENT_ID,
        "EVENTBUS_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "EVENTBUS_OIDC_NAME": "Example ID",
        "EVENTBUS_OIDC_ROLES": ROLES,
        **more,
    }


class Guest:
    """A browser with all its cookies, that goes where it is sent and can stop on the way."""

    def __init__(self, server: ServerProcess, provider: OidcProvider) -> None:
        self.cookies: dict[str, str] = {}
        self._server = server
        self._api = server.new_api()
        self._provider = provider

    def get(self, path: str, accept: str = "text/html", **more: str) -> Answer:
        """One request to the server; cookies are sent and kept."""
        return self._request("GET", path, {"Accept": accept, **more})

    def post(self, path: str, body: str = "") -> Answer:
        """A form of a page of the server."""
        form = "application/x-www-form-urlencoded"
        return self._request("POST", path, {
            "Accept": "text/html", "Origin": self._server.url, "Content-Type": form,
        }, body)  # fmt: skip

    def begin(self, next: str = "") -> str:
        """Begin at the server; gives the path, with its query, that the provider sends back to."""
        answer = self.get("/login/oidc" + (f"?next={next}" if next else ""))
        assert answer.status == 303, answer.text
        back = self._provider.authorize(answer.headers["location"])
        parts = urlsplit(back)
        assert f"{parts.scheme}://{parts.netloc}" == self._server.url
        return f"{parts.path}?{parts.query}"

    def sign_in(self, next: str = "") -> Answer:
        """The whole way; the server's answer to the provider's."""
        return self.get(self.begin(next))

    def _request(
        self, method: str, path: str, headers: dict[str, str], body: str | None = None
    ) -> Answer:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._api.request(method, path, body, named | ({"Cookie": sent} if sent else {}))
        for line in answer.headers.get("set-cookie", "").splitlines():
            for name, morsel in SimpleCookie(line).items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
        return answer
