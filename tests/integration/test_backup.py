"""`flask backup`, `flask restore` and `flask check`, with a server at work."""

from __future__ import annotations

import threading
from pathlib import Path

import handlers
from eventbus.log import EventLog
from tests.helpers import commands
from tests.helpers.commands import Ended
from tests.helpers.disks import damage
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


def flask(database: Path, *arguments: object) -> Ended:
    """A command on ``database``, in a process of its own."""
    return commands.flask(*arguments, EVENTBUS_DATABASE_URL=f"sqlite:///{database}")


def test_a_backup_under_load_restores_to_a_server_that_counts_as_a_replay_does(
    server: ServerProcess, tmp_path: Path
) -> None:
    acknowledged: list[list[tuple[str, int]]] = [[] for _ in range(3)]
    stopping = threading.Event()

    def publish(mine: list[tuple[str, int]], number: int) -> None:
        api = server.new_api()
        while not stopping.is_set():
            eval_id = f"e{number}-{len(mine)}"
            for type in ("evaluation.started", "evaluation.failed", "evaluation.completed"):
                body = {"type": type, "data": {"eval_id": eval_id, "error": "x" * 500}}
                answer = api.post("/api/events", body).json
                mine.append((answer["id"], answer["sequence"]))

    threads = [
        threading.Thread(target=publish, args=(mine, number))
        for number, mine in enumerate(acknowledged)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(map(len, acknowledged)) > 300, "they publish")
    copy = tmp_path / "backups" / "copy.db"
    copy.parent.mkdir()
    before = sum(map(len, acknowledged))
    made = flask(server.database, "backup", copy)
    assert sum(map(len, acknowledged)) > before, "nobody could publish meanwhile"
    whole = flask(server.database, "check")
    stopping.set()
    for thread in threads:
        thread.join(10.0)
    assert made.code == 0, made.err
    assert "checked" in made.out
    assert whole.code == 0, whole.err
    assert "is whole" in whole.out

    held = flask(server.database, "restore", copy)
    assert held.code == 1
    assert "is open for writing in another process" in held.err
    proved = flask(server.database, "restore", "--check-only", copy)
    assert proved.code == 0, proved.err

    (tmp_path / "other").mkdir()
    other = ServerProcess(tmp_path / "other")
    restored = flask(other.database, "restore", copy)
    assert restored.code == 0, restored.err
    with other:
        wait_until(
            lambda: all(s["lag"] == 0 for s in other.api.get("/api/subscriptions").json[
                "subscriptions"]),
            "what was under way is handled",
        )  # fmt: skip
        (mark,) = other.api.get("/api/events", type="bus.restored").json["events"]
        upto = mark["data"]["sequence"]
        for event_id, sequence in [pair for mine in acknowledged for pair in mine]:
            if sequence <= upto:
                found = other.api.get(f"/api/events/{event_id}")
                assert found.json["sequence"] == sequence
        counters = other.api.counters()
        assert counters["failed"] > 0
    log = EventLog(f"sqlite:///{other.database}")
    try:
        assert counters == handlers.replay(log)
    finally:
        log.close()


def test_a_second_backup_to_the_same_file_is_refused(server: ServerProcess, tmp_path: Path) -> None:
    assert flask(server.database, "backup", tmp_path / "copy.db").code == 0
    again = flask(server.database, "backup", tmp_path / "copy.db")
    assert again.code == 1
    assert "never overwrites" in again.err
    nothing = flask(tmp_path / "nothing.db", "check")
    assert nothing.code == 1
    assert "cannot be checked" in nothing.err


def test_check_of_a_stopped_database_ends_with_one_when_it_is_damaged(
    server: ServerProcess, tmp_path: Path
) -> None:
    for _ in range(60):
        server.api.post("/api/events", {"type": "a.b", "data": {"text": "x" * 3_000}})
    server.stop()
    assert flask(server.database, "check").code == 0
    damage(server.database)
    found = flask(server.database, "check")
    assert found.code == 1
    assert "is damaged; restore a backup with `flask restore`" in found.err
    refused = flask(server.database, "backup", tmp_path / "copy.db")
    assert refused.code == 1
    assert "damaged" in refused.err
    assert not list(tmp_path.glob("copy.db*"))
