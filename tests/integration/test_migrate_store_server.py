"""A server on a log that `flask migrate-store` has copied: it goes on where the other ended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.log import EventLog
from eventbus.log.baseline import baseline_path, begin_fold
from handlers import install
from handlers.rebuild import rebuild
from tests.helpers.databases import ON_POSTGRESQL
from tests.helpers.people import PASSWORD, Visitor
from tests.helpers.read_models import SETTINGS
from tests.helpers.receivers import HttpReceiver
from tests.helpers.server import ServerProcess
from tests.helpers.stores import command, ended, move
from tests.helpers.waiting import wait_until
from tests.integration.test_access_commands import flask
from tests.unit.handlers.test_retention import age, publish, run, settle

pytestmark = pytest.mark.skipif(ON_POSTGRESQL, reason="it has databases of both kinds itself")


def test_a_server_on_the_copy_goes_on_where_the_other_was_stopped(
    tmp_path: Path, target: str
) -> None:
    options = {"EVENTBUS_WEBHOOK_NETWORKS": "127.0.0.0/8", "EVENTBUS_FILES": str(tmp_path)}
    with HttpReceiver() as shop:
        shop.answers = [503] * 10_000
        with ServerProcess(tmp_path, **options) as server:
            api = server.api
            hook = {"name": "shop", "pattern": "order.*", "url": f"{shop.url}/in"}
            secret = api.post("/api/webhooks", hook).json["secret"]
            api.post("/api/subscriptions/evaluation/pause", {"by": "ann", "reason": "a move"})
            order = api.publish("order.placed", {"note": "zanzibar"})
            waiting = api.publish("evaluation.started", {"eval_id": "e-1"})
            later = api.post("/api/events", {"type": "reminder.due", "delay": 3_600}).json
            path = f"/api/events/{order['id']}/deliveries"
            wait_until(
                lambda: "retrying" in [d["state"] for d in api.get(path).json["deliveries"]],
                "the webhook has failed once", 60.0,
            )  # fmt: skip
        code, _, wrong = flask(
            server, "users", "add", "ada", "--role", "admin", "--password-stdin", typed=PASSWORD
        )
        assert code == 0, wrong
        with closing(sqlite3.connect(server.database)) as conn:
            (attempts,) = conn.execute(
                "SELECT attempt FROM deliveries WHERE sequence = ? AND state = 'retrying'",
                (order["sequence"],),
            ).fetchone()
        code, said = ended(command(tmp_path, f"sqlite:///{server.database}", target))
        assert code == 0, said
        failed = len(shop.taken)
        shop.answers.clear()

        options["EVENTBUS_DATABASE_URL"] = target
        (tmp_path / "moved").mkdir()
        with ServerProcess(tmp_path / "moved", **options) as moved:
            assert moved.api.get("/api/events").status == 401
            ada = Visitor(moved)
            assert ada.sign_in("ada").status == 303

            def get(path: str) -> Any:
                return ada.get(path).json

            wait_until(lambda: len(shop.taken) > failed, "the webhook is tried again", 60.0)
            delivery = wait_until(
                lambda: [
                    each
                    for each in get(f"/api/events/{order['id']}/deliveries")["deliveries"]
                    if each["state"] == "succeeded" and "shop" in each["subscription"]
                ],
                "it has succeeded", 60.0,
            )[0]  # fmt: skip
            assert delivery["attempt"] == attempts + 1
            assert secret.startswith("whsec_")
            assert get("/api/scheduled")["scheduled"][0]["id"] == later["id"]
            assert get("/api/stats")["counters"]["active"] == 0
            assert ada.post("/api/subscriptions/evaluation/resume", {}).status == 200
            wait_until(lambda: get("/api/stats")["counters"]["active"] == 1, "it is handled", 60.0)
            told = wait_until(
                lambda: get("/api/events?type=bus.moved")["events"], "the scheduler runs", 60.0
            )[0]
            assert told["data"]["target"] == target
            assert told["sequence"] > waiting["sequence"]
            found = wait_until(
                lambda: get("/api/events?q=zanzibar")["events"], "the history is indexed", 60.0
            )
            assert [event["id"] for event in found] == [order["id"]]
            code, said = ended(command(tmp_path, "--check", f"sqlite:///{server.database}", target))
            assert code == 1
            assert "is open" in said
        code, said = ended(command(tmp_path, "--check", f"sqlite:///{server.database}", target))
        assert code == 3  # it has gone on
        assert "is not in the source" in said


def test_the_baseline_of_what_retention_removed_comes_along(tmp_path: Path, target: str) -> None:
    source = f"sqlite:///{tmp_path / 'events.db'}"
    with EventBus.open(source) as bus:
        install(bus, SETTINGS)
        for number in range(30):
            data = {"eval_id": f"e-{number}"}
            bus.publish_many([{"type": f"evaluation.{state}", "data": data}
                              for state in ("started", "failed")])  # fmt: skip
        settle(bus)
        age(bus)
        assert run(bus, "evaluation.* keep 30d").rules
        publish(bus, "a.b", 3)
        settle(bus)
        removed = bus.log.removed_upto
    assert removed > 0
    moved = move(source, target, tmp_path / "files").run("me")
    assert moved.is_same
    assert len(moved.files) == 1
    log = EventLog(target, tmp_path / "files")
    with closing(log):
        fold = begin_fold(log)
        assert fold.position >= log.removed_upto == removed
        fold.remove()
        assert differences(log) == []
        baseline = baseline_path(log)
    with closing(sqlite3.connect(baseline)) as conn:
        conn.execute("UPDATE handler_counters SET value = value + 1")
        conn.commit()
    (finding,) = move(source, target, tmp_path / "files").check().findings
    assert f"{baseline} is not what" in finding


def differences(log: EventLog) -> list[str]:
    """Between the read models and a fold of the log, which begins at the baseline."""
    return [str(each) for each in rebuild(log, SETTINGS, is_check=True).run().examples]
