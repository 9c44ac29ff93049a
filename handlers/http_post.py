"""One HTTP request to somebody else's server: bounded in time and size, no redirect followed."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from handlers.addresses import AddressPolicy
from handlers.deadline import deadline
from handlers.errors import PostAddressError, PostError

MAX_ANSWER_BYTES = 16_384
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered; ``text`` is the beginning of its body, ``headers`` in lower case."""

    host: str
    status: int
    reason: str
    headers: Mapping[str, str]
    text: str

    @property
    def status_line(self) -> str:
        return f"{self.status} {self.reason}".rstrip()

    @property
    def shown(self) -> str:
        """Who answered what, in a few words."""
        said = " ".join(self.text.split())[:_SHOWN_CHARS]
        return f"{self.host} answered {self.status_line}" + (f": {said}" if said else "")


def post(
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout_s: float,
    *,
    method: str = "POST",
    policy: AddressPolicy | None = None,
    most_bytes: int = MAX_ANSWER_BYTES,
) -> HttpAnswer:
    """Send ``body``; whatever is answered is returned, a redirect too, up to ``most_bytes`` of it.

    With a ``policy`` the address that is really connected to must be allowed by it: a name is
    looked up once, so it cannot lead elsewhere a moment later. Raises PostError, whose text never
    holds the URL, and PostAddressError.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"User-Agent": "eventbus", **headers, **_authorization(parts.username, parts.password)}
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    connection = kind(host, parts.port, timeout=timeout_s)
    sock: socket.socket | None = None  # of its own: the connection lets go of it meanwhile
    try:
        with deadline(timeout_s, lambda: sock):
            sock = _connected(host, connection.port, timeout_s, policy)
            if is_tls:
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
            connection.sock = sock
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            text = answer.read(most_bytes).decode("utf-8", "replace")
            found = {name.lower(): value for name, value in answer.headers.items()}
            return HttpAnswer(host, answer.status, answer.reason, found, text)
    except (OSError, http.client.HTTPException) as error:
        # Its text may be empty, and never holds the URL.
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PostError(f"{host}: {why}") from None
    finally:
        connection.close()
        if sock is not None:
            sock.close()


def _connected(
    host: str, port: int, timeout_s: float, policy: AddressPolicy | None
) -> socket.socket:
    refused: str | None = None
    problem: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        if policy is not None and not policy.allows(str(address[0])):
            refused = str(address[0])
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    if problem is None and refused is not None:
        raise PostAddressError(
            f"{host}: its address {refused} is not a public one, and EVENTBUS_WEBHOOK_NETWORKS "
            "does not allow it"
        )
    raise problem or OSError("it has no address")


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
