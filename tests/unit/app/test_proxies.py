"""Known proxies tell who the client is; nobody else does, and no client can pretend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from app.proxies import behind_proxies, parse_networks

TRUSTED = parse_networks("127.0.0.1, 10.0.0.0/8, ::1")


def seen(remote: str, **headers: str) -> tuple[str, str]:
    """Client and scheme as the application sees them."""
    found: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found.append(environ)
        return ()

    environ = {"REMOTE_ADDR": remote, "wsgi.url_scheme": "http", **headers}
    behind_proxies(application, TRUSTED)(environ, lambda *_: lambda _: None)
    return found[0]["REMOTE_ADDR"], found[0]["wsgi.url_scheme"]


def test_a_known_proxy_tells_the_client_and_the_scheme() -> None:
    headers = {"HTTP_X_FORWARDED_FOR": "198.51.100.7", "HTTP_X_FORWARDED_PROTO": "https"}
    assert seen("127.0.0.1", **headers) == ("198.51.100.7", "https")


def test_nobody_else_does() -> None:
    headers = {"HTTP_X_FORWARDED_FOR": "10.0.0.1", "HTTP_X_FORWARDED_PROTO": "https"}
    assert seen("198.51.100.9", **headers) == ("198.51.100.9", "http")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.1, 198.51.100.7", "198.51.100.7"),  # the client made up the first
        ("127.0.0.1, 198.51.100.7, 10.1.2.3", "198.51.100.7"),  # a proxy behind another
        ("evil, 198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, evil", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3"),  # the proxy itself asks
        ("", "127.0.0.1"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(forwarded: str, client: str) -> None:
    assert seen("127.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)[0] == client


def test_an_ipv4_address_in_an_ipv6_socket_is_known_too() -> None:
    assert seen("::ffff:127.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.7")[0] == "198.51.100.7"


@pytest.mark.parametrize("proto", ["https, http", "wss", "javascript", ""])
def test_a_scheme_that_is_not_one_word_is_not_believed(proto: str) -> None:
    assert seen("127.0.0.1", HTTP_X_FORWARDED_PROTO=proto)[1] == "http"
