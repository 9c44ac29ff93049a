"""What each endpoint asks of who calls it: the one table, for pages, API and WebSockets.

Every endpoint stands here, by its blueprint and the name of its function; a test compares the
table with the routes of the app. One that is missing is for admins alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.access.scopes import Need

_NEEDS: Mapping[str, Mapping[Need, str]] = {
    # -- pages --
    "login": {"open": "form sign_in", "signed-in": "sign_out"},
    "oidc": {"open": "begin finish signed_out"},
    "account": {"signed-in": "account change_password end_sessions"},
    "people": {"admin": "people confirm add_user change_user add_token change_token"},
    "live_page": {"read": "live"},
    "attention": {"read": "now"},
    "views_page": {"read": "menu", "operate": "save rename delete"},
    "events_page": {"read": "events"},
    "events_news": {"read": "news"},
    "event_page": {"read": "event event_at payload progress raw take test"},
    "evaluations_page": {"read": "evaluations"},
    "evaluation_page": {"read": "evaluation evaluation_by_id", "operate": "change"},
    "compare_page": {"read": "compare"},
    "retries_page": {"read": "retries now closed tries", "operate": "hurry"},
    "inbox_page": {"operate": "confirm decide"},
    "dead_letters_page": {"read": "dead_letters", "operate": "begin confirm"},
    "operations_page": {"read": "operation operations", "operate": "stop"},
    "alerts_page": {"read": "alert alerts", "operate": "change change_selected name"},
    "channels_page": {"read": "channels", "operate": "test"},
    "flow_page": {"read": "edge flow"},
    "handlers_page": {
        "read": "handler handler_by_name handlers", "operate": "end pause resume replay",
    },
    "reference_page": {"signed-in": "one reference"},
    "publish_page": {
        "read": "receipt", "publish": "cancel example preview publish publish_page waiting",
    },
    "scheduled_page": {"read": "scheduled", "publish": "cancel"},
    "transfers_page": {
        "read": "export_page progress stop", "admin": "import_file import_page",
    },
    # -- API --
    "access": {
        "signed-in": "me",
        "admin": "users add_user change_user tokens add_token revoke_token",
    },
    "events": {"read": "chain deliveries event history", "publish": "publish"},
    "preview": {"publish": "preview"},
    "transfers": {"read": "export_events", "admin": "import_lines"},
    "scheduled": {"read": "one scheduled", "publish": "cancel"},
    "evaluations": {"read": "evaluation evaluations", "operate": "cancel retry"},
    "alerts": {"read": "alert alerts history", "operate": "change change_many"},
    "notifications": {"read": "notifications", "operate": "test"},
    "stats": {"read": "stats"},
    "subscriptions": {"read": "subscriptions", "consume": "consume end", "operate": "pause resume"},
    "flow": {"read": "flow"},
    "deliveries": {
        "read": "counts deliveries groups", "operate": "discard redrive replay retry",
    },
    "operations": {"read": "operation operations", "operate": "stop"},
    "queues": {"read": "metric metrics queues"},
    "rebuild": {"read": "progress", "admin": "start stop"},
    "storage": {"read": "storage", "admin": "run"},
    "types": {"read": "types one check", "admin": "put delete"},
    "openapi": {"signed-in": "openapi"},
    "views": {"read": "views", "operate": "delete rename save"},
    "webhooks": {
        "read": "webhook webhooks", "operate": "test", "admin": "change create delete rotate",
    },
    "catalogue_page": {"read": "one catalogue", "admin": "declare_type withdraw_type"},
    "asyncapi": {"signed-in": "asyncapi"},
    "webhooks_page": {"read": "webhooks", "admin": "change"},
    "hooks": {"open": "take"},  # which proves itself by its signature
    "metrics": {"read": "metrics"},
    "health": {"open": "healthz readyz"},
    # -- WebSockets, and what belongs to them --
    "live": {"read": "page rows stream"},
    "consume": {"consume": "consume"},
}  # fmt: skip

NEEDS: Mapping[str, Need] = {
    "static": "open",
    **{
        f"{blueprint}.{function}": need
        for blueprint, needs in _NEEDS.items()
        for need, functions in needs.items()
        for function in functions.split()
    },
}


def need_of(endpoint: str | None) -> Need:
    """What an endpoint asks for. There is nothing at an address without one, for anybody."""
    return "open" if endpoint is None else NEEDS.get(endpoint, "admin")
