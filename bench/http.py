"""Durable POSTs beside POSTs that do nothing; batches until all handlers have handled them."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bench.load import post_request, send_all
from bench.options import Options
from bench.report import Figure, interleaved
from bench.server import Server, noop_fastapi, noop_flask, ours

_SINGLE = 4_000
_BATCHES = 100
_numbers = itertools.count()  # every evaluation of a run is a new one


def next_evaluation() -> list[dict[str, Any]]:
    """The four events of an evaluation that never came before; our handlers publish two more."""
    eval_id = f"bench-{next(_numbers):07d}"
    data: list[tuple[str, dict[str, Any]]] = [
        ("started", {"task": "bench", "model": "openai/gpt-5", "total": 100, "retry_count": 0}),
        ("progress", {"done": 40, "total": 100}),
        ("progress", {"done": 80, "total": 100}),
        ("completed", {"result": {"accuracy": 0.82, "samples": 100}}),
    ]
    return [{"type": f"evaluation.{name}", "data": {"eval_id": eval_id, **d}} for name, d in data]


def batch_of_evaluations(size: int = 100) -> bytes:
    """A body with ``size`` events of ``size`` / 4 new evaluations."""
    return json.dumps([one for _ in range(size // 4) for one in next_evaluation()]).encode()


def _hot_batch() -> bytes:
    return json.dumps([
        {"type": "evaluation.progress", "data": {"eval_id": f"hot-{i}", "done": 1, "total": 9}}
        for i in range(100)
    ]).encode()  # fmt: skip


def _single(server: Server) -> Callable[[], float]:
    request = post_request(json.dumps({"type": "bench.posted", "data": {"value": 1}}).encode())
    return lambda: _SINGLE / send_all(server.port, [request] * _SINGLE)


def _batched(
    server: Server, make: Callable[[], bytes], is_handled: bool = True
) -> Callable[[], float]:
    def measure() -> float:
        requests = [post_request(make()) for _ in range(_BATCHES)]
        started = time.perf_counter()
        send_all(server.port, requests)
        accepted = time.perf_counter()
        server.wait_handled()
        ended = time.perf_counter() if is_handled else accepted
        return _BATCHES * 100 / (ended - started)

    return measure


def _plain_batch() -> bytes:
    return json.dumps([{"type": "bench.posted", "data": {"value": n}} for n in range(100)]).encode()


def figures(options: Options) -> list[Figure]:
    """The budgets: a single POST at 75 % of a no-op POST; batches of 100 at 10,000 events/s."""
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(3)]
        ours_server = stack.enter_context(ours(folders[0]))
        flask = stack.enter_context(noop_flask(folders[1]))
        fastapi = stack.enter_context(noop_fastapi(folders[2]))
        found = interleaved(
            {
                "single": _single(ours_server),
                "flask": _single(flask),
                "fastapi": _single(fastapi),
            },
            options.rounds,
        )
        found |= interleaved(
            {
                "handled": _batched(ours_server, batch_of_evaluations),
                "hot": _batched(ours_server, _hot_batch),
                "accepted": _batched(ours_server, _plain_batch, is_handled=False),
            },
            options.rounds,
        )
    single, flask_s, fastapi_s = found["single"], found["flask"], found["fastapi"]
    ratio = single.median / flask_s.median
    handled = found["handled"]
    return [
        Figure("HTTP single POST, durable, 8 clients", single.shown("/s"),
               f"no-op Flask POST, same gunicorn: {flask_s.shown('/s')}", f"{ratio:.0%}", "≥ 75 %",
               ratio >= 0.75),
        Figure("the same", single.shown("/s"), f"no-op FastAPI on uvicorn: {fastapi_s.shown('/s')}",
               f"{single.median / fastapi_s.median:.0%}"),
        Figure("HTTP batches of 100, new evaluations, handled by all handlers, events posted",
               handled.shown("/s"), budget="≥ 10,000/s", is_met=handled.median >= 10_000),
        Figure("HTTP batches of 100, the same 100 evaluations again and again, handled",
               found["hot"].shown("/s")),
        Figure("HTTP batches of 100, no handler, accepted", found["accepted"].shown("/s")),
    ]  # fmt: skip
