"""Requests made from the API's own document, right ones and wrong ones, and what must hold."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.fuzz import mutants as broken

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, unsupported_method,
]  # fmt: skip
# What one request may take at most: a wait for handlers is asked for with up to 30 s.
_TIMEOUT_S = 40.0
_MOST_FAILURES = 20


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Whatever was made up, as the bytes of lines."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


@dataclass(slots=True)
class Tally:
    """What happened: requests by status, and what must not have been."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    acknowledged: dict[tuple[str, int], int] = field(default_factory=dict)
    """Of publishes: how often an event, by id and sequence, was told to be new."""

    @property
    def count(self) -> int:
        return sum(self.statuses.values())


def storm(
    url: str, examples: int, tally: Tally, number: int | None = None, *, is_access: bool = False,
    mutants: int = 0,
) -> None:  # fmt: skip
    """``examples`` right and as many wrong requests of every operation at ``url``.

    The same ones each time, unless a ``number`` chooses others. With ``is_access`` those of users
    and tokens, with a token: from the first one on nobody else is let in. Else all others. Each
    is followed by so many ``mutants`` of itself.
    """
    session = requests.Session()
    if is_access:
        first = {"name": "storm", "scopes": ["admin"]}
        made = session.post(f"{url}/api/access/tokens", json=first, timeout=10).json()
        session.headers["Authorization"] = f"Bearer {made['token']}"
    document = session.get(f"{url}/openapi.json", timeout=10).json()
    schema = schemathesis.openapi.from_dict(document)
    for operation, mode in _operations(schema):
        if operation.path.startswith("/api/access") != is_access:
            continue
        _run(operation, mode, examples, number, url, session, tally, mutants)
        if len(tally.failures) >= _MOST_FAILURES:
            return


def _operations(schema: Any) -> Iterator[tuple[Any, GenerationMode]]:
    for result in schema.get_all_operations():
        operation = result.ok()
        yield operation, GenerationMode.POSITIVE
        if operation.path_parameters or operation.query or operation.body:
            yield operation, GenerationMode.NEGATIVE


def _run(
    operation: Any, mode: GenerationMode, examples: int, number: int | None, url: str,
    session: requests.Session, tally: Tally, mutants: int,
) -> None:  # fmt: skip
    chance = random.Random(number)

    @settings(
        max_examples=examples, derandomize=number is None, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case) -> None:
        send(case, url, session, tally)
        if mutants:
            send_mutants(case, url, session, tally, mutants, chance)

    if number is not None:
        each = seed(number)(each)
    each()


def send(case: Case, url: str, session: requests.Session, tally: Tally) -> None:
    """One request; what is wrong with its answer is noted in ``tally``."""
    try:
        response = case.call(base_url=url, session=session, timeout=_TIMEOUT_S)
    except Exception as error:  # whatever a broken or silent server leads to
        tally.failures.append(f"{case.method} {case.path}: {type(error).__name__}: {error}")
        return
    tally.statuses[response.status_code] += 1
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        command = case.as_curl_command()[:2000]
        for problem in group.exceptions:
            tally.failures.append(f"{problem}\n{response.content[:500]!r}\n{command}")
    if case.path == "/api/events" and case.method == "POST" and response.status_code in (200, 202):
        _note(response.json(), tally)


def send_mutants(
    case: Case, url: str, session: requests.Session, tally: Tally, count: int,
    chance: random.Random,
) -> None:  # fmt: skip
    """Requests like it that are broken; what is wrong with the answers is noted in ``tally``."""
    given = requests.Request(**case.as_transport_kwargs(base_url=url))
    for mutant in broken.mutants(session.prepare_request(given), count, chance):
        status, fault = broken.fault_of(session, mutant)
        tally.statuses[status] += 1
        if fault is not None:
            tally.failures.append(fault)


def _note(answer: dict[str, Any], tally: Tally) -> None:
    for receipt in answer.get("events", [answer]):
        if not receipt["duplicate"] and receipt["sequence"] is not None:
            key = (receipt["id"], receipt["sequence"])
            tally.acknowledged[key] = tally.acknowledged.get(key, 0) + 1
