"""A large log: starting on it, and asking it for pages while a thousand events a second come in."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from bench.filling import RARE, fill
from bench.http import batch_of_evaluations
from bench.options import Options
from bench.report import Figure, interleaved
from bench.server import Server, ours

_RATE = 1_000
_BATCH = 20
ASKED = 100
"""Times that each page is asked for."""
_PAGE = 50
_FINDS = ("none", "subject", "an hour", "half of all time")  # there must be events


class Inflow:
    """A thread that posts evaluations at a steady rate while it is entered; counts what it did."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inflow")
        self._failure: str | None = None
        self._count = 0
        self._took_s = 0.0

    def __enter__(self) -> Inflow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    @property
    def rate(self) -> float:
        """Events per second that were accepted. Raises RuntimeError when one was not."""
        if self._failure:
            raise RuntimeError(self._failure)
        return self._count / self._took_s

    def _run(self) -> None:
        started = time.perf_counter()
        while not self._stop.is_set():
            due = started + self._count / _RATE
            self._stop.wait(max(0.0, due - time.perf_counter()))
            body = batch_of_evaluations(_BATCH)
            headers = {"Content-Type": "application/json"}
            self._connection.request("POST", "/api/events", body, headers)
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status != 202:
                self._failure = f"{answer.status} {text[:200]!r}"
                break
            self._count += _BATCH
        self._took_s = time.perf_counter() - started


def _start_s(folder: str) -> Callable[[], float]:
    def measure() -> float:
        with ours(folder) as server:
            return server.started_s

    return measure


def _filters(server: Server) -> dict[str, dict[str, str]]:
    """Every filter with an index, by a name to show; what they look for is in the log's middle."""
    newest = server.get("/api/events?limit=1")["events"][0]["sequence"]
    middle = server.get(f"/api/events?limit=1&before={newest // 2}")["events"][0]
    at = datetime.fromisoformat(middle["time"]).astimezone(UTC)
    return {
        "none": {},
        "type": {"type": "evaluation.completed"},
        "pattern": {"type": "evaluation.*"},
        "subject": {"subject": middle["subject"]},
        "correlation": {"correlation": middle.get("correlationid", middle["id"])},
        "an hour": {"since": at.isoformat(), "until": (at + timedelta(hours=1)).isoformat()},
        "half of all time": {"since": at.isoformat()},
        "the older half of all time": {"until": at.isoformat()},
        "an hour and pattern": {
            "since": at.isoformat(),
            "until": (at + timedelta(hours=1)).isoformat(),
            "type": "evaluation.*",
        },
        "position": {"before": str(newest // 2)},
        "position and pattern": {"before": str(newest // 2), "type": "evaluation.*"},
    }


def _searches(filters: Mapping[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Words that are everywhere, somewhere, nowhere; alone and with other conditions."""
    return {
        "frequent": {"q": "accuracy"},
        "frequent, phrase": {"q": '"accuracy 0 82"'},
        "rare": {"q": RARE},
        "in nothing": {"q": "no-such-text"},
        "rare, in a type": {"q": RARE, "type": "evaluation.completed"},
        "frequent, in a type without it": {"q": "accuracy", "type": "evaluation.started"},
        "frequent, of an hour": {"q": "accuracy", **filters["an hour"]},
        "beginning": {"q": "acc*"},
    }


def _indexed_s(folder: str) -> float:
    """How long a server takes until the index of the history has all of the log."""
    with ours(folder) as server:
        began = time.perf_counter()
        while server.get("/api/storage")["search_index"]["behind_count"]:
            time.sleep(1)
        return time.perf_counter() - began


def _p99_ms(
    port: int, queries: Mapping[str, dict[str, str]], base: str = "/api/events"
) -> dict[str, tuple[float, float]]:
    """Median and p99 of the first page of each, in milliseconds, asked for in turn."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(ASKED):
        for name, parameters in queries.items():
            limit = {"limit": str(_PAGE)} if base == "/api/events" else {}
            path = f"{base}?{urlencode({**parameters, **limit})}"
            started = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            times[name].append(1000 * (time.perf_counter() - started))
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} for {path}: {body[:200]!r}")
            if base == "/api/events" and name in _FINDS and not json.loads(body)["events"]:
                raise RuntimeError(f"nothing was found by {path}")
    connection.close()
    found: dict[str, tuple[float, float]] = {}
    for name, values in times.items():
        values.sort()
        found[name] = (values[len(values) // 2], values[int(len(values) * 0.99) - 1])
    return found


def _worst(found: Mapping[str, tuple[float, float]]) -> tuple[str, float, float]:
    name = max(found, key=lambda one: found[one][1])
    return name, *found[name]


def figures(options: Options) -> list[Figure]:
    """The budgets: start within 2 s; pages within 50 ms and text search within 200 ms (p99)."""
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as empty:
        fill(large, options.events)
        indexed_s = _indexed_s(large)
        starts = interleaved({"large": _start_s(large), "empty": _start_s(empty)}, options.rounds)
        with ours(large) as server, Inflow(server.port) as inflow:
            filters = _filters(server)
            pages = _p99_ms(server.port, filters)
            searches = _p99_ms(server.port, _searches(filters))
            shown = {name: each for name, each in filters.items() if "before" not in each}
            charted = _p99_ms(server.port, shown, "/events")
        rate = inflow.rate
    many = f"{options.events / 1e6:g} M events"
    started = starts["large"]
    figures = [Figure(
        f"start with {many}, until it answers", started.shown(" s", 2),
        f"with an empty log: {starts['empty'].shown(' s', 2)}",
        f"{started.median / starts['empty'].median:.2f} ×", "< 2 s", started.median < 2,
    )]  # fmt: skip
    figures.append(Figure(
        f"index of the history over {many}, from nothing", f"{indexed_s:.0f} s",
        f"{options.events / indexed_s:,.0f} events/s",
    ))  # fmt: skip
    for what, found, budget_ms in (
        ("first page of an indexed filter", pages, 50),
        ("first page of a text search", searches, 200),
        ("the history's page with its histogram", charted, None),
    ):
        name, median, p99 = _worst(found)
        others = ", ".join(f"{other} {ms:.0f} ms" for other, (_, ms) in found.items())
        figures.append(Figure(
            f"{what}, {many}, while {rate:,.0f} events/s come in; p99 of the slowest ({name})",
            f"{p99:.0f} ms (median {median:.0f} ms)", f"p99 of each: {others}",
            budget=f"< {budget_ms} ms" if budget_ms else "—",
            is_met=p99 < budget_ms and rate > 0.9 * _RATE if budget_ms else None,
        ))  # fmt: skip
    return figures
