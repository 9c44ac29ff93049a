"""The memory of a server through which a million events go: how much, and whether it grows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import count

from bench.http import next_evaluation
from bench.load import post_request, send_all
from bench.options import Options
from bench.report import Figure
from bench.server import ours

_PARTS = 20
_BATCH = 100
_EVALUATIONS = 2  # with four events each, in a batch: enough to keep all handlers and tables busy
_FLAT_MIB = 16.0  # what a second half may add and still count as flat: SQLite's caches fill up

_numbers = count()


def _requests(batches: int) -> list[bytes]:
    return [post_request(json.dumps(list(_events())).encode()) for _ in range(batches)]


def _events() -> Iterator[dict[str, object]]:
    for _ in range(_EVALUATIONS):
        yield from next_evaluation()
    for _ in range(_BATCH - 4 * _EVALUATIONS):
        number = next(_numbers)
        data = {"item": f"item-{number}", "text": "x" * 60}
        yield {"type": f"bench.kind{number % 5}", "subject": f"item-{number}", "data": data}


def figures(options: Options) -> list[Figure]:
    """The budget: under 250 MiB and flat."""
    batches = max(1, options.published // _BATCH // _PARTS)
    rss: list[float] = []
    with tempfile.TemporaryDirectory() as folder, ours(folder) as server:
        before = server.rss_mib()
        for _ in range(_PARTS):
            send_all(server.port, _requests(batches))
            rss.append(server.rss_mib())
        server.wait_handled(300)
        rss.append(server.rss_mib())
    growth = max(rss[_PARTS // 2 :]) - rss[_PARTS // 2 - 1]
    total = batches * _PARTS * _BATCH
    shown = ", ".join(f"{value:.0f}" for value in rss[1 : _PARTS : _PARTS // 5])
    return [Figure(
        f"memory of the server after {total / 1e6:g} M events over HTTP",
        f"{rss[-1]:.0f} MiB (most: {max(rss):.0f})",
        f"before the first: {before:.0f} MiB; on the way: {shown}",
        f"{growth:+.0f} MiB in the second half", f"< 250 MiB, flat (≤ {_FLAT_MIB:.0f} MiB)",
        max(rss) < 250 and growth <= _FLAT_MIB,
    )]  # fmt: skip
