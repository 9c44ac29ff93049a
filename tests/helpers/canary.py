"""A value that must not come out: events of every fate that hold it, and what to ask for them."""

from __future__ import annotations

import json

from tests.helpers.people import Visitor
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

CANARY = "canary7f3a"
TOKEN = "0" * 32


def fill(server: ServerProcess) -> None:
    """The canary in events of every fate, while nobody has to sign in yet."""
    api = server.new_api()
    schema = {"type": "vendor.checked", "mode": "report", "by": "ann",
              "schema": {"properties": {"prompt": {"type": "integer"}}}}  # fmt: skip
    kind = {"Content-Type": "application/json"}
    del schema["type"]
    answer = api.request("PUT", "/api/types/vendor.checked", json.dumps(schema), kind)
    assert answer.status == 201, answer.text
    person = {"email": CANARY, "name": "Ann"}
    send(server, "vendor.refused", {"customer": person, "rows": [1]}, id="refused-1")
    send(server, "vendor.retried", {"prompt": CANARY}, id="retried-1")
    send(server, "vendor.chain", {"prompt": CANARY, "customer": person}, id="chain-1")
    send(server, "vendor.later", {"prompt": CANARY}, id="later-1", delay=86_400)
    send(server, "vendor.checked", {"prompt": CANARY}, id="checked-1")
    send(server, "vendor.shape", {"customer": CANARY, "turns": [{"text": [CANARY]}, CANARY]})
    send(server, "vendor.large", {"prompt": f"{CANARY} " * 4_000}, id="large-1")
    for _ in range(15):
        send(server, "vendor.often", {"prompt": CANARY, "n": 1})
    rejected = {"reason": CANARY, "body_base64": CANARY, "errors": [{"detail": CANARY}]}
    send(server, "bus.intake.rejected", rejected)
    for name in ("e-1", "e-2"):
        data = {"eval_id": name, "messages": [f"{CANARY} {name}"]}
        send(server, "evaluation.started", {**data, "task": "gsm8k"})
        send(server, "evaluation.completed", {**data, "result": {"accuracy": 0.9}})
    send(server, "monitoring.metric.recorded", {"metric": "loss", "value": 1, "host": CANARY})
    alert = {"service": "sandbox", "error": {"type": "Full", "message": "disk"}}
    send(server, "alert.critical", alert)
    webhook = {"name": "shop", "pattern": "order.*", "url": "https://shop.test/hooks"}
    assert api.post("/api/webhooks", webhook).status == 201
    assert api.post("/api/views", {"name": "vendors", "type": "vendor.*"}).status == 200
    wait_until(lambda: api.counters()["dead_letters"] == 1, "one is dead")
    wait_until(lambda: bool(retrying(server)), "one waits for its retry")
    wait_until(
        lambda: bool(api.get("/api/events", type="vendor.chained").json["events"]), "the chain"
    )
    wait_until(
        lambda: bool(api.get("/api/types/vendor.checked").json["violations"]["reported"]),
        "the broken one is noticed",
    )
    redrive = api.post("/api/deliveries/redrive", {"filter": {}, "by": "ann", "reason": "again"})
    assert redrive.status in (200, 202), redrive.text
    wait_until(
        lambda: api.get("/api/operations").json["operations"][0]["state"] == "finished",
        "the operation ends",
    )
    wait_until(lambda: api.counters()["dead_letters"] == 1, "it is dead again")


def send(server: ServerProcess, type: str, data: object, **more: object) -> None:
    answer = server.new_api().post("/api/events", {"type": type, "data": data, **more})
    assert answer.status == 202, answer.text


def retrying(server: ServerProcess) -> object:
    found = server.new_api().get("/api/deliveries", state="retrying").json["deliveries"]
    return found and found[0]["error_message"]


def sequence(visitor: Visitor, type: str) -> int:
    found: int = visitor.get(f"/api/events?type={type}").json["events"][0]["sequence"]
    return found


def paths(visitor: Visitor) -> dict[str, list[str]]:
    """What to ask of each endpoint, so that it has to do with the canary."""
    refused, large = sequence(visitor, "vendor.refused"), sequence(visitor, "vendor.large")
    last = sequence(visitor, "%23")
    alert = visitor.get("/api/alerts").json["alerts"][0]["id"]
    operation = visitor.get("/api/operations").json["operations"][0]["id"]
    own = ("refused-1", "retried-1", "chain-1", "checked-1")
    types = ("vendor.refused", "vendor.checked", "vendor.often", "bus.intake.rejected")
    takes = ("event.sh", "event.py", "chain.ndjson", "test.py")
    return {
        "static": ["/static/js/app.js"],
        "login.form": ["/login"],
        "oidc.begin": ["/login/oidc"],
        "oidc.finish": ["/login/oidc/callback"],
        "oidc.signed_out": ["/login/oidc/signed-out"],
        "account.account": ["/account"],
        "people.people": ["/access"],
        "people.confirm": ["/access/confirm"],
        "access.me": ["/api/access/me"],
        "access.users": ["/api/access/users"],
        "access.tokens": ["/api/access/tokens"],
        "transfers.export_events": [
            "/api/events/export?format=ndjson", "/api/events/export?format=csv",
            f"/api/events/export?token={TOKEN}",
        ],
        "events.history": [
            "/api/events?limit=500", "/api/events?type=vendor.*&order=asc&limit=500",
            "/api/events?correlation=chain-1",
        ],
        "events.event": [f"/api/events/{id}" for id in own],
        "events.deliveries": [f"/api/events/{id}/deliveries" for id in own],
        "events.chain": [f"/api/events/{id}/trace" for id in own],
        "evaluations.evaluations": ["/api/evaluations"],
        "evaluations.evaluation": ["/api/evaluations/e-1"],
        "alerts.alerts": ["/api/alerts"],
        "alerts.alert": [f"/api/alerts/{alert}"],
        "alerts.history": [f"/api/alerts/{alert}/history"],
        "notifications.notifications": ["/api/notifications"],
        "stats.stats": ["/api/stats"],
        "subscriptions.subscriptions": ["/api/subscriptions"],
        "subscriptions.consume": ["/api/subscriptions/spy/consume?type=vendor.*"],
        "flow.flow": ["/api/flow"],
        "deliveries.deliveries": [
            "/api/deliveries", "/api/deliveries?state=retrying", "/api/deliveries?state=dead",
            "/api/deliveries?state=discarded",
        ],
        "deliveries.counts": ["/api/deliveries/counts"],
        "deliveries.groups": ["/api/deliveries/groups"],
        "queues.queues": ["/api/queues"],
        "queues.metrics": ["/api/metrics"],
        "queues.metric": ["/api/metrics/loss"],
        "scheduled.scheduled": ["/api/scheduled"],
        "scheduled.one": ["/api/scheduled/later-1"],
        "operations.operations": ["/api/operations"],
        "operations.operation": [f"/api/operations/{operation}"],
        "rebuild.progress": ["/api/rebuild"],
        "storage.storage": ["/api/storage"],
        "types.types": ["/api/types"],
        "types.one": [f"/api/types/{type}" for type in types],
        "views.views": ["/api/views"],
        "webhooks.webhooks": ["/api/webhooks"],
        "webhooks.webhook": ["/api/webhooks/shop"],
        "health.healthz": ["/healthz"],
        "health.readyz": ["/readyz"],
        "openapi.openapi": ["/openapi.json"],
        "asyncapi.asyncapi": ["/asyncapi.json"],
        "live.rows": [f"/live/rows?after=0&upto={last}"],
        "live_page.live": ["/", "/?type=vendor.*", f"/?at={last}"],
        "events_page.events": ["/events", "/events?type=vendor.*&since=1h"],
        "events_news.news": ["/events/news?after=0", "/events/news?type=vendor.*&after=0"],
        "event_page.event": [f"/events/{id}" for id in own],
        "event_page.event_at": [
            f"/events/at/{sequence(visitor, type)}"
            for type in ("vendor.chained", "vendor.shape", "vendor.large", "evaluation.completed")
        ],
        "event_page.progress": [f"/events/at/{refused}/progress"],
        "event_page.payload": [
            f"/events/at/{refused}/payload?pointer=/customer/email",
            f"/events/at/{refused}/payload?pointer=/customer",
            f"/events/at/{large}/payload?pointer=/prompt",
        ],
        "event_page.raw": [f"/events/at/{refused}/raw", f"/events/at/{large}/raw"],
        "event_page.test": [f"/events/at/{refused}/test"],
        "event_page.take": [f"/events/at/{refused}/take/{name}" for name in takes],
        "evaluations_page.evaluations": ["/evaluations", f"/evaluations?q={CANARY[:6]}"],
        "compare_page.compare": ["/evaluations/compare?id=e-1&id=e-2"],
        "evaluation_page.evaluation_by_id": ["/evaluations/by-id?id=e-1"],
        "evaluation_page.evaluation": ["/evaluations/e-1", f"/evaluations/e-1?at={last}"],
        "retries_page.retries": ["/retries"],
        "inbox_page.confirm": ["/retries/evaluations/confirm?do=retry&all=yes"],
        "retries_page.now": ["/retries/now"],
        "retries_page.tries": ["/retries/attempts?eval_id=e-1"],
        "retries_page.closed": ["/retries/closed"],
        "dead_letters_page.dead_letters": ["/retries/dead"],
        "dead_letters_page.confirm": ["/retries/confirm?do=redrive&all=yes"],
        "operations_page.operations": ["/retries/operations"],
        "operations_page.operation": [f"/retries/operations/{operation}"],
        "alerts_page.alerts": ["/alerts"],
        "alerts_page.alert": [f"/alerts/{alert}"],
        "attention.now": ["/attention"],
        "channels_page.channels": ["/alerts/channels"],
        "flow_page.flow": ["/flow"],
        "flow_page.edge": [
            "/flow/edge?type=vendor.refused&handler=refusing",
            "/flow/edge?type=vendor.refused&handler=refusing&only=failed",
            "/flow/edge?type=vendor.retried&handler=failing&only=failed",
        ],
        "handlers_page.handlers": ["/handlers"],
        "handlers_page.handler": ["/handlers/refusing", "/handlers/failing"],
        "handlers_page.handler_by_name": ["/handlers/by-name?name=refusing"],
        "catalogue_page.catalogue": ["/types", "/types?state=all"],
        "catalogue_page.one": [f"/types/{type}" for type in types],
        "publish_page.publish_page": [
            f"/publish?like={refused}", f"/publish?receipt={refused}", "/publish?type=vendor.often",
            "/publish?scheduled=later-1", f"/publish?receipt={sequence(visitor, 'vendor.checked')}",
        ],
        "publish_page.receipt": [f"/publish/receipt/{refused}"],
        "publish_page.waiting": ["/publish/waiting?scheduled=later-1"],
        "publish_page.example": [f"/publish/example?type={type}" for type in types],
        "reference_page.reference": ["/docs/api"],
        "reference_page.one": ["/docs/api/publishEvents"],
        "transfers_page.export_page": ["/events/export?type=vendor.*"],
        "transfers_page.import_page": ["/events/import"],
        "transfers_page.progress": [f"/events/transfers/{TOKEN}"],
        "scheduled_page.scheduled": ["/events/scheduled"],
        "views_page.menu": ["/views"],
        "webhooks_page.webhooks": ["/webhooks"],
        "metrics.metrics": ["/metrics"],
    }  # fmt: skip


# Where an operator sees the canary: there the paths above have to do with it.
SHOWN = {
    "transfers.export_events", "events.history", "events.event", "events.deliveries",
    "events.chain", "evaluations.evaluation", "deliveries.deliveries", "scheduled.scheduled",
    "scheduled.one", "types.one", "asyncapi.asyncapi", "live.rows", "live_page.live",
    "events_page.events", "event_page.event", "event_page.event_at", "event_page.progress",
    "event_page.payload", "event_page.raw", "event_page.take", "compare_page.compare",
    "dead_letters_page.dead_letters", "retries_page.now", "flow_page.edge", "catalogue_page.one",
    "publish_page.publish_page", "publish_page.example", "scheduled_page.scheduled",
}  # fmt: skip
SOCKETS = {"live.page", "live.stream", "consume.consume"}
