"""Proxies before the server: what they say of the client is believed, when they are known ones."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOPS = 20


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks separated by commas. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))


def behind_proxies(application: WSGIApplication, trusted: tuple[Network, ...]) -> WSGIApplication:
    """The application, told by trusted proxies who asks and whether by https.

    Of ``X-Forwarded-For`` the last address that is no trusted proxy is the client: what stands
    before it came from the client, which may say what it likes. ``X-Forwarded-Proto`` must be one
    word, so a proxy has to set it and not to add to it. Whoever else connects is taken for what
    the connection says. The host is the ``Host`` header, which proxies pass on.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if is_trusted(environ.get("REMOTE_ADDR", ""), trusted):
            client = client_of(environ.get("HTTP_X_FORWARDED_FOR", ""), trusted)
            if client is not None:
                environ["REMOTE_ADDR"] = client
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        return application(environ, start_response)

    return serve


def client_of(forwarded_for: str, trusted: tuple[Network, ...]) -> str | None:
    """The client's address; None when the header does not tell it."""
    client = None
    for part in reversed(forwarded_for.split(",")[-_MOST_HOPS:]):
        address = _address(part)
        if address is None:
            return client  # not an address: nobody who is trusted wrote what is left of it
        client = address
        if not is_trusted(address, trusted):
            break
    return client


def is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    """Whether an address is one of the proxies."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found.version == network.version and found in network for network in trusted)


def _address(text: str) -> str | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
