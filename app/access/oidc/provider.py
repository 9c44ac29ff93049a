"""The provider: what it says of itself and its keys, and the exchange of a code for claims."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from app.access.errors import ProviderError, SignOnError
from app.access.oidc import answers
from app.access.oidc.attempt import Attempt
from app.access.oidc.client import OidcClient
from app.access.oidc.id_token import (
    IdToken,
    UnknownKeyError,
    check_access_token,
    check_claims,
    read_keys,
    read_token,
)
from eventbus.validation import shown

if TYPE_CHECKING:
    from joserfc.jwk import Key

TIMEOUT_S = 5.0
_FRESH_S = 30.0  # so often it is asked whether it is there, before people are sent to it
_KEYS_FRESH_S = 3_600.0
_KEYS_AGAIN_S = 10.0  # so often at most an unknown key has all of them asked for again
_SILENT_S = 3.0  # so long who failed to answer is not asked again

# RFC 6749 §5.2: what is wrong with the code or attempt; all else is wrong with the registration.
_OF_THE_CODE = ("invalid_grant", "invalid_request")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is used of the provider's own description (OpenID Connect Discovery 1.0 §3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    posts_secret: bool
    tells_issuer: bool


class Provider:
    """For any thread; ``_lock`` guards what is remembered, and has one at a time ask for it."""

    def __init__(self, client: OidcClient, timeout_s: float = TIMEOUT_S) -> None:
        self.client = client
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None
        self._metadata_at = 0.0
        self._problem: tuple[str, float] | None = None
        self._keys: tuple[Key, ...] = ()
        self._keys_at = 0.0
        self._keys_again_at = 0.0

    def authorization_url(self, attempt: Attempt, redirect_uri: str) -> str:
        """Where somebody says who they are (OpenID Connect Core 1.0 §3.1.2.1, RFC 7636 §4.3).

        Blocks while the provider is asked whether it is there. Raises ProviderError.
        """
        return _with_query(
            self._described(_FRESH_S).authorization_endpoint,
            {
                "response_type": "code",
                "client_id": self.client.id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self.client.scopes),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": attempt.challenge,
                "code_challenge_method": "S256",
            },
        )

    def sign_out_url(self, come_back_to: str) -> str | None:
        """Where somebody signs out of the provider (OpenID Connect RP-Initiated Logout 1.0 §2).

        None when it says of no such place. The client is named by its id: ID tokens are not kept
        here, so there is no hint. Blocks while the provider is asked; raises ProviderError.
        """
        endpoint = self._described(_FRESH_S).end_session_endpoint
        if endpoint is None:
            return None
        query = {"client_id": self.client.id, "post_logout_redirect_uri": come_back_to}
        return _with_query(endpoint, query)

    def check_sender(self, issuer: str | None) -> None:
        """Whether an answer is of this provider and not of another (RFC 9207 §2.4).

        Blocks; raises SignOnError, ProviderError.
        """
        is_told = issuer is not None or self._described(float("inf")).tells_issuer
        if is_told and issuer != self.client.issuer:
            raise SignOnError(f"the answer is of another provider: {shown(issuer)}")

    def claims(self, code: str, attempt: Attempt, redirect_uri: str) -> Mapping[str, Any]:
        """What the provider says of who came back with ``code``; every check is done.

        Blocks for up to four requests. Raises SignOnError, ProviderError.
        """
        about = self._described(float("inf"))
        found = self._exchanged(about, code, attempt, redirect_uri)
        token = self._checked(about, found["id_token"])
        check_claims(token.claims, self.client, attempt.nonce, time.time())
        access_token = found.get("access_token")
        if not isinstance(access_token, str):
            return token.claims
        check_access_token(token, access_token)
        if about.userinfo_endpoint is None or not self.client.needs_more(token.claims):
            return token.claims
        more = self._asked(about.userinfo_endpoint, {"Authorization": f"Bearer {access_token}"})
        if more.get("sub") != token.claims["sub"]:  # §5.3.2
            raise SignOnError(f"{self.client.name} told about somebody else (sub of UserInfo)")
        return {**more, **token.claims}

    def _exchanged(
        self, about: Metadata, code: str, attempt: Attempt, redirect_uri: str
    ) -> Mapping[str, Any]:
        """The token response (§3.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        client = self.client
        if not client.secret:
            form["client_id"] = client.id
        elif about.posts_secret:
            form |= {"client_id": client.id, "client_secret": client.secret}
        else:  # RFC 6749 §2.3.1: both are encoded as in a form
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        try:
            answer = answers.ask(
                about.token_endpoint, self._timeout_s, headers, urlencode(form).encode()
            )
        except ProviderError as error:
            raise self._silent(str(error)) from None
        found = answers.members(answer)
        problem = found.get("error")
        if problem in _OF_THE_CODE:
            raise SignOnError(f"{client.name} does not accept the code: it was used, or is too old")
        if answer.status != 200 or problem is not None:
            said = f" ({shown(problem)})" if isinstance(problem, str) else ""
            raise ProviderError(
                f"{client.name} refused this server: {answer.status_line}{said}; are the client's "
                "id and secret right?"
            )
        is_bearer = str(found.get("token_type", "")).lower() == "bearer"
        if not isinstance(found.get("id_token"), str) or not is_bearer:
            raise ProviderError(f"{client.name} gave no ID token; is it an OpenID provider?")
        return found

    def _checked(self, about: Metadata, text: str) -> IdToken:
        """With the keys that are known; if none fits, with those that there are now (§10.1.1)."""
        try:
            return read_token(text, self._known_keys(about, is_again=False))
        except UnknownKeyError:
            return read_token(text, self._known_keys(about, is_again=True))

    def _known_keys(self, about: Metadata, is_again: bool) -> tuple[Key, ...]:
        with self._lock:
            now = time.monotonic()
            is_old = not self._keys or now - self._keys_at > _KEYS_FRESH_S
            if is_old or (is_again and now >= self._keys_again_at):
                if is_again:
                    self._keys_again_at = now + _KEYS_AGAIN_S
                self._keys = read_keys(self._asked(about.jwks_uri))
                self._keys_at = now
            return self._keys

    def _described(self, max_age_s: float) -> Metadata:
        with self._lock:
            now = time.monotonic()
            if self._metadata is not None and now - self._metadata_at < max_age_s:
                return self._metadata
            if self._problem is not None and now - self._problem[1] < _SILENT_S:
                raise ProviderError(self._problem[0])
            try:
                self._metadata = self._read(self._asked(_description_of(self.client.issuer)))
            except ProviderError as error:
                self._problem = (str(error), time.monotonic())
                raise
            self._metadata_at, self._problem = time.monotonic(), None
            return self._metadata

    def _read(self, found: Mapping[str, Any]) -> Metadata:
        name = self.client.name
        if found.get("issuer") != self.client.issuer:  # Discovery §4.3
            raise ProviderError(
                f"{name} calls itself {shown(found.get('issuer'))}; EVENTBUS_OIDC_ISSUER must be "
                "the same to the letter"
            )
        for needed in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not answers.is_safe(found.get(needed)):
                raise ProviderError(f"{name} has no {needed} with https")
        userinfo = found.get("userinfo_endpoint")
        end_session = found.get("end_session_endpoint")
        methods = found.get("token_endpoint_auth_methods_supported")
        return Metadata(
            found["authorization_endpoint"], found["token_endpoint"], found["jwks_uri"],
            userinfo if answers.is_safe(userinfo) else None,
            end_session if answers.is_safe(end_session) else None,
            posts_secret=isinstance(methods, list) and "client_secret_basic" not in methods
            and "client_secret_post" in methods,
            tells_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        )  # fmt: skip

    def _asked(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            return answers.get(url, self._timeout_s, headers)
        except ProviderError as error:
            raise self._silent(str(error)) from None

    def _silent(self, why: str) -> ProviderError:
        return ProviderError(f"{self.client.name} does not answer as it should ({why})")


def _with_query(endpoint: str, query: Mapping[str, str]) -> str:
    """An endpoint may have a query of its own (RFC 6749 §3.1)."""
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def _description_of(issuer: str) -> str:
    """Discovery §4.1."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"
