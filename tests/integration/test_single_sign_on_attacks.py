"""What must not get in by single sign-on: wrong tokens of every kind, answers that are none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.helpers.api import Answer
from tests.helpers.oidc_provider import CLIENT_ID, Claims, Header, OidcProvider, part, signed
from tests.helpers.server import ServerProcess
from tests.helpers.single_sign_on import CALLBACK, Guest, variables


def hs256_with_the_public_key(provider: OidcProvider) -> Callable[[Header, Claims], str]:
    """RFC 8725 §2.1: who takes the algorithm from the token checks it with the public key."""
    pem = provider.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def token(header: Header, claims: Claims) -> str:
        content = f"{part({**header, 'alg': 'HS256'})}.{part(claims)}"
        mac = base64.urlsafe_b64encode(hmac.digest(pem, content.encode(), hashlib.sha256))
        return f"{content}.{mac.rstrip(b'=').decode()}"

    return token


def unsigned(header: Header, claims: Claims) -> str:
    return f"{part({**header, 'alg': 'none'})}.{part(claims)}."


def spoiled(header: Header, claims: Claims) -> str:
    """Signed by somebody else in the name of the same key."""
    return signed(header, claims, rsa.generate_private_key(65_537, 2048))


def changed(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{part({**claims, 'groups': ['bosses']})}.{signature}"


WRONG: dict[str, tuple[Callable[[OidcProvider], None], str]] = {
    "another issuer": (lambda p: p.claims.update(iss="https://evil.example"), "another issuer"),
    "another audience": (lambda p: p.claims.update(aud="somebody"), "for somebody else"),
    "no audience": (lambda p: p.claims.update(aud=None), "for somebody else"),
    "one audience too many": (
        lambda p: p.claims.update(aud=[CLIENT_ID, "x"], azp=CLIENT_ID), "EVENTBUS_OIDC_AUDIENCES",
    ),
    "another party": (lambda p: p.claims.update(azp="x"), "made for somebody else"),
    "another nonce": (lambda p: p.claims.update(nonce="x"), "nonce"),
    "no nonce": (lambda p: p.claims.update(nonce=None), "nonce"),
    "expired": (lambda p: p.claims.update(exp=int(time.time()) - 61), "has expired"),
    "no end": (lambda p: p.claims.update(exp=None), "when it ends"),
    "an end that is text": (lambda p: p.claims.update(exp="never"), "when it ends"),
    "of the future": (lambda p: p.claims.update(iat=int(time.time()) + 90), "of the future"),
    "not yet": (lambda p: p.claims.update(nbf=int(time.time()) + 90), "of the future"),
    "no subject": (lambda p: p.claims.update(sub=None), "whom it is about"),
    "a subject that is none": (lambda p: p.claims.update(sub=["x"]), "whom it is about"),
    "another access token": (lambda p: p.claims.update(at_hash="x"), "at_hash"),
    "unsigned": (lambda p: setattr(p, "token", unsigned), "which is not accepted"),
    "HMAC with the public key": (
        lambda p: setattr(p, "token", hs256_with_the_public_key(p)), "which is not accepted",
    ),
    "signed by somebody else": (lambda p: setattr(p, "token", spoiled), "no key of the provider"),
    "changed on the way": (
        lambda p: setattr(p, "token", lambda h, c: changed(signed(h, c, p.key))),
        "no key of the provider",
    ),
    "an unknown key": (
        lambda p: setattr(p, "token", lambda h, c: signed({**h, "kid": "x"}, c, p.key)),
        "no key of the provider",
    ),
    "no token at all": (lambda p: setattr(p, "token", lambda h, c: "<b>"), "not a signed one"),
    "a name that is none": (lambda p: p.person.update(preferred_username="a <b>"), "is no name"),
    "no name": (lambda p: p.person.pop("preferred_username"), "does not say who you are"),
    "somebody else's UserInfo": (
        lambda p: (setattr(p, "is_thin", True), setattr(p, "userinfo", {"sub": "x"}))[0],
        "told about somebody else",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def strict(
    started: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server that is asked by many addresses, so that no attempt has to wait for the others'."""
    more = variables(started, EVENTBUS_TRUSTED_PROXIES="127.0.0.1")
    with ServerProcess(tmp_path_factory.mktemp("server"), **more) as server:
        yield server


@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_token_lets_nobody_in(
    strict: ServerProcess, provider: OidcProvider, which: str
) -> None:
    spoil, said = WRONG[which]
    spoil(provider)
    guest = Guest(strict, provider)
    address = f"203.0.113.{list(WRONG).index(which)}"
    answer = guest.get(guest.begin(), X_Forwarded_For=address)
    assert answer.status == 401, answer.text
    assert said in answer.text and "Sign in with Example ID" in answer.text
    assert guest.cookies == {}


def test_a_code_or_answer_is_used_once_and_in_the_browser_that_asked(
    strict: ServerProcess, provider: OidcProvider
) -> None:
    guest, thief = Guest(strict, provider), Guest(strict, provider)
    back = guest.begin()
    stolen = thief.get(back)
    assert stolen.status == 401 and "another browser" in stolen.text and thief.cookies == {}
    kept = dict(guest.cookies)
    assert guest.get(back).status == 303
    guest.cookies = kept
    again = guest.get(back)
    assert again.status == 401 and "does not accept the code" in again.text
    # The code of one attempt with the state of another: PKCE and nonce are of the other.
    victim = Guest(strict, provider)
    mine = parse_qs(urlsplit(victim.begin()).query)
    theirs = parse_qs(urlsplit(thief.begin()).query)
    mixed = f"{CALLBACK}?state={mine['state'][0]}&code={theirs['code'][0]}&iss={provider.issuer}"
    assert victim.get(mixed).status == 401


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("state={state}&code=x&iss=https://evil.example", 401, "another provider"),
        ("state={state}&code=x", 401, "another provider"),  # it says that it always tells
        ("state={state}&iss={iss}", 401, "no code that can be used"),
        ("state={state}&iss={iss}&code=%00%0a", 401, "no code that can be used"),
        ("state={state}&iss={iss}&error=access_denied", 401, "did not let you sign in"),
        ("state={state}&iss={iss}&error=%3Cscript%3E", 401, "refused: an error"),
        ("state={state}&iss={iss}&error=temporarily_unavailable", 503, "at the moment"),
        ("state=%ff%00&code=x", 401, "another browser"),
        ("", 401, "another browser"),
    ],
)
def test_an_answer_that_is_none_is_told_on_the_login_page(
    strict: ServerProcess, provider: OidcProvider, query: str, status: int, said: str
) -> None:
    guest = Guest(strict, provider)
    state = parse_qs(urlsplit(guest.begin()).query)["state"][0]
    path = f"{CALLBACK}?{query.format(state=state, iss=provider.issuer)}"
    answer = guest.get(path, X_Forwarded_For=f"198.51.100.{len(query) + len(said)}")
    assert (answer.status, said in answer.text) == (status, True), answer.text
    assert "<script>" not in answer.text


def test_programs_are_told_in_their_way(strict: ServerProcess, provider: OidcProvider) -> None:
    answer = Guest(strict, provider).get(f"{CALLBACK}?state=x&code=x", "application/json")
    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/%5Cevil.example",
                                  "/login/oidc", "/%09/evil.example"])  # fmt: skip
def test_the_way_back_leads_to_no_other_site(
    strict: ServerProcess, provider: OidcProvider, next: str
) -> None:
    assert Guest(strict, provider).sign_in(next).headers["location"] == "/"


def test_too_many_answers_that_are_wrong_have_to_wait(
    strict: ServerProcess, provider: OidcProvider
) -> None:
    guest = Guest(strict, provider)

    def answered(address: str) -> Answer:
        wrong = guest.begin().replace("code=", "code=x")
        return guest.get(wrong, X_Forwarded_For=address)

    for _ in range(25):  # what another site has a browser ask comes without the cookie
        assert guest.get(f"{CALLBACK}?state=x", X_Forwarded_For="192.0.2.1").status == 401
    for _ in range(20):
        assert answered("192.0.2.1").status == 401
    answer = answered("192.0.2.1")
    assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
    assert answered("192.0.2.2").status == 401


def test_several_tabs_may_sign_in_at_once(strict: ServerProcess, provider: OidcProvider) -> None:
    guest = Guest(strict, provider)
    first, second = guest.begin("/events"), guest.begin("/alerts")
    assert guest.get(first).headers["location"] == "/events"
    assert guest.get(second).headers["location"] == "/alerts"
    many = Guest(strict, provider)
    for _ in range(12):
        many.begin()
    assert len(many.cookies) <= 6


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "invalid_client"}), "refused this server"),
        ((500, {}), "does not answer as it should"),
        ((200, {"token_type": "Bearer", "access_token": "x"}), "gave no ID token"),
    ],
)
def test_a_provider_that_answers_wrong_is_not_the_peoples_fault(
    strict: ServerProcess, provider: OidcProvider, answer: Any, said: str
) -> None:
    provider.token_answer = answer
    found = Guest(strict, provider).sign_in()
    assert found.status == 503 and said in found.text and "retry-after" in found.headers
