"""An OpenID provider on a socket of its own, with a way to go wrong in every respect."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CLIENT_ID, CLIENT_SECRET = "event bus", "s&cret :/%"

Header = dict[str, Any]
Claims = dict[str, Any]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def text_of(data: bytes) -> str:
    """base64url as JOSE writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:
    """A part of a token."""
    return text_of(json.dumps(value).encode())


def signed(header: Header, claims: Claims, key: Key) -> str:
    """A compact JWS with RS256 or ES256, whatever its header says."""
    content = f"{part(header)}.{part(claims)}"
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(content.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32) + s.to_bytes(32)
    return f"{content}.{text_of(signature)}"


def public_jwk(kid: str, key: Key) -> dict[str, str]:
    """The public half as RFC 7518 §6 writes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        found = {"kty": "RSA", "alg": "RS256", "n": text_of(numbers.n.to_bytes(256)), "e": "AQAB"}
    else:
        point = key.public_key().public_numbers()
        x, y = text_of(point.x.to_bytes(32)), text_of(point.y.to_bytes(32))
        found = {"kty": "EC", "alg": "ES256", "crv": "P-256", "x": x, "y": y}
    return {**found, "kid": kid, "use": "sig"}


class OidcProvider:
    """Signs in at once whoever is sent to it, as ``person``; a context manager.

    ``token`` makes the ID token of header and claims; ``claims`` are put over the right ones, None
    takes one out. ``userinfo`` is told with the access token, None for the same as ``person``.
    ``metadata`` and ``token_answer`` are put over what is right. ``asked`` counts requests by path.
    """

    def __init__(self) -> None:
        self.key: Key = rsa.generate_private_key(65_537, 2048)
        self.kid = "key-1"
        self.asked: dict[str, int] = {}
        self.reset()
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                provider._post(self)

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.issuer = f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Right in every respect again."""
        self.person: Claims = {"sub": "sub-1", "preferred_username": "ana", "groups": ["staff"]}
        self.claims: Claims = {}
        self.token: Callable[[Header, Claims], str] = lambda h, c: signed(h, c, self.key)
        self.userinfo: Claims | None = None
        self.is_thin = False
        self.metadata: dict[str, Any] = {}
        self.token_answer: tuple[int, dict[str, Any]] | None = None
        self._codes: dict[str, dict[str, str]] = {}
        self._used: set[str] = set()

    def __enter__(self) -> Self:
        self._serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_down()

    def go_down(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()

    def come_back(self) -> None:
        """Answer again, at the same address."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
        self._serve()

    def rotate(self, kid: str, key: Key | None = None) -> None:
        """Sign with another key, and publish that one alone."""
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.kid = kid

    def authorize(self, url: str) -> str:
        """What a browser that is sent to ``url`` is sent on to, without the network between."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self._codes)}-{time.monotonic_ns()}"
        self._codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer}
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def _serve(self) -> None:
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _get(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        self.asked[path] = self.asked.get(path, 0) + 1
        match path:
            case "/.well-known/openid-configuration":
                _answer(handler, 200, self._description())
            case "/jwks":
                rubbish: list[Any] = [{"kty": "AKP", "kid": "pq"}, {"kty": "RSA", "kid": "half"}, 7]
                _answer(handler, 200, {"keys": [*rubbish, public_jwk(self.kid, self.key)]})
            case "/userinfo":
                assert handler.headers["Authorization"] == "Bearer access-1"
                _answer(handler, 200, self.userinfo or self.person)
            case "/authorize":
                handler.send_response(302)
                handler.send_header("Location", self.authorize(handler.path))
                handler.end_headers()
            case _:
                _answer(handler, 404, {})

    def _post(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.asked[handler.path] = self.asked.get(handler.path, 0) + 1
        if self.token_answer is not None:
            _answer(handler, *self.token_answer)
            return
        asked = self._codes.get(form.get("code", ""))
        pair = f"{CLIENT_ID.replace(' ', '+')}:s%26cret+%3A%2F%25"
        if handler.headers.get("Authorization") != (
            f"Basic {base64.b64encode(pair.encode()).decode()}"
        ):
            _answer(handler, 401, {"error": "invalid_client"})
            return
        verifier = form.get("code_verifier", "")
        challenge = text_of(hashlib.sha256(verifier.encode()).digest())
        if (
            asked is None or form["code"] in self._used or len(verifier) < 43
            or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]
        ):  # fmt: skip
            _answer(handler, 400, {"error": "invalid_grant"})
            return
        self._used.add(form["code"])
        _answer(handler, 200, {
            "access_token": "access-1", "token_type": "bearer", "expires_in": 300,
            "id_token": self._token(asked["nonce"]),
        })  # fmt: skip

    def _token(self, nonce: str) -> str:
        now = int(time.time())
        about = {"sub": self.person["sub"]} if self.is_thin else self.person
        claims = {
            **about, "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300,
            "nonce": nonce, "at_hash": text_of(hashlib.sha256(b"access-1").digest()[:16]),
            **self.claims,
        }  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        algorithm = "RS256" if isinstance(self.key, rsa.RSAPrivateKey) else "ES256"
        return self.token({"alg": algorithm, "typ": "JWT", "kid": self.kid}, kept)

    def _description(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }


def _answer(
    handler: http.server.BaseHTTPRequestHandler, status: int, value: dict[str, Any]
) -> None:
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
