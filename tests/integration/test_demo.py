"""The demo against a real server: its own books and the server's counters are the same."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from queue import SimpleQueue

import pytest

from app.demo.platform import Platform
from app.demo.simulation import Inbox, Outcome, Simulation
from app.demo.verdicts import Verdicts
from eventbus.client import RemoteEventBus
from tests.helpers.api import Api
from tests.helpers.ports import free_port
from tests.helpers.server import ServerProcess, clean_environment
from tests.helpers.waiting import wait_until
from tests.helpers.zygote import Forked, zygote

RATE = 200.0
END_TIMEOUT_S = 30.0


def simulate(server: ServerProcess, platform: Platform, duration_s: float) -> Outcome:
    inbox: Inbox = SimpleQueue()
    verdicts = Verdicts(server.url, 0, inbox.put)
    verdicts.start()
    try:
        bus = RemoteEventBus(server.url)
        return Simulation(platform, bus, inbox).run(RATE, duration_s)
    finally:
        verdicts.close()


def launch_demo(directory: Path, *options: str, **variables: str) -> Forked:
    """`flask demo` as `make demo` calls it, in a session of its own like in a terminal."""
    database = f"sqlite:///{directory / 'demo.db'}"
    environment = clean_environment(EVENTBUS_DATABASE_URL=database, **variables)
    with (directory / "demo.log").open("wb") as log:
        return zygote().fork(["flask", "--app", "wsgi", "demo", *options], environment, log)


def output(directory: Path) -> str:
    return (directory / "demo.log").read_text()


def wait_until_publishing(directory: Path, demo: Forked) -> None:
    wait_until(
        lambda: "publishing" in output(directory) or demo.poll() is not None,
        "the demo publishes", END_TIMEOUT_S,
    )  # fmt: skip
    assert demo.poll() is None, output(directory)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("max_retries", [0, 3])
def test_its_books_are_the_servers_counters(start_server, max_retries: int) -> None:
    server = start_server(EVENTBUS_MAX_RETRIES=str(max_retries))
    platform = Platform(seed=7, rate=RATE, failure_rate=0.6, run="books")
    outcome = simulate(server, platform, 5.0)
    books = platform.books

    assert outcome.stats.sent == outcome.stats.published == books.said
    assert outcome.unfinished_count == 0
    assert RATE * 5 * 0.7 < outcome.sent_count < RATE * 5 * 1.02  # less on a slow machine
    assert books.failed and books.completed and books.alerts
    assert books.exhausted or max_retries
    assert books.started == books.completed + books.exhausted

    expected = {
        "active": 0, "retrying": 0, "stalled": 0, "queue_depth": 0, "dead_letters": 0,
        "completed": books.completed, "failed": books.failed, "exhausted": books.exhausted,
        "open_alerts": len(books.alerts), "cancelled": 0,
    }  # fmt: skip
    counters = wait_until(
        lambda: (found := server.api.counters()) == expected and found,
        f"the counters are {expected}",
    )
    assert counters == expected
    found = server.api.get("/api/metrics").json["metrics"]
    assert {metric["unit"] for metric in found} >= {"ms", "tokens/s"}
    queues = server.api.get("/api/queues").json["queues"]
    assert sum(queue["added"] for queue in queues) == books.types["queue.task.added"]
    assert sum(queue["processed"] for queue in queues) == books.types["queue.task.processed"]


def test_a_signal_ends_it_with_a_summary(server: ServerProcess, tmp_path: Path) -> None:
    demo = launch_demo(tmp_path, "--url", server.url, "--rate", "100", "--no-serve")
    wait_until_publishing(tmp_path, demo)
    wait_until(lambda: server.api.counters()["completed"] > 3, "evaluations complete", 20.0)
    os.kill(demo.pid, signal.SIGTERM)
    assert demo.wait(END_TIMEOUT_S) == 0
    published = re.search(r"events: (\d+) published, 0 refused, 0 dropped", output(tmp_path))
    completed = re.search(r"(\d+) started, (\d+) completed, (\d+) fail", output(tmp_path))
    assert published and completed, output(tmp_path)

    def ended() -> bool:
        counters = server.api.counters()
        return (counters["completed"], counters["active"]) == (int(completed[2]), 0)

    wait_until(ended, "counters follow")
    assert int(published[1]) > 50
    assert server.is_running


def test_it_starts_a_server_when_there_is_none_and_stops_it(tmp_path: Path) -> None:
    port = free_port()
    demo = launch_demo(tmp_path, "--rate", "50", PORT=str(port))
    wait_until_publishing(tmp_path, demo)
    api = Api(port)
    wait_until(lambda: api.get("/api/stats").json["sequence"] > 20, "events come in")
    api.close()
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(END_TIMEOUT_S) == 0, output(tmp_path)
    assert "0 refused, 0 dropped" in output(tmp_path)
    assert "unfinished" not in output(tmp_path)
    assert not answers(port)


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    demo = launch_demo(tmp_path, "--url", url, "--no-serve")
    assert demo.wait(END_TIMEOUT_S) == 1
    assert f"no event bus at {url}" in output(tmp_path)
    assert "Traceback" not in output(tmp_path)


def test_a_server_that_dies_under_it_ends_the_demo(tmp_path: Path) -> None:
    port = free_port()
    demo = launch_demo(tmp_path, "--rate", "50", PORT=str(port))
    wait_until_publishing(tmp_path, demo)
    child = int((Path("/proc") / f"{demo.pid}/task/{demo.pid}/children").read_text().split()[0])
    os.kill(child, signal.SIGTERM)
    assert demo.wait(END_TIMEOUT_S) == 1
    assert "the server ended before the demo did" in output(tmp_path)
