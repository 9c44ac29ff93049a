"""The service's own health: checks with reasons, warnings, and events that tell of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.config import Settings
from app.start_check import StartCheck
from app.vitals import Vitals
from eventbus import EventBus
from tests.helpers.bus import Failing, open_bus
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until
from tests.integration.test_disk_full import StartServer


def told(server: ServerProcess, pattern: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = server.api.get("/api/events", type=pattern, order="asc").json[
        "events"
    ]
    return events


def test_the_log_tells_of_every_start_and_of_how_the_one_before_ended(
    server: ServerProcess,
) -> None:
    assert told(server, "bus.*") == []  # an empty log stays empty
    server.api.publish("a.b", {})
    server.stop()
    server.start()
    server.kill9()
    server.start()
    life = [e for e in told(server, "bus.*") if e["type"] in ("bus.started", "bus.stopped")]
    assert [(e["type"], e["data"].get("previous")) for e in life] == [
        ("bus.stopped", None), ("bus.started", "stopped"), ("bus.started", "crashed"),
    ]  # fmt: skip


def test_a_crash_is_told_of_however_quick_the_check_after_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_and_end(check: StartCheck) -> None:
        start(check)
        check._thread.join()

    start = StartCheck.start
    monkeypatch.setattr(StartCheck, "start", start_and_end)
    database = tmp_path / "events.db"
    with open_bus(f"sqlite:///{database}") as before:
        before.publish("a.b", {})
    (tmp_path / "events.db-lock").write_text("1 running")  # what a killed process leaves
    parts = create_app(Settings(database_url=f"sqlite:///{database}")).extensions["eventbus"]
    parts.start()
    try:
        assert types(parts.bus)[:2] == ["bus.started", "bus.integrity.checked"]
        assert parts.bus.log.read(1).events[0]["previous"] == "crashed"
    finally:
        parts.stop()


def test_a_blocked_loop_begins_and_ends_as_a_trouble(start_server: StartServer) -> None:
    server = start_server("tests.helpers.trouble:app")
    server.api.post("/api/events", {"type": "trouble.freeze"})
    wait_until(lambda: told(server, "bus.trouble.began"), "it is told of")
    (began,) = told(server, "bus.trouble.began")
    assert began["data"]["part"] == "loop"
    assert began["data"]["severity"] == "critical"
    assert "the async handler freeze" in began["data"]["detail"]
    checks = {check["part"]: check for check in server.api.get("/readyz").json["checks"]}
    assert checks["loop"]["status"] == "fail"
    assert checks["storage"]["status"] == "pass"


def test_a_warning_is_no_reason_to_send_nothing_here(start_server: StartServer) -> None:
    server = start_server(EVENTBUS_WARN_DISK_BYTES=str(10**17))
    server.api.publish("a.b", {})
    wait_until(lambda: told(server, "bus.trouble.began"), "it is told of")
    answer = server.api.get("/readyz")
    assert answer.status == 200
    assert [warning["part"] for warning in answer.json["warnings"]] == ["disk"]
    checks = {check["part"]: check["status"] for check in answer.json["checks"]}
    assert checks["disk"] == "warn"
    assert set(checks.values()) == {"warn", "pass"}
    assert "EVENTBUS_WARN_DISK_BYTES" in server.api.get("/").text


@pytest.fixture
def bus(tmp_path: Path) -> Any:
    with open_bus(f"sqlite:///{tmp_path / 'events.db'}") as bus:
        yield bus


def types(bus: EventBus) -> list[str]:
    return [event.type for event in bus.log.read(0).events if event.type.startswith("bus.")]


class Clock:
    """Stands in for the module ``time`` of the watch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr("app.vitals._monotonic", lambda: self.now)


def test_a_trouble_that_flickers_is_told_of_once(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    settings = Settings(warn_disk_bytes=10**17)
    vitals = Vitals(bus, settings)
    for _ in range(5):
        vitals._settings = Settings(warn_disk_bytes=10**17)
        vitals.look()
        clock.now += 10
        vitals._settings = Settings(warn_disk_bytes=0)
        vitals.look()
        clock.now += 10
    assert types(bus) == ["bus.trouble.began"]
    clock.now += 31
    vitals.look()
    assert types(bus) == ["bus.trouble.began", "bus.trouble.ended"]
    ended = bus.log.read(0).events[-1]
    assert (ended["part"], ended["times"]) == ("disk", 5)


def test_a_subscription_that_is_far_behind_is_named(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    bus.subscribe("a.*", print, name="mine")
    bus.detach("mine")
    bus.publish("a.b", {})
    vitals = Vitals(bus, Settings(warn_lag_s=0.000_001, warn_disk_bytes=0))
    clock.now += 10
    vitals.look()
    (trouble,) = bus.troubles()
    assert (trouble.part, trouble.severity, trouble.subject) == ("lag", "warning", "mine")
    assert "nothing serves it" in trouble.detail
    bus.subscribe("a.*", print, name="mine")
    assert bus.drain(10)
    clock.now += 10
    vitals.look()
    assert bus.troubles() == []


def test_dead_letters_that_grow_are_a_trouble_even_when_its_events_make_more_of_them(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    bus.subscribe("#", Failing(), name="fails", max_attempts=1)
    vitals = Vitals(bus, Settings(warn_dead_letters=5, warn_disk_bytes=0))
    vitals.look()
    for number in range(6):
        bus.publish("a.b", {"number": number})
    for _ in range(20):
        assert bus.drain(10)
        clock.now += 5
        vitals.look()
    assert types(bus).count("bus.trouble.began") == 1
    assert len(types(bus)) <= 2
    assert any("became dead letters" in str(e.data) for e in bus.log.read(0).events)
