"""Signing in by the OpenID provider: the way there, and the way back with its answer."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from flask import Blueprint, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from app.access.cookie import (
    attempt_cookie,
    drop_attempt,
    session_secret,
    set_attempt,
    set_session,
)
from app.access.errors import (
    AccessConflictError,
    AccessError,
    NotAllowedError,
    ProviderError,
    SignOnError,
    UnknownError,
)
from app.access.guard import address_of_request, principal
from app.access.login import NO_STORE, Answer, refused, wanted
from app.access.oidc.attempt import MAX_AGE_S, Attempt, id_of
from app.access.oidc.person import Person
from app.runtime import runtime

if TYPE_CHECKING:
    from app.access.oidc.provider import Provider

PATH = "/login/oidc"
CALLBACK_PATH = f"{PATH}/callback"
SIGNED_OUT_PATH = f"{PATH}/signed-out"
_MOST_CODE_CHARS = 4_096
_ERROR = re.compile(r"[a-z_]{1,60}")
# RFC 6749 §4.1.2.1 and OpenID Connect Core 1.0 §3.1.2.6; who is asked may also say no.
_SAID = {
    "access_denied": "did not let you sign in, or you did not want to",
    "temporarily_unavailable": "cannot sign anybody in at the moment",
    "server_error": "cannot sign anybody in at the moment",
}
_NOT_BEGUN = (
    "this sign-in was begun in another browser, at another address of this server, or too long "
    "ago; begin again"
)
_DOWN = ("temporarily_unavailable", "server_error")

log = logging.getLogger(__name__)

blueprint = Blueprint("oidc", __name__)


@blueprint.get(PATH)
def begin() -> Answer:
    """Go to the provider, and remember in the browser what for."""
    path = wanted(request.args.get("next", ""))
    if principal().kind == "user":
        return redirect(path, 303)
    attempt = Attempt.begin(path)
    try:
        url = _provider().authorization_url(attempt, callback_url())
    except AccessError as error:
        if isinstance(error, ProviderError):
            log.warning("single sign-on: %s", error)
        return refused(error, path)
    response = redirect(url, 303)
    response.headers.update(NO_STORE)
    set_attempt(response, id_of(attempt.state), attempt.cookie, MAX_AGE_S)
    return response


@blueprint.get(CALLBACK_PATH)
def finish() -> Answer:
    """Come back with a code: exchange it for who somebody is, and begin a session."""
    state, address = request.args.get("state", ""), address_of_request()
    attempt = Attempt.of(attempt_cookie(id_of(state)), state)
    logins = runtime().access.logins
    if attempt is None:
        # Not counted and not recorded: the cookie stays away when another site has a browser ask,
        # and nothing is tried without it.
        return refused(SignOnError(_NOT_BEGUN), "/")
    path = wanted(attempt.next)
    person: Person | None = None
    try:
        provider = _provider()
        logins.begin_by_provider(address)
        person = _person(provider, attempt)
        secret = logins.sign_in_by_provider(
            person, address, request.headers.get("User-Agent", ""), session_secret()
        )
    except (SignOnError, NotAllowedError, AccessConflictError) as error:
        logins.refused_by_provider(address, str(error), None if person is None else person.name)
        return _without(attempt, refused(error, path))
    except ProviderError as error:
        log.warning("single sign-on: %s", error)
        logins.not_a_failure(address)
        return _without(attempt, refused(error, path))
    except AccessError as error:  # too many attempts: this one can be made again
        return refused(error, path)
    response = redirect(path, 303)
    response.headers.update(NO_STORE)
    set_session(response, secret)
    drop_attempt(response, id_of(state))
    return response


@blueprint.get(SIGNED_OUT_PATH)
def signed_out() -> Answer:
    """Go on to the provider, to sign out there; the session here has ended.

    From a page of its own and not by a redirect: Chromium holds those after a form against
    ``form-action 'self'``.
    """
    provider = runtime().access.provider
    if provider is None or not provider.client.signs_out or principal().kind == "user":
        return redirect("/login", 303)
    try:
        url = provider.sign_out_url(_own_url("/login"))
    except ProviderError as error:
        log.warning("single sign-on: %s", error)
        url = None
    if url is None:
        return redirect("/login", 303)
    page = render_template("signed_out.html", provider=provider.client.name, url=url)
    return make_response(page, {**NO_STORE, "Refresh": f"0; url={url}"})


def callback_url() -> str:
    """Where the provider sends people back to; what is registered there must be the same."""
    return _own_url(CALLBACK_PATH)


def _own_url(path: str) -> str:
    return (runtime().settings.public_url or request.host_url.rstrip("/")) + path


def _person(provider: Provider, attempt: Attempt) -> Person:
    """Who came back. Raises SignOnError, ProviderError."""
    given = request.args
    name = provider.client.name
    provider.check_sender(given.get("iss"))
    if error := given.get("error"):
        said = _SAID.get(error) or "refused: " + (error if _ERROR.fullmatch(error) else "an error")
        raise (ProviderError if error in _DOWN else SignOnError)(f"{name} {said}")
    code = given.get("code", "")
    if not code or len(code) > _MOST_CODE_CHARS or not code.isascii() or not code.isprintable():
        raise SignOnError(f"{name} sent no code that can be used")
    claims = provider.claims(code, attempt, callback_url())
    return Person.of(claims, provider.client)


def _provider() -> Provider:
    provider = runtime().access.provider
    if provider is None:
        raise UnknownError("there is no single sign-on here; EVENTBUS_OIDC_ISSUER sets it up")
    return provider


def _without(attempt: Attempt, answer: Answer) -> Answer:
    """The answer, and the attempt is over: its code is used up."""
    if isinstance(answer, Response):
        drop_attempt(answer, id_of(attempt.state))
    return answer
