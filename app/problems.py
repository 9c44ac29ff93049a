"""Errors as answers: problem documents (RFC 9457) for programs, a page for people."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NotRequired, TypedDict

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.routing.exceptions import WebsocketMismatch

from app.access.errors import (
    AccessConflictError,
    AccessError,
    AccessFieldError,
    LoginError,
    NotAllowedError,
    SignOnError,
    ThrottledError,
    UnknownError,
)
from eventbus.cloudevents import ACCEPTED
from eventbus.errors import (
    BusClosedError,
    CursorError,
    DryRunError,
    EventValidationError,
    FieldError,
    HiddenTextError,
    LogError,
    LogLockedError,
    NoThreadError,
    OperationError,
    OverlayError,
    PatternError,
    ReceiptTimeoutError,
    SearchTextError,
    TravelError,
    TravelTooEarlyError,
    UnsupportedContentTypeError,
)


class ProblemPart(TypedDict):
    """What is wrong at one place: a JSON Pointer into the body, or a query parameter's name."""

    pointer: str
    detail: str
    parameter: NotRequired[str]


class Problem(TypedDict):
    """An error (RFC 9457): what it is, and for input what is wrong where."""

    title: str
    status: int
    detail: str
    errors: NotRequired[list[ProblemPart]]


PROBLEM_CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

log = logging.getLogger(__name__)


class ProblemError(Exception):
    """An answer that is an error.

    ``errors`` are dicts with ``pointer`` (a JSON Pointer into the body, or ``/`` and the name of a
    query parameter) and ``detail``. ``headers`` go with the answer.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Iterable[FieldError | Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = [
            {"pointer": e.pointer, "detail": e.detail} if isinstance(e, FieldError) else dict(e)
            for e in errors
        ]
        self.headers = dict(headers or {})

    def as_validation(self) -> EventValidationError:
        """The same as an error of the fields of an event, for where no answer is given."""
        return EventValidationError([FieldError(**each) for each in self.errors])

    @classmethod
    def parameter(cls, name: str, detail: str) -> ProblemError:
        """A 400 about one query parameter; ``detail`` says rule and value."""
        error = {"pointer": f"/{name}", "parameter": name, "detail": detail}
        return cls(400, "Wrong parameter", f"{name}: {detail}", [error])


def register(app: Flask) -> None:
    """Answer every error of ``app``, expected or not, in the form its client can read."""
    app.register_error_handler(Exception, _answer)


def as_problem(error: Exception) -> ProblemError:
    """The problem that an exception of any kind means for the client; unknown ones are a 500."""
    match error:
        case ProblemError():
            return error
        case ClientDisconnected():
            return ProblemError(
                408, "Request Timeout", "the body did not arrive completely in time"
            )
        case WebsocketMismatch():
            return upgrade_required()
        case HTTPException():
            return _from_http(error)
        case EventValidationError():
            return _invalid_event(error)
        case AccessError():
            return _no_access(error)
        case PatternError():
            return ProblemError.parameter("type", str(error))
        case CursorError():
            return ProblemError.parameter("cursor", str(error))
        case SearchTextError():
            return ProblemError.parameter("q", str(error))
        case HiddenTextError():
            error_of_q = {"pointer": "/q", "parameter": "q", "detail": str(error)}
            return ProblemError(403, "Forbidden", f"q: {error}", [error_of_q])
        case OperationError():
            return ProblemError(409, "Not possible", str(error))
        case UnsupportedContentTypeError():
            return ProblemError(
                415, "Unsupported Media Type", str(error), headers={"Accept-Post": ACCEPTED}
            )
        case BusClosedError() | LogLockedError():
            return _unavailable("Not running", str(error))
        case ReceiptTimeoutError():
            return _unavailable(
                "Not confirmed",
                f"{error}; publish it again with the same source and id: it is recorded once",
            )
        case TravelTooEarlyError():
            return ProblemError(410, "Not kept", str(error))
        case TravelError():
            return _unavailable("Not ready", str(error))
        case DryRunError() | OverlayError():
            return _unavailable("No preview now", str(error))
        case LogError():
            log.error("the log failed: %s", error)
            return _unavailable("The event log failed", str(error))
        case NoThreadError():
            log.error("%s", error)
            return _unavailable("No thread", str(error))
        case MemoryError():
            log.error("no memory left in %s %s", request.method, request.path, exc_info=error)
            return _unavailable("Out of memory", "the server has no memory left for this")
        case _ if type(error).__module__ == "gunicorn.http.errors":
            # The transfer coding broke in the middle of the body, which is read on demand.
            return ProblemError(400, "Bad Request", f"the body cannot be read: {error}")
        case _:
            log.error("error in %s %s", request.method, request.path, exc_info=error)
            return ProblemError(
                500, "Internal Server Error", "this is our mistake; the server's log has the rest"
            )


def problem_response(problem: ProblemError) -> Response:
    """The problem document as an answer."""
    document: dict[str, Any] = {
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = problem.errors
    # Escaped to ASCII: details quote what came in, which may hold characters that UTF-8 cannot.
    return Response(
        json.dumps(document) + "\n",
        status=problem.status,
        headers=problem.headers,
        content_type=PROBLEM_CONTENT_TYPE,
    )


def upgrade_required() -> ProblemError:
    """What a plain request for a WebSocket is told (RFC 9110 §15.5.22)."""
    return ProblemError(
        426, "Upgrade Required", f"{request.path[:200]} is a WebSocket",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )  # fmt: skip


def _answer(error: Exception) -> Response | tuple[str, int, dict[str, str]]:
    problem = as_problem(error)
    if not wants_page():
        return problem_response(problem)
    page = render_template(
        "error.html",
        status=problem.status,
        title=problem.title,
        detail=problem.detail,
        errors=problem.errors,
    )
    return page, problem.status, problem.headers


def wants_page() -> bool:
    """People get a page. A wildcard is not a wish: what says ``*/*`` is a program."""
    is_api = request.path == "/api" or request.path.startswith("/api/")
    return not is_api and "text/html" in request.headers.get("Accept", "")


def _from_http(error: HTTPException) -> ProblemError:
    status = error.code or 500
    title = HTTPStatus(status).phrase
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    detail = {
        404: f"there is nothing at {request.path[:200]}",
        405: f"{request.method} is not allowed at {request.path[:200]}",
    }.get(status, error.description or title)
    return ProblemError(status, title, detail, headers=headers)


def _invalid_event(error: EventValidationError) -> ProblemError:
    first = error.errors[0]
    more = f" (and {len(error.errors) - 1} more)" if len(error.errors) > 1 else ""
    detail = f"{first.pointer or 'the event'}: {first.detail}{more}; nothing was recorded"
    return ProblemError(400, "Invalid event", detail, error.errors)


def _no_access(error: AccessError) -> ProblemError:
    match error:
        case AccessFieldError():
            return ProblemError(400, "Wrong body", str(error), [error.field])
        case UnknownError():
            return ProblemError(404, "Not Found", str(error))
        case NotAllowedError():
            return ProblemError(403, "Forbidden", str(error))
        case LoginError() | SignOnError():
            return ProblemError(401, "Not signed in", str(error))
        case ThrottledError():
            wait = {"Retry-After": str(error.retry_after_s)}
            return ProblemError(429, "Too Many Requests", str(error), headers=wait)
        case AccessConflictError():
            return ProblemError(409, "Not possible", str(error))
    return _unavailable("Not now", str(error))


def _unavailable(title: str, detail: str) -> ProblemError:
    return ProblemError(503, title, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
