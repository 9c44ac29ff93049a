"""`eventbus tail` against a server that goes away, a slow reader, and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.commands import end, line_of, run, start
from tests.helpers.proxy import Proxy
from tests.helpers.server import ROOT, ServerProcess
from tests.helpers.waiting import wait_until

MARKS = range(-1, -1_000, -1)


@pytest.fixture(scope="module")
def server(shared_server: ServerProcess) -> ServerProcess:
    return shared_server


@pytest.fixture
def proxy(server: ServerProcess) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def publish(server: ServerProcess, type: str, numbers: range) -> None:
    server.api.close()
    events = [{"type": type, "data": {"n": n}} for n in numbers]
    assert server.api.post("/api/events", events).status == 202


def numbers(process: subprocess.Popen[str], count: int) -> list[int]:
    """Of so many events."""
    return [json.loads(line_of(process))["data"]["n"] for _ in range(count)]


def begin_live(process: subprocess.Popen[str], server: ServerProcess, type: str) -> None:
    """Publish marks until one comes, and take those that follow: then the stream is open."""
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.append(line_of(process)), daemon=True)
    reading.start()
    for mark in MARKS:
        publish(server, type, range(mark, mark + 1))
        reading.join(0.3)
        if not reading.is_alive():
            break
    while not is_mark(lines[-1], mark):
        assert lines[-1], "it has ended"
        lines.append(line_of(process))


def is_mark(line: str, mark: int) -> bool:
    return f'"n":{mark}}}' in line.replace(" ", "")


def test_it_shows_the_newest_and_then_what_comes(server: ServerProcess) -> None:
    publish(server, "tail.last", range(5))
    process = start(server.url, "tail", "tail.last", "--last", "2", "--json")
    assert numbers(process, 2) == [3, 4]
    publish(server, "tail.other", range(3))
    publish(server, "tail.last", range(5, 8))
    assert numbers(process, 3) == [5, 6, 7]
    ended = end(process, signal.SIGINT)
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_it_ends_where_it_is_told_to(server: ServerProcess) -> None:
    publish(server, "tail.end", range(4))
    ended = run(server.url, "tail", "tail.end", "--since", "1h", "--count", "3", "--json")
    assert [event["data"]["n"] for event in ended.lines] == [0, 1, 2]
    ended = run(server.url, "tail", "tail.end", "--no-follow", "--since", "1h", "--json")
    assert (ended.code, len(ended.lines)) == (0, 4)
    following = start(server.url, "tail", "tail.end", "--last", "1", "--count", "2", "--json")
    assert numbers(following, 1) == [3]
    publish(server, "tail.end", range(4, 9))
    assert numbers(following, 1) == [4]
    assert following.wait(20) == 0


def test_it_ends_without_a_word_when_nobody_reads_any_more(server: ServerProcess) -> None:
    process = start(server.url, "tail", "tail.pipe", "--json")
    begin_live(process, server, "tail.pipe")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    wait_until(
        lambda: publish(server, "tail.pipe", range(1)) or process.poll() is not None,
        "it ends",
        60.0,
    )
    assert (process.returncode, process.stderr.read()) == (141, "")


def test_after_a_lost_connection_it_goes_on_without_a_hole_and_says_so(
    server: ServerProcess, proxy: Proxy
) -> None:
    process = start(proxy.url, "tail", "tail.cut", "--json")
    begin_live(process, server, "tail.cut")
    proxy.is_frozen = True  # nothing gets through, so what comes now is missed
    publish(server, "tail.cut", range(1, 700))
    proxy.cut()
    proxy.is_frozen = False
    assert numbers(process, 699) == list(range(1, 700))
    publish(server, "tail.cut", range(700, 702))
    assert numbers(process, 2) == [700, 701]
    ended = end(process, signal.SIGINT)
    assert ended.code == 130
    assert "is away for tail" in ended.err and "is back for tail" in ended.err
    assert "reconnected, filled #" in ended.err and ": 699 events" in ended.err


def test_a_restarted_server_is_followed_on(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    process = start(server.url, "tail", "tail.restart", "--json")
    begin_live(process, server, "tail.restart")
    server.api.close()
    server.kill9()
    server.start()
    publish(server, "tail.restart", range(1, 300))
    assert numbers(process, 299) == list(range(1, 300))
    assert end(process, signal.SIGINT).code == 130


def test_a_reader_that_is_too_slow_is_told_how_far_behind_it_is(server: ServerProcess) -> None:
    process = start(server.url, "tail", "tail.slow", "--data")
    said: list[str] = []
    assert process.stderr is not None
    reading = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
    reading.start()
    begin_live(process, server, "tail.slow")
    text = "x" * 2_000
    for _ in range(8):  # more than all buffers hold on the way, and nobody reads
        events = [{"type": "tail.slow", "data": {"text": text}}] * 1_000
        assert server.api.post("/api/events", events).status == 202
    # It is blocked in writing, and tells as soon as it can.
    for _ in range(4_000):
        line_of(process)
    wait_until(lambda: any("events behind the bus" in line for line in said), "it says so", 20.0)
    assert end(process, signal.SIGINT).code == 130


def test_following_says_which_package_it_needs() -> None:
    code = (
        "import sys; sys.modules['wsproto'] = None\n"
        "from eventbus.command.main import main\n"
        "sys.exit(main(['tail', '--url', 'http://127.0.0.1:9']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert "pip install 'eventbus[remote]'" in ended.stderr
