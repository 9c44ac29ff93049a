"""An operation of the API: what a route takes and answers, said where the route is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from flask import request

from app.openapi.fields import Body, Field
from app.problems import ProblemError
from eventbus.validation import shown

ATTRIBUTE = "__api_operation__"

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is not a small JSON object: its content types, each with its schema.

    A schema is a type that it is made from, or a JSON Schema. ``examples`` are by content type.
    """

    schemas: Mapping[str, Any]
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is said about one route and method.

    ``answers`` are the types of the JSON bodies by status, or Media; ``problems`` are the statuses
    of problem documents beside those that any request may meet. ``path`` describes the variables
    of the path. ``headers`` are what its good answers have.
    """

    id: str
    tag: str
    description: str
    query: Sequence[Field] = ()
    path: Sequence[Field] = ()
    body: Body | Media | None = None
    answers: Mapping[int, Any] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    request_headers: Sequence[Field] = ()
    is_socket: bool = False

    def check_query(self) -> None:
        """Refuse a request with parameters that are not known here, or that are given twice.

        A filter that is misspelt must not find everything. Raises ProblemError.
        """
        known = [each.name for each in self.query]
        for name, values in request.args.lists():
            if name not in known:
                others = f"known are {', '.join(known)}" if known else "it takes none"
                raise ProblemError.parameter(
                    shown(name)[1:-1], f"is not a parameter of {request.path[:200]}; {others}"
                )
            if len(values) > 1:
                raise ProblemError.parameter(name, f"is given {len(values)} times, not once")


def operation(
    id: str,
    tag: str,
    *,
    query: Sequence[Field] = (),
    path: Sequence[Field] = (),
    body: Body | Media | None = None,
    answers: Mapping[int, Any],
    problems: Mapping[int, str] | None = None,
    headers: Mapping[str, str] | None = None,
    request_headers: Sequence[Field] = (),
    is_socket: bool = False,
) -> Callable[[View], View]:
    """Say what a view does; it stands between the view and its route.

    The words of ``id`` are the summary, the view's docstring is the description. Query parameters
    that are not declared are refused; for a WebSocket ``check_query`` does, before the handshake.
    """

    def declare(view: View) -> View:
        declared = Operation(
            id, tag, _words(view.__doc__ or ""), query, path, body, answers, problems or {},
            headers or {}, request_headers, is_socket,
        )  # fmt: skip

        @wraps(view)
        def checked(*args: Any, **values: Any) -> Any:
            if request.environ["QUERY_STRING"]:
                declared.check_query()
            return view(*args, **values)

        result = view if is_socket else checked
        setattr(result, ATTRIBUTE, declared)
        return result  # type: ignore[return-value]

    return declare


def declared(view: Any) -> Operation | None:
    """What ``operation`` said about a view."""
    found: Operation | None = getattr(view, ATTRIBUTE, None)
    return found


def summary_of(id: str) -> str:
    """The words of an operation's id: ``getEventTrace`` is "Get event trace"."""
    return re.sub(r"(?<=[a-z}])(?=[A-Z])", " ", id).capitalize()


def _words(docstring: str) -> str:
    """A docstring as Markdown."""
    text = "\n".join(line.strip() for line in docstring.strip().splitlines())
    return text.replace("``", "`")
