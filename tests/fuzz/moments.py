"""Times at the ends of the calendar, asked of everything that is told of a time: nothing breaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

import requests

from tests.fuzz.http import Tally

PAGES = (
    "/", "/events", "/evaluations", "/evaluations/done-1", "/retries/dead", "/alerts", "/flow",
    "/flow/edge?type=evaluation.failed&handler=evaluation", "/handlers", "/handlers/evaluation",
    "/types/evaluation.failed", "/api/flow", "/api/stats",
)  # fmt: skip
PARAMETERS = ("at", "since", "until", "window")
EDGES = (
    "0001-01-01T00:00:00Z", "0001-01-01", "0001-01-03", "0001-01-01T00:00:00.000001+00:01",
    "1969-12-31T23:59:59Z", "1970-01-01", "9999-12-31", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-12:00",
)  # fmt: skip
VALUES = (*EDGES, " ", "\n", "0s", "-1d", "739000d", "999999d", "1", "9" * 18)
# The few of a short run.
WINDOWED = (
    "/", "/flow", "/flow/edge?type=evaluation.failed&handler=evaluation", "/handlers",
    "/handlers/evaluation", "/types/evaluation.failed", "/api/flow",
)  # fmt: skip
WORST: tuple[dict[str, str], ...] = (
    {"at": " "}, {"at": "\n"}, {"at": EDGES[0]}, {"at": EDGES[-1]}, {"until": EDGES[0]},
    {"until": EDGES[-1]}, {"since": "0001-01-01", "until": "0001-01-03"},
    {"since": "9999-12-30", "until": "9999-12-31"},
)  # fmt: skip
_TIMEOUT_S = 40.0


def storm(
    url: str, tally: Tally, paths: Iterable[str] = PAGES,
    queries: Iterable[Mapping[str, str]] | None = None,
) -> None:  # fmt: skip
    """Each of ``paths`` with each of ``queries``: every value, and every span between two edges."""
    wanted = list(_all() if queries is None else queries)
    with requests.Session() as session:
        for path, query in itertools.product(paths, wanted):
            answer = session.get(
                url + path, params=dict(query), timeout=_TIMEOUT_S, allow_redirects=False
            )
            tally.statuses[answer.status_code] += 1
            if answer.status_code >= 500:
                tally.failures.append(f"{answer.status_code} of {path} with {query}")


def api_paths(url: str) -> list[str]:
    """What else there is to read, of the API's document."""
    document = requests.get(f"{url}/openapi.json", timeout=_TIMEOUT_S).json()
    return [
        path for path, operations in document["paths"].items()
        if "get" in operations and "{" not in path and path not in PAGES
    ]  # fmt: skip


def _all() -> Iterator[dict[str, str]]:
    for name, value in itertools.product(PARAMETERS, VALUES):
        yield {name: value}
    for since, until in itertools.combinations((*EDGES[:3], *EDGES[-3:]), 2):
        yield {"since": since, "until": until}
