"""The ID token: its signature, and every check of OpenID Connect Core 1.0 §3.1.3.7."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

from app.access.errors import SignOnError
from app.access.oidc.client import OidcClient
from eventbus.validation import shown

LEEWAY_S = 60.0
_MOST_TOKEN_CHARS = 65_536
_MOST_SUBJECT_CHARS = 255
_LEAST_RSA_BITS = 2048  # RFC 7518 §3.3

# Only what is signed with a key that the provider alone has. Without a signature ("none"), or with
# HMAC, for which a public key could be taken as the secret, nothing is proved.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
              "EdDSA", "Ed25519")  # fmt: skip
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_REGISTRY.max_header_length = 16_384  # it may bring its certificates along


class UnknownKeyError(SignOnError):
    """It is signed with none of the keys that are known, which may have been changed since."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """A token whose signature was right: its algorithm and claims."""

    algorithm: str
    claims: Mapping[str, Any]


def read_keys(document: Any) -> tuple[Key, ...]:
    """The keys of a JWK Set (RFC 7517 §5) that can prove a signature; others are passed over."""
    found = document.get("keys") if isinstance(document, dict) else None
    keys = []
    for each in found if isinstance(found, list) else []:
        try:
            key = import_key(each)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        is_weak = isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS
        is_public = isinstance(key, RSAKey | ECKey | OKPKey)
        if is_public and not is_weak and each.get("use", "sig") == "sig":
            keys.append(key)
    return tuple(keys)


def read_token(text: str, keys: Iterable[Key]) -> IdToken:
    """Check the signature. Raises UnknownKeyError, SignOnError."""
    if len(text) > _MOST_TOKEN_CHARS:
        raise SignOnError("the ID token is too long")
    try:
        header = jws.extract_compact(text.encode(), registry=_REGISTRY).headers()
    except (JoseError, ValueError, RecursionError):
        raise SignOnError("the ID token is not a signed one") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise SignOnError(f"the ID token is signed with {shown(algorithm)}, which is not accepted")
    known = list(keys)
    candidates = known if kid is None else [key for key in known if key.get("kid") == kid]
    for key in candidates:
        try:
            found = jws.deserialize_compact(text.encode(), key, registry=_REGISTRY)
            claims = json.loads(found.payload or b"")
        except (JoseError, ValueError, RecursionError):
            continue  # not of this key: without a kid each is tried
        if not isinstance(claims, dict):
            raise SignOnError("the ID token has no claims")
        return IdToken(algorithm, claims)
    raise UnknownKeyError(
        "the ID token is signed with no key of the provider"
        + (f" (kid {shown(kid)})" if kid else "")
    )


def check_claims(claims: Mapping[str, Any], client: OidcClient, nonce: str, now_s: float) -> None:
    """Whether the token is of this provider, for this client, of this attempt, and not too old.

    The numbers are the steps of §3.1.3.7. Raises SignOnError.
    """
    if claims.get("iss") != client.issuer:  # 2
        raise SignOnError(f"the ID token is of another issuer: {shown(claims.get('iss'))}")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client.id not in audiences:  # 3
        raise SignOnError(f"the ID token is for somebody else: {shown(audience)}")
    strangers = [each for each in audiences if each not in (client.id, *client.audiences)]
    if strangers:
        raise SignOnError(
            f"the ID token is also for {shown(strangers[0])}, which is not in "
            "EVENTBUS_OIDC_AUDIENCES"
        )
    party = claims.get("azp")
    if party is None and len(audiences) > 1:  # 4
        raise SignOnError("the ID token is for several and does not say who asked for it (azp)")
    if party is not None and party != client.id:  # 5
        raise SignOnError(f"the ID token was made for somebody else: {shown(party)}")
    expires, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise SignOnError("the ID token does not say when it was made and when it ends (iat, exp)")
    if now_s >= expires + LEEWAY_S:  # 9
        raise SignOnError("the ID token has expired; are the clocks right?")
    if max(issued, begins or 0.0) > now_s + LEEWAY_S:  # 10
        raise SignOnError("the ID token is of the future; are the clocks right?")
    if claims.get("nonce") != nonce:  # 11
        raise SignOnError("the ID token is of another attempt (nonce)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MOST_SUBJECT_CHARS:  # §2
        raise SignOnError("the ID token does not say whom it is about (sub)")


def check_access_token(token: IdToken, access_token: str) -> None:
    """Whether the ID token belongs to the access token, if it says so (§3.1.3.8).

    Raises SignOnError.
    """
    said = token.claims.get("at_hash")
    if said is None:
        return
    size = "512" if token.algorithm.startswith("Ed") else token.algorithm[-3:]
    digest = hashlib.new(f"sha{size}", access_token.encode("ascii", "replace")).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if said != half:
        raise SignOnError("the ID token belongs to another access token (at_hash)")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e12:
        return None
    return float(value)
