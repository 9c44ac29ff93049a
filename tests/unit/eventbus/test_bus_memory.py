"""What waits in memory for a handler is bounded in bytes, whatever the size of the events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
COUNT, SIZE_BYTES = 1_600, 250_000  # 400 MB in all, within the limit of one event
MOST_MIB = 250.0

# In a process of its own, whose memory nothing else has touched.
SCRIPT = """
import json, re, threading
from pathlib import Path
from eventbus import EventBus

def mib(name):  # VmHWM is the most that this program ever had
    found = re.search(rf"{name}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024

go_on = threading.Event()
handled = []

def blocked(event):
    go_on.wait()
    handled.append((event.subject, event.sequence, len(event["text"])))

bus = EventBus.open(URL)
bus.subscribe("big", blocked, name="blocked", timeout=600.0, concurrency=4)
text = "x" * SIZE_BYTES
before = mib("VmRSS")
for start in range(0, COUNT, 10):
    bus.publish_many([
        {"type": "big", "subject": f"s{n % SUBJECTS}", "data": {"text": text}}
        for n in range(start, start + 10)
    ])
blocked_mib = mib("VmHWM")
lag = bus.subscriptions()[0].lag
go_on.set()
is_drained = bus.drain(120)
print(json.dumps({
    "before": before, "blocked": blocked_mib, "end": mib("VmHWM"), "lag": lag,
    "is_drained": is_drained, "handled": handled,
}))
bus.close()
"""


def flood(url: str, subjects: int) -> dict[str, object]:
    """What the process told of itself; MiB, and (subject, sequence, size) of what was handled."""
    head = f"URL, SIZE_BYTES, COUNT, SUBJECTS = {url!r}, {SIZE_BYTES}, {COUNT}, {subjects}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + SCRIPT], capture_output=True, text=True, timeout=300,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def assert_bounded_and_whole(found: dict[str, object]) -> None:
    shown = {name: value for name, value in found.items() if name != "handled"}
    handled = found["handled"]
    assert isinstance(handled, list)
    assert found["lag"] == COUNT, shown
    assert found["is_drained"], shown
    assert sorted(sequence for _, sequence, _ in handled) == list(range(1, COUNT + 1))
    assert {size for _, _, size in handled} == {SIZE_BYTES}
    by_subject: dict[str, list[int]] = {}
    for subject, sequence, _ in handled:
        by_subject.setdefault(subject, []).append(sequence)
    assert all(found == sorted(found) for found in by_subject.values())
    assert float(str(found["blocked"])) < MOST_MIB, shown
    assert float(str(found["end"])) < MOST_MIB, shown


def test_large_events_behind_a_blocked_handler_stay_on_disk(url: str) -> None:
    assert_bounded_and_whole(flood(url, subjects=COUNT))


def test_large_events_behind_another_of_their_subject_stay_on_disk(url: str) -> None:
    assert_bounded_and_whole(flood(url, subjects=3))
