"""The named points: a process dies exactly there, and a point whose place has gone says so."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash import faults as faults_module
from tests.crash.beacon import READY, Beacon
from tests.crash.hosts import wait_for
from tests.crash.place import Place, is_alive
from tests.crash.points import FUNCTIONS, NAMES
from tests.crash.zygote import Zygote


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote


def die_at(place: Place, zygote: Zygote, **plan: object) -> Beacon:
    """Run a library host that is to die by its plan; gives what its beacon says then."""
    place.create()
    place.plan.write_text(json.dumps(plan))
    beacon = Beacon(place.beacon)
    pid = zygote.fork("library", place, random.randrange(1_000))
    wait_for(lambda: not is_alive(pid), 20.0, f"it dies by {plan}")
    assert beacon.get("fired"), place.output.read_text()
    return beacon


@pytest.mark.crash
def test_it_dies_after_the_commit_with_everything_of_it_on_disk(
    tmp_path: Path, zygote: Zygote
) -> None:
    place = Place(tmp_path / "life")
    beacon = die_at(place, zygote, point="committed", passes=60)
    assert NAMES[beacon.get("fired") - 1] == "committed"
    assert beacon.passes()["committed"] == 60
    conn = sqlite3.connect(place.database)
    assert conn.execute("SELECT count(*) FROM subscriptions").fetchone()[0] > 5
    conn.close()


@pytest.mark.crash
def test_it_dies_before_the_first_table_is_made(tmp_path: Path, zygote: Zygote) -> None:
    place = Place(tmp_path / "life")
    beacon = die_at(place, zygote, point="migrate", passes=1)
    assert beacon.get("phase") < READY
    conn = sqlite3.connect(place.database)
    assert conn.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    conn.close()


@pytest.mark.crash
def test_it_dies_some_time_after_a_pass_without_any_word(tmp_path: Path, zygote: Zygote) -> None:
    place = Place(tmp_path / "life")
    die_at(place, zygote, point="inside-commit", passes=40, delay_us=200)
    assert "Traceback" not in place.output.read_text()
    assert " X " not in place.runs.read_text()


def test_a_point_whose_function_has_gone_fails_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "life")
    place.create()
    gone = replace(FUNCTIONS[0], method="renamed")
    monkeypatch.setattr(faults_module, "FUNCTIONS", (gone,))
    monkeypatch.setattr(sqlite3, "connect", sqlite3.connect)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", sqlite3.dbapi2.connect)
    with pytest.raises(LookupError, match="'hand-over' has lost its place"):
        faults_module.Faults(place).install()
