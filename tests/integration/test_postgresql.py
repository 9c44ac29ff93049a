"""The app on PostgreSQL, as one process: what people do with it, and a database that goes away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app import create_app
from app.config import Settings
from eventbus.errors import LogError
from eventbus.log import EventLog
from tests.helpers.api import Api
from tests.helpers.bus import open_bus
from tests.helpers.databases import running_postgresql, schemas
from tests.helpers.proxy import Proxy
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

FAST = {
    "EVENTBUS_MAX_ATTEMPTS": "2",
    "EVENTBUS_BACKOFF_FIRST_S": "0.01",
    "EVENTBUS_RETRY_DELAYS": "*=1s",
}


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    with schemas().lent() as url:
        yield {**FAST, "EVENTBUS_DATABASE_URL": url, "EVENTBUS_FILES": str(tmp_path / "files")}


@pytest.fixture
def server(variables: dict[str, str], tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, "tests.helpers.trouble:app", **variables) as server:
        yield server


def flask(variables: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command on the database that no server has open; its exit code and all it said."""
    app = create_app(Settings.from_environment({**variables, "PORT": "9"}))
    done = app.test_cli_runner().invoke(args=arguments)
    return done.exit_code, done.output


def counters(api: Api, **wanted: int) -> None:
    wait_until(lambda: wanted.items() <= api.counters().items(), f"the counters are {wanted}")


def found(api: Api, **query: object) -> list[Any]:
    return [event["id"] for event in api.get("/api/events", **query).json["events"]]


def test_what_people_do_with_it_works_as_on_sqlite(
    server: ServerProcess, variables: dict[str, str]
) -> None:
    api = server.api
    error = {"type": "RateLimitError", "message": "429 Zu viele Anfragen", "severity": "critical"}
    api.publish("evaluation.started", {"eval_id": "e1", "task": "gsm8k", "model": "m"})
    failed = api.publish("evaluation.failed", {"eval_id": "e1", "error": error, "retry_count": 0})
    counters(api, failed=1, retrying=1)
    retries = wait_until(
        lambda: api.get("/api/events", type="evaluation.retry").json["events"],
        "a retry has been published when its delay was over",
    )
    assert retries[0]["causationid"] == failed["id"]
    api.publish("evaluation.started", {"eval_id": "e1", "retry_count": 1})
    counters(api, active=1, retrying=0)
    middle = api.get("/api/stats").json["sequence"]

    api.publish("evaluation.completed", {"eval_id": "e1", "result": {"accuracy": 0.5}})
    alert = api.publish("alert.warning", {"service": "disk", "error": "nearly full"})
    counters(api, active=0, completed=1, open_alerts=2)
    opened = {each["service"]: each["id"] for each in api.get("/api/alerts").json["alerts"]}
    api.publish("alert.resolved", {"alert_id": opened["disk"], "by": "ann"})
    counters(api, open_alerts=1)

    letter = api.publish("trouble.flaky", {"failures": 2}, subject="s")
    counters(api, dead_letters=1)
    (dead,) = api.get("/api/deliveries").json["deliveries"]
    assert (dead["sequence"], dead["attempt"]) == (letter["sequence"], 2)
    key = {"sequence": dead["sequence"], "subscription": dead["subscription"]}
    answer = api.post("/api/deliveries/redrive", {"deliveries": [key], "by": "ann"})
    assert answer.status == 202, answer.text
    counters(api, dead_letters=0)

    wait_until(lambda: found(api, q="nearly") == [alert["id"]], "the word is found")
    assert found(api, q="zu VIELE")[-1] == failed["id"]
    assert found(api, type="evaluation.*", subject="none") == []
    past = api.get("/api/stats", at=middle).json["counters"]
    assert (past["active"], past["completed"]) == (1, 0)
    foreseen = api.post(
        "/api/events/preview", {"type": "evaluation.completed", "data": {"eval_id": "e1"}}
    )
    assert foreseen.status == 200, foreseen.text
    assert api.get("/api/storage").json["disk_free_bytes"] is None

    exported = api.get("/api/events/export", type="evaluation.*").body
    for path in ("/", "/events", "/evaluations", "/evaluations/e1", "/retries", "/alerts", "/flow",
                 "/handlers", "/types", "/publish", f"/?at={middle}", "/metrics"):  # fmt: skip
        assert api.get(path).status == 200, path
    last = api.get("/api/stats").json
    server.stop()

    code, said = flask(variables, "rebuild", "--check")
    assert (code, "0 rows differ" in said) == (0, True), said
    code, said = flask(variables, "backup", "copy.db")
    assert (code, "pg_dump --format=custom --file=copy.db" in said) == (1, True), said
    code, said = flask(variables, "events", "export", "evaluation.*")
    assert (code, exported.decode().strip() in said) == (0, True), said
    server.start()
    assert server.api.get("/api/stats").json["counters"] == last["counters"]
    assert "Traceback" not in server.output(), server.output()


def test_a_database_without_utf8_is_refused(tmp_path: Path) -> None:
    server = running_postgresql()
    name = f"ascii_{os.getpid()}"
    server.sql(f"CREATE DATABASE {name} ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(LogError, match="has the encoding SQL_ASCII, and a log needs UTF8"):
            EventLog(server.url_of(name), tmp_path)
    finally:
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_url_may_have_several_options_of_the_server() -> None:
    with (
        schemas().lent("-cstatement_timeout=600000") as url,
        open_bus(url) as bus,
        open_bus(url) as other,
    ):
        sequence = other.publish("a").wait().sequence
        wait_until(lambda: bus.log.last_sequence == sequence, "it follows the log")


def test_a_schema_that_is_not_there_is_named_and_not_taken_for_one_in_use(tmp_path: Path) -> None:
    url = f"{running_postgresql().url}?options=-csearch_path%3Dnosuchschema"
    with pytest.raises(LogError, match="none of its search_path, 'nosuchschema', is there"):
        EventLog(url, tmp_path)
    source = f"sqlite:///{tmp_path / 'source.db'}"
    EventLog(source).close()
    code, said = flask({"EVENTBUS_DATABASE_URL": source}, "migrate-store", source, url)
    assert code == 1
    assert "nosuchschema" in said and "CREATE SCHEMA" in said, said


def test_while_the_database_is_away_it_says_so_and_comes_back_by_itself(
    variables: dict[str, str], tmp_path: Path
) -> None:
    url = urlsplit(variables["EVENTBUS_DATABASE_URL"])
    with Proxy(url.port or 5432) as proxy:
        variables["EVENTBUS_DATABASE_URL"] = url._replace(
            netloc=f"eventbus:hunter2@127.0.0.1:{proxy.port}"
        ).geturl()
        with ServerProcess(tmp_path, **variables) as server:
            api = server.api
            wait_until(lambda: api.get("/?at=0").status == 200, "the start is over")
            before = api.publish("vendor.thing", {"n": 1})
            proxy.is_away = True
            refused = api.post("/api/events", {"type": "vendor.thing", "id": "lost", "data": {}})
            assert refused.status == 503, refused.text
            ready = api.get("/readyz")
            assert ready.status == 503 and "cannot" in ready.json["detail"]
            assert api.get("/events").status == 503
            assert api.get("/healthz").status == 200
            proxy.is_away = False
            wait_until(lambda: api.get("/readyz").status == 200, "it is ready again", 20.0)
            # Whoever publishes tries again, as clients do: this process has only read so far.
            again = {"type": "vendor.thing", "id": "again", "data": {}}
            wait_until(lambda: api.post("/api/events", again).status == 200, "it is recorded")
            assert found(api, type="vendor.thing") == ["again", before["id"]]
            assert "hunter2" not in server.output() + ready.text + refused.text
            assert "Traceback" not in server.output(), server.output()
