"""What tests of pages share: the fixture that opens one, a full server, what to visit and check."""

from __future__ import annotations

import json
from typing import Any, Protocol

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, TimeoutError

from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

# Attempts that fail fast and for good, so that dead letters are there at once.
IMPATIENT = {"EVENTBUS_MAX_ATTEMPTS": "2", "EVENTBUS_BACKOFF_FIRST_S": "0.01"}
TRACEBACK = 'Traceback (most recent call last):\n  File "task.py", line 3, in solve\nKeyError: "x"'


class Visit(Protocol):
    """Opens a path of a server in a new window; keywords go to the browser's context."""

    def __call__(self, server: ServerProcess, path: str = "/", **options: Any) -> Page: ...


def sideways(page: Page) -> str:
    """How far the page scrolls sideways, or nothing if it does not.

    A window that was just made narrower may have the width of now and the media queries of before
    for some frames; what stays too wide is too wide.
    """
    fits = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    try:
        page.wait_for_function(fits, timeout=5_000)
    except TimeoutError:
        if page.evaluate(fits):
            return ""
        width = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
        return "at {} it scrolls sideways: {}".format(*width)
    return ""


def check(page: Page) -> None:
    """AssertionError if axe finds something on a page or it scrolls sideways."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert not sideways(page)


def go(page: Page, key: str) -> None:
    """Press g and a letter, which lead somewhere if the second comes soon by the page's clock."""
    page.evaluate("performance.now = () => 0")  # a busy machine may take long for two keys
    page.keyboard.press("g")
    page.keyboard.press(key)


def hold_still(page: Page) -> None:
    """Stop the page's clock: what it shows for a moment it shows until somebody has looked."""
    page.clock.install(time=0)
    page.clock.pause_at(1_000)


def refresh(page: Page, list: str) -> None:
    """Have a list brought up to date as it does itself now and then, and wait until it is."""
    page.evaluate(
        """list => new Promise(done => {
            document.addEventListener("htmx:finally:request", () => done(), { once: true })
            document.querySelector(list).dispatchEvent(new CustomEvent("refresh:now"))
        })""",
        list,
    )


def fill(server: ServerProcess) -> None:
    """Bring about every state that the pages show; the server must be IMPATIENT."""
    publish = server.new_api().publish
    for number, (task, model) in enumerate([("gsm8k", "alpha"), ("humaneval", "beta")], start=1):
        eval_id = f"running-{number}"
        publish(
            "evaluation.started", {"eval_id": eval_id, "task": task, "model": model, "total": 80}
        )
        publish(
            "evaluation.progress",
            {"eval_id": eval_id, "done": 20 * number, "total": 80, "errors": 1},
        )
    publish("evaluation.started", {"eval_id": "done-1", "task": "gsm8k"})
    publish("evaluation.completed", {"eval_id": "done-1", "result": {"accuracy": 0.91, "n": None}})
    publish(
        "storage.file.created", {"path": "logs/done-1.eval", "bytes": 48_213, "eval_id": "done-1"}
    )
    fail(server, "retrying-1", retries=0, severity="critical")
    for retries in range(4):
        fail(server, "exhausted-1", retries=retries)
    publish("queue.task.added", {"queue": "gpu", "task_id": "task-1"})
    publish("monitoring.metric.recorded", {"metric": "loss", "value": 0.25, "unit": "nats"})
    publish("alert.warning", {"service": "sandbox", "error": "slow start"})
    publish("vendor.large", {"rows": [{"n": n, "text": "words " * 80} for n in range(150)]})
    later = {"type": "vendor.later", "id": "later-1", "source": "/tests", "delay": 86_400}
    server.new_api().post("/api/events", later)
    publish("vendor.thing.happened", {"nested": {"list": [1, 2.5, True, None, "text"]}})
    declare(server)
    bury(server)
    bury(server)
    dead = server.new_api().get("/api/deliveries").json["deliveries"][0]
    key = {"sequence": dead["sequence"], "subscription": dead["subscription"]}
    server.new_api().post(
        "/api/deliveries/discard", {"deliveries": [key], "reason": "seen", "by": "ann"}
    )
    wait_until(lambda: server.new_api().counters()["dead_letters"] == 1, "one is discarded")
    webhook = {"name": "shop", "pattern": "order.*", "url": "https://shop.test/hooks/token"}
    server.new_api().post("/api/webhooks", webhook)


def fail(server: ServerProcess, eval_id: str, retries: int, severity: str = "error") -> None:
    """One attempt of an evaluation that fails."""
    server.new_api().publish("evaluation.started", {"eval_id": eval_id, "retry_count": retries})
    error = {
        "type": "RateLimitError",
        "message": "429 Too Many Requests",
        "severity": severity,
        "traceback": TRACEBACK,
    }
    data = {"eval_id": eval_id, "error": error, "retry_count": retries}
    server.new_api().publish("evaluation.failed", data)


def declare(server: ServerProcess) -> None:
    """A type of each kind for the catalogue, with events that their schemas do not allow."""
    api = server.new_api()
    schema = {
        "required": ["nested"],
        "properties": {
            "nested": {"type": "object", "properties": {"list": {"type": "array", "minItems": 1}}},
            "state": {"enum": ["new", "old"], "description": "where it is"},
        },
    }
    value = {"title": "A thing happened", "owner": "Vendor", "schema": schema, "by": "ann"}
    for type, more in (("vendor.thing.happened", {}), ("vendor.old.*", {"deprecated": "vendor.x"})):
        body = json.dumps({**value, **more})
        kind = {"Content-Type": "application/json"}
        assert api.request("PUT", f"/api/types/{type}", body, kind).status == 201
    api.post("/api/events", {"type": "vendor.thing.happened", "data": {"state": "broken"}})
    api.post("/api/events", {"type": "vendor.undeclared", "data": {"rows": [{"n": 1}], "x": None}})


def bury(server: ServerProcess) -> None:
    """Make a dead letter: a file without a path, which the storage handler refuses."""
    before = server.new_api().counters()["dead_letters"]
    server.new_api().post("/api/events", {"type": "storage.file.created", "data": {"bytes": 1}})
    wait_until(
        lambda: server.new_api().counters()["dead_letters"] > before, "there is a dead letter"
    )


def paths(server: ServerProcess) -> dict[str, str]:
    """A path of every kind of page on a filled server, by a short name."""
    newest = server.new_api().get("/api/events", type="evaluation.exhausted").json["events"][0]
    dead = server.new_api().get("/api/deliveries", state="dead").json["deliveries"][0]
    alert = server.new_api().get("/api/alerts", severity="critical").json["alerts"][0]
    large = server.new_api().get("/api/events", type="vendor.large").json["events"][0]
    return {
        "live": "/",
        "live filtered": "/?type=evaluation.*",
        "live with a view that is gone": "/?view=nobody",
        "events": "/events",
        "events without a match": "/events?q=nowhere-in-the-log",
        "events with a wrong filter": "/events?type=ev*&since=tomorrow",
        "events of a time": "/events?since=1h&q=eval*",
        "export": "/events/export?type=evaluation.*",
        "import": "/events/import",
        "scheduled": "/events/scheduled",
        "event": f"/events/{newest['id']}",
        "event with a dead letter": f"/events/at/{dead['sequence']}",
        "event with a large payload": f"/events/at/{large['sequence']}",
        "evaluations": "/evaluations",
        "evaluation that is exhausted": "/evaluations/exhausted-1",
        "evaluation that is completed": "/evaluations/done-1",
        "evaluation that runs": "/evaluations/running-1",
        "evaluation with all attempts": "/evaluations/exhausted-1?attempt=all",
        "evaluations without a match": "/evaluations?q=nowhere&task=none",
        "evaluations with a wrong filter": "/evaluations?sort=colour",
        "two attempts": "/evaluations/compare?id=exhausted-1",
        "two evaluations": "/evaluations/compare?id=exhausted-1&id=done-1",
        "live of the past": "/?at=9",
        "evaluations of the past": "/evaluations?at=9",
        "evaluation of the past": "/evaluations/running-1?at=9",
        "a past that is none": "/evaluations?at=tomorrow",
        "inbox": "/retries",
        "retrying": "/retries/now",
        "dead letters": "/retries/dead",
        "dead letters without a match": "/retries/dead?subscription=nobody",
        "dead letters with a wrong filter": "/retries/dead?type=ev*",
        "question before a discard": "/retries/confirm?do=discard&all=yes",
        "question before a retry": "/retries/evaluations/confirm?do=retry&all=yes",
        "question before a dismissal": "/retries/evaluations/confirm?do=dismiss&all=yes",
        "closed lately": "/retries/closed",
        "operations": "/retries/operations",
        "operation": "/retries/operations/1",
        "alerts": "/alerts",
        "alerts without a match": "/alerts?state=muted&severity=info",
        "alert": f"/alerts/{alert['id']}",
        "notifications": "/alerts/channels",
        "flow": "/flow",
        "flow with a wrong window": "/flow?since=tomorrow&group=family",
        "edge of the flow": "/flow/edge?type=storage.file.created&handler=storage&only=failed",
        "handlers": "/handlers",
        "handler": "/handlers/storage",
        "webhooks": "/webhooks",
        "catalogue": "/types",
        "catalogue with all": "/types?state=all",
        "catalogue without a match": "/types?q=nowhere",
        "type that is built in": "/types/evaluation.failed",
        "type that is declared": "/types/vendor.thing.happened",
        "type that was only seen": "/types/vendor.undeclared",
        "pattern that is declared": "/types/vendor.old.*",
        "publish": "/publish",
        "users and tokens": "/access",
        "receipt": f"/publish?receipt={newest['sequence']}",
        "receipt of a scheduled event": "/publish?scheduled=later-1&source=/tests",
        "api": "/docs/api",
        "operation of the api": "/docs/api/publishEvents",
        "not found": "/nowhere",
    }
