"""Outgoing webhooks on a real bus, to a real HTTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from eventbus import EventBus, Pattern, RetryPolicy
from eventbus.cloudevents import decode
from eventbus.errors import EventValidationError, SubscriptionError
from eventbus.log import EventQuery, Selection
from handlers.addresses import AddressPolicy
from handlers.errors import AddressPolicyError, SignatureError, WebhookError
from handlers.standard_webhooks import key_of, verify
from handlers.webhook import Webhook, Webhooks, read_changes, read_terms
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.receivers import HttpReceiver, Taken, drip
from tests.helpers.waiting import wait_until, within

LOCAL = AddressPolicy(("127.0.0.0/8",))
QUICK = RetryPolicy(max_attempts=5, base_delay_s=0.01, max_delay_s=0.05)


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    with open_bus(url, retry=QUICK) as bus:
        yield bus


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


def start(bus: EventBus, policy: AddressPolicy = LOCAL) -> Webhooks:
    webhooks = Webhooks(bus, policy)
    webhooks.start()
    return webhooks


def create(webhooks: Webhooks, url: str, **terms: Any) -> Webhook:
    body = {"name": "shop", "pattern": "order.*", "url": url, **terms}
    made = webhooks.create(read_terms(body), "ana")
    assert made is not None
    return made


def lower(taken: Taken) -> dict[str, str]:
    return {name.lower(): value for name, value in taken.headers.items()}


def states(bus: EventBus, sequence: int | None) -> list[tuple[str, int]]:
    found = bus.log.deliveries(sequence or 0)
    return [(d.state, len(d.attempts)) for d in found if d.subscription.startswith("webhook-")]


def events(bus: EventBus, pattern: str) -> list[Any]:
    query = EventQuery(pattern=Pattern(pattern), order="asc", limit=1000)
    return list(bus.log.query(query).events)


def test_an_event_goes_out_once_as_a_signed_cloudevent(bus: EventBus, http: HttpReceiver) -> None:
    webhook = create(start(bus), f"{http.url}/in?token=1")
    bus.publish("other.thing")
    event = bus.publish("order.placed", {"n": 1, "who": "Zoë"}, subject="o-1").wait()
    assert bus.drain(LONG_S)
    (taken,) = http.taken
    assert taken.path == "/in?token=1"
    headers = lower(taken)
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert decode(headers, taken.body).events == [event]
    assert json.loads(taken.body)["sequence"] == event.sequence
    # The signature as the specification says it, without the code that made it.
    key = base64.b64decode(webhook.secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + taken.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == event.id
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


def test_the_signature_is_that_of_the_specifications_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, its libraries' own test vector
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    keys = [key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    body = b'{"test": 2432232314}'
    verify(keys, headers, body, 1614265330.0)
    with pytest.raises(SignatureError, match="not within"):
        verify(keys, headers, body, 1614265330.0 + 301)
    with pytest.raises(SignatureError, match="no signature"):
        verify(keys, headers, body + b" ", 1614265330.0)


def test_in_binary_mode_the_attributes_are_headers(bus: EventBus, http: HttpReceiver) -> None:
    create(start(bus), http.url, mode="binary")
    event = bus.publish(
        "order.placed", {"n": 1}, subject='o 1 "ü%"', id="x:y.z", extensions={"shard": 3}
    ).wait()
    assert bus.drain(LONG_S)
    (taken,) = http.taken
    headers = lower(taken)
    assert headers["ce-subject"] == "o%201%20%22%C3%BC%25%22"
    (decoded,) = decode(headers, taken.body).events
    assert (decoded, decoded.subject, decoded.data) == (event, event.subject, {"n": 1})
    assert decoded.extensions == {"shard": "3"}
    assert headers["webhook-id"] == hashlib.sha256(b"/eventbus\0x:y.z").hexdigest()


def test_what_fails_is_tried_again_in_order_and_keeps_what_was_answered(
    bus: EventBus, http: HttpReceiver
) -> None:
    http.answers = [(500, {}, b"the database\n is down " + b"x" * 10_000), 404, 200]
    create(start(bus), f"{http.url}/secret-token-in-path")
    first = bus.publish("order.placed", {"n": 1}, subject="o-1").wait()
    bus.publish("order.paid", {"n": 2}, subject="o-1").wait()
    wait_until(lambda: len(http.taken) >= 4 and bus.drain(LONG_S), "all was taken")
    assert [json.loads(taken.body)["data"]["n"] for taken in http.taken] == [1, 1, 1, 2]
    assert len({lower(taken)["webhook-id"] for taken in http.taken[:3]}) == 1
    (delivery,) = bus.log.deliveries(first.sequence or 0)
    assert delivery.state == "succeeded"
    messages = [attempt.error_message for attempt in delivery.attempts if attempt.error_message]
    assert messages[0].startswith("127.0.0.1 answered 500 Internal Server Error: the database is")
    assert len(messages[0]) < 400
    assert "secret-token" not in " ".join(messages)


def test_after_the_last_attempt_it_is_a_dead_letter_that_can_be_redriven(
    bus: EventBus, http: HttpReceiver
) -> None:
    http.answers = [500, 503]
    create(start(bus), http.url, max_attempts=2)
    event = bus.publish("order.placed", {"n": 1}).wait()
    wait_until(lambda: states(bus, event.sequence) == [("dead", 2)], "it is dead")
    operation = bus.operations.redrive(Selection(), by="ana")
    wait_until(lambda: len(http.taken) == 3 and bus.drain(LONG_S), "it was sent again")
    assert operation is not None
    assert states(bus, event.sequence)[0][0] == "succeeded"


def test_an_endpoint_that_is_gone_is_paused_and_that_is_said(
    bus: EventBus, http: HttpReceiver
) -> None:
    http.answers = [410]
    create(start(bus), http.url)
    bus.publish("order.placed", {"n": 1}).wait()
    wait_until(lambda: events(bus, "subscription.paused"), "it is paused")
    (paused,) = events(bus, "subscription.paused")
    assert (paused["name"], paused["by"]) == ("webhook-shop", "webhook")
    assert "410 Gone" in paused["reason"]
    event = bus.publish("order.placed", {"n": 2}).wait()
    assert bus.drain(LONG_S)
    assert states(bus, event.sequence) == [("pending", 0)]
    bus.pauses.resume("webhook-shop", "ana")
    wait_until(lambda: len(http.taken) == 3, "both are sent when it is resumed")


def test_it_waits_as_long_as_the_endpoint_asks_within_the_longest_wait(
    url: str, http: HttpReceiver
) -> None:
    policy = RetryPolicy(max_attempts=5, base_delay_s=0.01, max_delay_s=0.6)
    with open_bus(url, retry=policy) as bus:
        http.answers = [(429, {"Retry-After": "3600"}, b"")]
        create(start(bus), http.url)
        started = time.monotonic()
        event = bus.publish("order.placed").wait()
        wait_until(lambda: len(http.taken) == 2, "it is sent again")
        assert 0.5 < time.monotonic() - started < within(5)
        (delivery,) = bus.log.deliveries(event.sequence or 0)
        assert delivery.attempts[0].error_class == "WebhookBusyError"


def test_a_redirect_is_not_followed(bus: EventBus, http: HttpReceiver) -> None:
    http.answers = [(302, {"Location": f"{http.url}/elsewhere"}, b"")]
    create(start(bus), f"{http.url}/here", max_attempts=1)
    event = bus.publish("order.placed").wait()
    wait_until(lambda: states(bus, event.sequence) == [("dead", 1)], "it is dead")
    assert [taken.path for taken in http.taken] == ["/here"]


def test_an_answer_that_never_ends_is_cut_off(bus: EventBus, http: HttpReceiver) -> None:
    http.answers = [drip]
    create(start(bus), http.url, timeout_s=1, max_attempts=1)
    event = bus.publish("order.placed").wait()
    wait_until(lambda: states(bus, event.sequence) == [("dead", 1)], "it is dead", within(8))
    (delivery,) = bus.log.deliveries(event.sequence or 0)
    assert "no answer within 1 s" in str(delivery.error_message)


_PRIVATE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
]  # fmt: skip


@pytest.mark.parametrize("private", _PRIVATE)
def test_a_private_address_is_refused_before_anything_is_sent(
    url: str, http: HttpReceiver, private: str
) -> None:
    with open_bus(url) as bus:
        create(start(bus, AddressPolicy(is_any=True)), private.format(port=http.port))
    with open_bus(url) as bus, pytest.raises(WebhookError, match="EVENTBUS_WEBHOOK_NETWORKS"):
        start(bus, AddressPolicy()).test("shop", "ana")
    assert http.taken == []


@pytest.mark.parametrize(
    "private",
    [
        *_PRIVATE, "http://169.254.169.254/latest", "http://2130706433/", "http://127.1/",
        "http://[fe80::1]/", "https://api.localhost./",
    ],
)  # fmt: skip
def test_an_address_that_may_not_be_sent_to_is_refused_at_once(bus: EventBus, private: str) -> None:
    webhooks = start(bus, AddressPolicy())
    with pytest.raises(WebhookError, match="EVENTBUS_WEBHOOK_NETWORKS allows") as refused:
        create(webhooks, private.format(port=80))
    assert "must lead to a public address" in str(refused.value)
    assert webhooks.all() == []
    create(webhooks, "https://shop.example.org/hooks")  # looked up for every delivery
    with pytest.raises(WebhookError, match="must lead to a public address"):
        webhooks.change("shop", read_changes({"url": private.format(port=80)}), "ana")


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("10.0.0.1", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("127.0.0.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
        ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False),
        ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:a00:1::1", False),
        ("10.9.0.1", False), ("10.1.2.3", True), ("nonsense", False),
    ],
)  # fmt: skip
def test_only_public_addresses_and_allowed_networks_may_be_sent_to(
    address: str, is_allowed: bool
) -> None:
    assert AddressPolicy.parse("10.1.0.0/16").allows(address) is is_allowed
    assert AddressPolicy.parse("*").allows(address)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "host", ",", ""])
def test_networks_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(AddressPolicyError):
        AddressPolicy.parse(text)


def test_a_rotated_secret_signs_beside_the_old_one_for_a_while(
    bus: EventBus, http: HttpReceiver
) -> None:
    webhooks = start(bus)
    old = create(webhooks, http.url)
    new = webhooks.rotate("shop", "bo", keep_s=3600)
    assert new is not None and new.secret != old.secret
    bus.publish("order.placed").wait()
    assert bus.drain(LONG_S)
    taken = http.taken[-1]
    for webhook in (old, new):  # who has either of them can verify it
        verify([key_of(webhook.secret)], lower(taken), taken.body, time.time())
    assert len(lower(taken)["webhook-signature"].split(" ")) == 2
    assert new.secrets_at(bus.now() + timedelta(hours=2)) == [new.secret]
    webhooks.rotate("shop", "bo", keep_s=0)
    webhooks.test("shop", "bo")
    with pytest.raises(SignatureError):
        verify([key_of(new.secret)], lower(http.taken[-1]), http.taken[-1].body, time.time())


def test_changes_are_events_that_say_who_and_nothing_secret(
    bus: EventBus, http: HttpReceiver
) -> None:
    webhooks = start(bus)
    made = create(webhooks, f"{http.url}/path-token")
    changed = webhooks.change("shop", read_changes({"pattern": "bill.*", "timeout_s": 3}), "bo")
    rotated = webhooks.rotate("shop", "cy")
    webhooks.test("shop", "di")
    webhooks.delete("shop", "ed")
    assert changed is not None and rotated is not None
    told = events(bus, "webhook.*")
    assert [(event.type, event["by"]) for event in told] == [
        ("webhook.created", "ana"), ("webhook.changed", "bo"), ("webhook.rotated", "cy"),
        ("webhook.tested", "di"), ("webhook.deleted", "ed"),
    ]  # fmt: skip
    assert told[1]["changed"] == ["pattern", "timeout_s"]
    text = " ".join(event.data_json for event in told)
    for secret in (made.secret, rotated.secret, "path-token"):
        assert secret not in text
        assert secret not in repr(made)


def test_a_changed_pattern_holds_for_what_comes_and_what_waits_is_kept(
    bus: EventBus, http: HttpReceiver
) -> None:
    webhooks = start(bus)
    create(webhooks, http.url)
    bus.pauses.pause("webhook-shop", "ana")
    bus.publish("order.placed", {"n": 1}).wait()
    webhooks.change("shop", read_changes({"pattern": "bill.*", "concurrency": 2}), "ana")
    bus.publish("order.placed", {"n": 2}).wait()
    bus.publish("bill.sent", {"n": 3}).wait()
    bus.pauses.resume("webhook-shop", "ana")
    wait_until(lambda: len(http.taken) >= 2 and bus.drain(LONG_S), "both were sent")
    assert sorted(json.loads(taken.body)["data"]["n"] for taken in http.taken) == [1, 3]


def test_webhooks_and_what_waits_for_them_survive_a_restart(url: str, http: HttpReceiver) -> None:
    with open_bus(url, retry=QUICK) as bus:
        made = create(start(bus), http.url)
        bus.pauses.pause("webhook-shop", "ana")
        bus.publish("order.placed", {"n": 1}).wait()
    with open_bus(url, retry=QUICK) as bus:
        webhooks = start(bus)
        assert webhooks.all() == [made]
        bus.pauses.resume("webhook-shop", "ana")
        http.wait_for(1)
        webhooks.delete("shop", "ana")
        assert webhooks.all() == []
        assert bus.subscriptions() == []
    with open_bus(url, retry=QUICK) as bus:
        assert start(bus).all() == []


def test_a_name_that_is_taken_is_refused(bus: EventBus, http: HttpReceiver) -> None:
    webhooks = start(bus)
    create(webhooks, http.url)
    body = {"name": "shop", "pattern": "a.*", "url": http.url}
    assert webhooks.create(read_terms(body), "ana") is None
    bus.subscribe("a.*", lambda event: None, name="webhook-mine")
    with pytest.raises(SubscriptionError):
        webhooks.create(read_terms({**body, "name": "mine"}), "ana")
    assert [webhook.name for webhook in webhooks.all()] == ["shop"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "No"), ("name", "a" * 64), ("name", 5), ("pattern", "a..b"), ("pattern", 5),
        ("url", "ftp://x"), ("url", "http://"), ("url", "http://a b"), ("url", 5),
        ("mode", "batch"), ("timeout_s", 0), ("timeout_s", "soon"), ("timeout_s", float("nan")),
        ("max_attempts", 2.5), ("max_attempts", 101), ("concurrency", True), ("secret", "short"),
        ("secret", "whsec_" + base64.b64encode(b"x" * 23).decode()), ("colour", "red"),
    ],
)  # fmt: skip
def test_wrong_terms_name_the_field(field: str, value: Any) -> None:
    body = {"name": "shop", "pattern": "a.*", "url": "http://example.org", field: value}
    with pytest.raises(EventValidationError) as caught:
        read_terms(body)
    assert [error.pointer for error in caught.value.errors] == [f"/{field}"]


def test_an_endpoint_that_is_asked_first_and_does_not_consent_gets_nothing(
    bus: EventBus, http: HttpReceiver
) -> None:
    webhooks = Webhooks(bus, LOCAL, "bus.example.org")
    webhooks.start()
    for consent, said in (
        ({}, "without WebHook-Allowed-Origin"),
        ({"WebHook-Allowed-Origin": "other.example.org"}, "allows 'other.example.org'"),
    ):
        http.consent = consent
        with pytest.raises(WebhookError, match=said):
            create(webhooks, http.url, handshake=True)
    assert webhooks.all() == [] and events(bus, "webhook.*") == []
    http.consent = {"WebHook-Allowed-Origin": "Bus.Example.org"}
    create(webhooks, http.url, handshake=True)
    bus.publish("order.placed").wait()
    assert bus.drain(LONG_S)
    assert lower(http.taken[0])["webhook-request-origin"] == "bus.example.org"
    http.consent = {}
    with pytest.raises(WebhookError):
        webhooks.change("shop", read_changes({"mode": "binary", "handshake": True}), "ana")
    http.consent = {"WebHook-Allowed-Origin": "*"}
    changed = webhooks.change("shop", read_changes({"mode": "binary", "handshake": True}), "ana")
    assert changed is not None and changed.mode == "binary"
    assert http.asked_by == ["bus.example.org"] * 5
    with pytest.raises(WebhookError, match="EVENTBUS_PUBLIC_URL"):
        create(Webhooks(bus, LOCAL), http.url, handshake=True)
