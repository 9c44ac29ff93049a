"""The checker itself: damage of every kind is found and called by its name, and nothing else."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.checker import check
from tests.crash.facts import matches
from tests.crash.hosts import wait_for
from tests.crash.place import Place, is_alive
from tests.crash.zygote import Zygote

Damage = Callable[[sqlite3.Connection, Path], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place that was loaded for a while, drained and closed, without any kill."""
    place = Place(tmp_path_factory.mktemp("crash") / "life")
    place.create()
    with Zygote() as zygote:
        pid = zygote.fork("library", place, seed=7)
        wait_for(lambda: _count(place.journals) > 300, 30.0, "there is a load")
        place.stop()
        place.drain()
        wait_for(lambda: not is_alive(pid), 60.0, "it drains and ends")
    yield place.directory


def _count(journals: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in journals.glob("*.jsonl"))


@pytest.mark.crash
def test_a_good_database_has_no_findings(good: Path) -> None:
    facts, findings = check(good)
    assert findings == []
    assert len(facts.events) > 300
    assert {row["state"] for row in facts.deliveries} == {"succeeded", "dead"}


def sql(*statements: str) -> Damage:
    def damage(conn: sqlite3.Connection, _: Path) -> None:
        for statement in statements:
            before = conn.total_changes
            conn.execute(statement)
            assert conn.total_changes > before, f"it changes nothing: {statement}"

    return damage


OF_CLIENT = "source LIKE '/client/%' AND type = 'load.plain'"
A_SUCCESS = "(SELECT sequence FROM deliveries WHERE state = 'succeeded' LIMIT 1)"
SUM_ID = "(SELECT id FROM subscriptions WHERE name = 'sum')"
DOOMED_ID = "(SELECT id FROM subscriptions WHERE name = 'doomed')"
A_SUM = f"(SELECT sequence FROM deliveries WHERE subscription = {SUM_ID} LIMIT 1)"
A_DOOMED = f"(SELECT max(sequence) FROM deliveries WHERE subscription = {DOOMED_ID})"
A_DEEP = f"(SELECT max(sequence) FROM events WHERE {OF_CLIENT})"
EVENT_COLUMNS = (
    "id, source, type, subject, time_us, recorded_us, correlationid, causationid, depth, data"
)


def copy_of(where: str, **changed: str) -> str:
    columns = [changed.get(name.strip(), name.strip()) for name in EVENT_COLUMNS.split(",")]
    return (
        f"INSERT INTO events (sequence, {EVENT_COLUMNS}) SELECT "
        f"(SELECT max(sequence) + 1 FROM events), {', '.join(columns)} FROM events "
        f"WHERE {where} LIMIT 1"
    )


def swap_two_of_one_client(conn: sqlite3.Connection, _: Path) -> None:
    """Two events about one subject trade places in the log, with all that names them."""
    first, second = conn.execute(
        f"SELECT min(sequence), max(sequence) FROM events WHERE {OF_CLIENT}"
        " GROUP BY source, subject HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    for old, new in ((first, -1), (second, first), (-1, second)):
        conn.execute("UPDATE events SET sequence = ? WHERE sequence = ?", (new, old))


def swap_two_applied(conn: sqlite3.Connection, _: Path) -> None:
    first, second = conn.execute(
        "SELECT min(position), max(position) FROM crash_applied WHERE subscription = 'sum'"
        " GROUP BY subject HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    for old, new in ((first, -1), (second, first), (-1, second)):
        conn.execute("UPDATE crash_applied SET position = ? WHERE position = ?", (new, old))


def cut_a_run(conn: sqlite3.Connection, place: Path) -> None:
    """A handler began in a process that was killed, and no attempt tells of it."""
    (sequence,) = conn.execute(f"SELECT {A_SUM}").fetchone()
    with (place / "runs.log").open("a") as runs:
        runs.write(f"99 S sum {sequence}\n")


def kill_thrice(conn: sqlite3.Connection, place: Path) -> None:
    """An event killed one process more than it had attempts."""
    (sequence,) = conn.execute(f"SELECT {A_SUM}").fetchone()
    with (place / "runs.log").open("a") as runs:
        runs.writelines(f"{process} S lethal {sequence}\n" for process in (97, 98, 99))


def journal(value: Callable[[dict[str, object]], object]) -> Damage:
    """A line more in a client's journal, made of the last message it acknowledged."""

    def damage(_: sqlite3.Connection, place: Path) -> None:
        path = place / "journals" / "t0.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        last = next(line for line in reversed(lines) if "ack" in line)
        with path.open("a") as file:
            print(json.dumps(value(last)), file=file)

    return damage


def split_a_batch(conn: sqlite3.Connection, place: Path) -> None:
    """A message of two events of which one is in the log, neither acknowledged."""
    row = conn.execute(f"SELECT source, data FROM events WHERE {OF_CLIENT} LIMIT 1").fetchone()
    marker = json.loads(row[1])["marker"]
    there = {"source": row[0], "data": {"marker": marker}}
    missing = {"source": row[0], "data": {"marker": "half"}}
    with (place / "journals" / "z.jsonl").open("a") as file:
        print(json.dumps({"n": 1, "events": [there, missing]}), file=file)


DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    "an acknowledged event is gone": (
        sql(f"DELETE FROM events WHERE sequence = {A_DEEP}"),
        {"lost"},
    ),
    "an event is in the log twice": (
        sql(copy_of(OF_CLIENT, id="'again'")),
        {"recorded-twice"},
    ),
    "an event that nobody sent": (
        sql(copy_of(OF_CLIENT, id="'x'", data="'{\"marker\": \"x\", \"amount\": 1}'")),
        {"never-sent"},
    ),
    "an event is not what was sent": (
        sql(f"UPDATE events SET type = 'load.plain.other' WHERE sequence = {A_DEEP}"),
        {"changed"},
    ),
    "half of a batch is recorded": (split_a_batch, {"half-batch"}),
    "the log has a hole": (
        sql("UPDATE events SET sequence = sequence + 1000000 WHERE sequence ="
            " (SELECT max(sequence) FROM events)"),
        {"sequence"},
    ),
    "a scheduled event is gone": (
        sql("DELETE FROM events WHERE sequence ="
            " (SELECT max(sequence) FROM events WHERE type = 'derived.later')"),
        {"further-events"},
    ),
    "a scheduled event is left": (
        sql("INSERT INTO scheduled (due_us, id, source, type, subject, time_us, correlationid,"
            " depth, data) VALUES (1, 'x', '/client/t0', 'load.plain', 's', 1, 'x', 0, '{}')"),
        {"unscheduled"},
    ),
    "two events of a client are swapped": (swap_two_of_one_client, {"publish-order"}),
    "a delivery is gone": (
        sql(f"DELETE FROM deliveries WHERE subscription = {SUM_ID} AND sequence = {A_SUM}"),
        {"delivery-missing"},
    ),
    "a delivery is nobody's": (
        sql(f"INSERT INTO deliveries (sequence, subscription, state, attempt)"
            f" VALUES ({A_SUM}, {DOOMED_ID}, 'dead', 3)"),
        {"delivery-extra"},
    ),
    "a delivery is left": (
        sql(f"UPDATE deliveries SET state = 'pending' WHERE subscription = {SUM_ID}"
            f" AND sequence = {A_SUM}"),
        {"unfinished"},
    ),
    "a delivery says more attempts than there are": (
        sql(f"UPDATE deliveries SET attempt = 3 WHERE subscription = {SUM_ID}"
            f" AND sequence = {A_SUM}"),
        {"attempts"},
    ),
    "a delivery was tried too often": (
        sql(f"UPDATE deliveries SET attempt = 4 WHERE subscription = {DOOMED_ID}"
            f" AND sequence = {A_DOOMED}",
            f"INSERT INTO attempts (sequence, subscription, number, started_us, duration_us,"
            f" outcome, error_class) VALUES ({A_DOOMED}, {DOOMED_ID}, 4, 1, 1, 'failed',"
            f" 'HandlerFailure')"),
        {"attempts"},
    ),
    "what cannot succeed did": (
        sql(f"UPDATE deliveries SET state = 'succeeded' WHERE subscription = {DOOMED_ID}"
            f" AND sequence = {A_DOOMED}"),
        {"impossible-success"},
    ),
    "an attempt failed by no fault of its handler": (
        sql(f"UPDATE attempts SET error_class = 'OperationalError' WHERE sequence = {A_DOOMED}"
            " AND number = 1"),
        {"unexpected-failure"},
    ),
    "a crash was not counted": (cut_a_run, {"crash-uncounted"}),
    "one killed a process too many": (kill_thrice, {"crash-uncounted", "killed-again"}),
    "a crash was counted that was none": (
        sql(f"UPDATE attempts SET outcome = 'crashed' WHERE sequence = {A_DOOMED} AND number = 1"),
        {"crash-overcounted"},
    ),
    "an effect is gone": (
        sql(f"DELETE FROM crash_applied WHERE subscription = 'sum' AND sequence = {A_SUM}"),
        {"effect-missing"},
    ),
    "an effect is there twice": (
        sql("INSERT INTO crash_applied (subscription, sequence, subject, amount, failed)"
            " SELECT subscription, sequence, subject, amount, failed FROM crash_applied LIMIT 1"),
        {"effect-twice"},
    ),
    "an effect of a failure": (
        sql("UPDATE crash_applied SET failed = 1 WHERE position = 1"),
        {"effect-of-failure"},
    ),
    "a sum is off": (
        sql("UPDATE crash_sums SET total = total + 1 WHERE subscription = 'sum'"),
        {"sum"},
    ),
    "two effects of a subject are swapped": (swap_two_applied, {"delivery-order"}),
    "a further event is gone": (
        sql("DELETE FROM events WHERE sequence ="
            " (SELECT max(sequence) FROM events WHERE type = 'derived.note')"),
        {"further-events"},
    ),
    "a further event is there twice": (
        sql(copy_of("type = 'derived.note'", id="'again'")),
        {"further-events"},
    ),
    "a further event of a failed attempt": (
        sql("UPDATE events SET data = json_set(data, '$.failed', json('true')) WHERE sequence ="
            " (SELECT max(sequence) FROM events WHERE type = 'derived.retried')"),
        {"effect-of-failure"},
    ),
    "a further event without a cause": (
        sql("UPDATE events SET causationid = 'nobody' WHERE sequence ="
            " (SELECT max(sequence) FROM events WHERE type = 'derived.note')"),
        {"cause"},
    ),
    "a subscription has another pattern": (
        sql("UPDATE subscriptions SET pattern = 'load.task.*' WHERE name = 'slow'"),
        {"subscription"},
    ),
    "an event was called new twice": (
        journal(lambda last: {"again": last["ack"], "answers": [
            [id, sequence, False] for id, sequence, _ in last["answers"]  # type: ignore[attr-defined]
        ]}),
        {"answer"},
    ),
    "a message was refused": (
        journal(lambda last: {"refused": last["ack"], "reason": "500"}),
        {"refused"},
    ),
}  # fmt: skip


@pytest.mark.crash
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_called_by_its_name(name: str, good: Path, tmp_path: Path) -> None:
    damage, rules = DAMAGES[name]
    place = tmp_path / "life"
    shutil.copytree(good, place)
    conn = sqlite3.connect(place / "events.db")
    damage(conn, place)
    conn.commit()
    conn.close()
    found = {finding.rule for finding in check(place)[1]}
    assert rules <= found, f"{name}: found {found}"


@pytest.mark.parametrize(
    ("pattern", "type", "is_covered"),
    [
        ("queue.*", "queue.task.added", True),
        ("queue.*", "queue", False),
        ("*", "a.b", True),
        ("#", "a", True),
        ("load.+.flaky", "load.task.flaky", True),
        ("load.+.flaky", "load.flaky", False),
        ("load.#", "load", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.b.c", False),
        ("a.#.c", "a.b.b.c", True),
    ],
)
def test_the_checkers_own_matcher(pattern: str, type: str, is_covered: bool) -> None:
    assert matches(pattern, type) is is_covered
