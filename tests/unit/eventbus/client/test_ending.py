"""How RemoteEventBus ends: closed, at the end of its process, and in a forked child."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from eventbus import RemoteEventBus
from eventbus.errors import (
    BusClosedError,
    EventDroppedError,
)
from tests.helpers.clients import balance, messages
from tests.helpers.waiting import wait_until, within

ROOT = Path(__file__).parents[4]


def test_a_closed_client_takes_no_events_and_counts_what_it_gave_up(bus, connect, caplog) -> None:
    bus.stop()
    client = connect(bus.url)
    receipts = [client.publish("a.b") for _ in range(30)]
    started = time.monotonic()
    assert not client.close(0.2)
    assert time.monotonic() - started < within(2.0)
    assert balance(client) == (30, 0, 30, 0, 0)
    assert messages(caplog, "30 events were not confirmed")
    with pytest.raises(EventDroppedError, match="closed"):
        receipts[0].wait(0)
    with pytest.raises(BusClosedError):
        client.publish("a.b")
    assert not client.close(0.1) or balance(client)[4] == 0


def test_closing_sends_what_is_pending(bus) -> None:
    with RemoteEventBus(bus.url, linger_s=60.0) as client:
        client.publish("a.b")
    assert len(bus.events) == 1
    assert client.stats.sent == 1


def test_closing_does_not_wait_longer_than_it_is_told_for_a_bus_that_hangs(bus, connect) -> None:
    bus.hold()
    client = connect(bus.url)
    client.publish("a.b")
    bus.wait_for_batches(1)
    started = time.monotonic()
    assert not client.close(0.2)
    assert time.monotonic() - started < within(1.5)
    wait_until(
        lambda: all(thread.name != "eventbus-client" for thread in threading.enumerate()),
        "the sending thread has ended",
    )


def run_script(script: str, url: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run a script in a fresh interpreter; gives the seconds from its last line to its end."""
    code = f"import os, sys, time\nfrom eventbus import RemoteEventBus\nurl = {url!r}\n{script}"
    code += "\nprint(time.time(), flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=ROOT
    )
    ended = time.time()
    assert done.returncode == 0, done.stderr
    return ended - float(done.stdout.split()[-1]), done


def test_the_end_of_the_process_sends_what_is_pending(bus) -> None:
    _, done = run_script(
        "bus = RemoteEventBus(url, linger_s=60)\nfor n in range(250): bus.publish('a.b', {'n': n})",
        bus.url,
    )
    assert [event["data"]["n"] for event in bus.events] == list(range(250))
    assert done.stderr == ""


def test_a_bus_that_hangs_delays_the_end_of_the_process_by_two_seconds_at_most(bus) -> None:
    bus.hold()
    took_s, done = run_script("bus = RemoteEventBus(url)\nbus.publish('a.b')", bus.url)
    assert took_s < within(6.0)  # a request may take 10 s
    assert "1 events were not confirmed" in done.stderr


def test_a_bus_known_to_be_away_does_not_delay_the_end_of_the_process(bus) -> None:
    bus.stop()
    took_s, done = run_script(
        "bus = RemoteEventBus(url)\nbus.publish('a.b')\n"
        "while not bus._notices.is_away: bus.flush(0.05)",
        bus.url,
    )
    assert took_s < within(1.7)
    assert "is away" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_sends_its_own_events_and_not_its_parents(bus) -> None:
    bus.hold()
    script = (
        "bus = RemoteEventBus(url, linger_s=0)\n"
        "for n in range(50): bus.publish('parent.event', {'n': n})\n"
        "time.sleep(0.2)\n"  # so that the thread is in the middle of a request
        "if os.fork() == 0:\n"
        "    assert bus.stats.published == 0\n"
        "    bus.publish('child.event')\n"
        "    assert bus.close(10), bus.stats\n"
        "    os._exit(0)\n"
        "print('forked', flush=True)\n"
        "pid, status = os.wait()\n"
        "assert status == 0\n"
        "assert bus.flush(10)\n"
    )
    release = threading.Timer(1.0, bus.release)
    release.start()
    run_script(script, bus.url)
    types = [event["type"] for event in bus.events]
    assert types.count("parent.event") == 50
    assert types.count("child.event") == 1
