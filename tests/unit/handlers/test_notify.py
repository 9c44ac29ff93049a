"""Notifications on a real bus, to a real HTTP server and a real SMTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from eventbus import Event, EventBus, Pattern, RetryPolicy
from eventbus.log import EventQuery, Selection
from eventbus.testing import FakeClock
from handlers import HandlerSettings, install
from handlers.errors import ChannelError, NotificationRefusedError
from handlers.notify import Channel, MailServer, Notifier, NotifySettings, RateLimit, parse_channels
from handlers.rebuild import rebuild
from tests.helpers.bus import LONG_S, open_bus
from tests.helpers.receivers import HttpReceiver, SmtpReceiver, drip
from tests.helpers.waiting import wait_until, within

BASE = "http://bus.test"
QUICK = RetryPolicy(max_attempts=5, base_delay_s=0.01, max_delay_s=0.05)


@pytest.fixture
def bus(url: str) -> Iterator[EventBus]:
    with open_bus(url, retry=QUICK) as bus:
        yield bus


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


def start(bus: EventBus, channels: str, **options: Any) -> Notifier:
    """The notifier of these channels, and the handlers that ask it."""
    settings = NotifySettings(parse_channels(channels), **{"max_attempts": 4, **options})
    notifier = Notifier(bus, settings, BASE, "/eventbus")
    notifier.start()
    install(bus, HandlerSettings(announces_alerts=True))
    return notifier


def alert(bus: EventBus, kind: str = "X", severity: str = "critical", **more: Any) -> None:
    error = {"type": kind, "message": f"{kind} is broken"}
    bus.publish(f"alert.{severity}", {"service": "runner", "error": error, **more})


def told(bus: EventBus, outcome: str) -> list[Event]:
    """What became of notifications, oldest first."""
    query = EventQuery(pattern=Pattern(f"notification.{outcome}"), order="asc", limit=1000)
    return bus.log.query(query).events


def test_a_webhook_gets_each_change_once_as_a_cloudevent_and_no_mere_occurrence(
    bus: EventBus, http: HttpReceiver
) -> None:
    start(bus, f"hook webhook {http.url}/a?b=1")
    alert(bus, eval_id="e1")
    alert(bus)
    assert bus.drain(LONG_S)
    id = http.wait_for(1)[0]
    first = json.loads(id.body)
    alert_id = first["subject"]
    bus.publish("alert.resolved", {"alert_id": alert_id, "by": "ana"})
    bus.publish("alert.resolved", {"alert_id": alert_id, "by": "bo"})  # changes nothing
    alert(bus)
    assert bus.drain(LONG_S)
    bodies = [json.loads(taken.body) for taken in http.wait_for(3)]
    assert [body["type"] for body in bodies] == [
        "alert.raised",
        "alert.resolved",
        "alert.regressed",
    ]
    assert first["data"] == {
        "alert_id": alert_id, "change": "raised", "severity": "critical", "state": "open",
        "service": "runner", "error_type": "X", "error": "X is broken", "eval_id": "e1",
        "occurrences": 1, "by": None, "title": "[critical] runner: X raised",
        "url": f"{BASE}/alerts/{alert_id}",
    }  # fmt: skip
    assert (first["specversion"], first["source"]) == ("1.0", "/eventbus")
    assert bodies[1]["data"]["by"] == "ana"
    taken = http.taken[0]
    assert taken.path == "/a?b=1"
    assert taken.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert taken.headers["Idempotency-Key"] == first["id"]
    sent = told(bus, "sent")
    assert [event["change"] for event in sent] == ["raised", "resolved", "regressed"]
    assert sent[0].subject == "notify-hook" and sent[0]["answer"] == "200 OK"
    assert (
        rebuild(bus, HandlerSettings(announces_alerts=True), is_check=True).run().differences == 0
    )


def test_severities_and_changes_say_what_goes_where(bus: EventBus, http: HttpReceiver) -> None:
    start(
        bus,
        f"all webhook {http.url}/all for critical, warning, info; "
        f"bad slack {http.url}/bad for critical on regressed,worsened",
    )
    alert(bus, "A", "info")
    alert(bus, "B", "warning")
    assert bus.drain(LONG_S)
    alert(bus, "B", "critical")
    assert bus.drain(LONG_S)
    http.wait_for(4)
    assert bus.drain(LONG_S)
    assert sorted(taken.path for taken in http.taken) == ["/all", "/all", "/all", "/bad"]
    slack = json.loads(next(t.body for t in http.taken if t.path == "/bad"))
    assert slack["text"] == "[critical] runner: B worsened"
    assert slack["attachments"][0]["blocks"][0]["text"]["text"].startswith(
        f"*<{BASE}/alerts/alert-"
    )


def test_what_is_muted_is_silent_and_its_end_is_told_when_it_occurred_meanwhile(
    bus: EventBus, http: HttpReceiver
) -> None:
    start(bus, f"hook webhook {http.url}/ on raised, reopened, unmuted")
    alert(bus)
    assert bus.drain(LONG_S)
    alert_id = json.loads(http.wait_for(1)[0].body)["subject"]
    bus.publish("alert.muted", {"alert_id": alert_id, "by": "ana", "mode": "1h"})
    alert(bus, severity="critical")
    bus.publish("alert.unmuted", {"alert_id": alert_id, "by": "mute ended"})
    assert bus.drain(LONG_S)
    assert [json.loads(t.body)["type"] for t in http.wait_for(2)] == [
        "alert.raised", "alert.reopened",
    ]  # fmt: skip


def test_a_failure_is_tried_again_under_the_same_key_and_every_attempt_is_told(
    bus: EventBus, http: HttpReceiver
) -> None:
    notifier = start(bus, f"hook webhook {http.url}/secret-token")
    http.answers = [(503, {}, b"busy with secret-token"), 429]
    alert(bus)
    http.wait_for(3)
    wait_until(lambda: len(told(bus, "sent")) == 1, "it is sent")
    keys = {taken.headers["Idempotency-Key"] for taken in http.taken}
    assert len(keys) == 1
    failed = told(bus, "failed")
    assert [(event["attempt"], event["will_retry"]) for event in failed] == [(1, True), (2, True)]
    assert failed[0]["error"] == "127.0.0.1 answered 503 Service Unavailable: busy with ***"
    assert failed[0].causationid is not None
    (state,) = notifier.states()
    assert (state.health, state.waiting, state.dead) == ("working", 0, 0)


def test_what_is_refused_or_never_taken_is_a_dead_letter_that_can_be_redriven(
    bus: EventBus, http: HttpReceiver
) -> None:
    notifier = start(bus, f"hook webhook {http.url}/secret-token")
    http.answers = [404]
    alert(bus, "A")
    wait_until(lambda: notifier.states()[0].dead == 1, "it is given up at once")
    http.answers = [500] * 4
    alert(bus, "B")
    wait_until(lambda: notifier.states()[0].dead == 2, "it is given up after four attempts")
    assert len(http.taken) == 5
    assert [event["will_retry"] for event in told(bus, "failed")] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert notifier.states()[0].health == "failing"
    dead = bus.log.list_deliveries("dead").deliveries
    assert {delivery.subscription for delivery in dead} == {"notify-hook"}
    assert not any("secret-token" in f"{d.error_message} {d.attempts}" for d in dead)
    bus.operations.redrive(Selection(subscription="notify-hook"), "ana")
    wait_until(lambda: len(told(bus, "sent")) == 2, "both are sent")


def test_over_the_limit_changes_are_held_and_summed_up_exactly_once(
    url: str, http: HttpReceiver
) -> None:
    clock = FakeClock(datetime.now(UTC))
    with open_bus(url, clock=clock) as bus:
        start(bus, f"hook webhook {http.url}/", limit=RateLimit(2, 600))
        for letter in "ABCDE":
            alert(bus, f"{letter}Error")
        wait_until(lambda: len(told(bus, "held")) == 3, "three are held")
        clock.advance(600)
        http.wait_for(3)
        bodies = [json.loads(taken.body) for taken in http.taken]
        types = [body["type"] for body in bodies]
        assert types == ["alert.raised", "alert.raised", "alert.summary"]
        assert bodies[2]["data"]["title"] == "3 more changes of alerts: 3 raised"
        assert len(bodies[2]["data"]["titles"]) == 3
        wait_until(lambda: len(told(bus, "sent")) == 3, "the summary is sent")
        assert told(bus, "sent")[2]["count"] == 3


def test_what_was_held_is_summed_up_after_a_restart_too(url: str, http: HttpReceiver) -> None:
    clock = FakeClock(datetime.now(UTC))
    with open_bus(url, clock=clock) as bus:
        start(bus, f"hook webhook {http.url}/", limit=RateLimit(1, 600))
        alert(bus, "A")
        alert(bus, "B")
        wait_until(lambda: len(told(bus, "held")) == 1, "one is held")
    with open_bus(url, clock=clock) as bus:
        start(bus, f"hook webhook {http.url}/", limit=RateLimit(1, 600))
        alert(bus, "C")  # the window is known again from the log
        wait_until(lambda: len(told(bus, "held")) == 2, "it is held, too")
        clock.advance(600)
        wait_until(lambda: len(told(bus, "sent")) >= 2, "the summary is sent")
        types = [json.loads(taken.body)["type"] for taken in http.taken]
        assert types[:2] == ["alert.raised", "alert.summary"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((302, {"Location": "file:///etc/passwd"}, b""), "redirects are not followed"),
        ((301, {"Location": "http://other.test/x"}, b""), "a redirect to other.test"),
        (drip, "no answer within 0.5 s"),
        ((500, {}, b"x" * 100_000), "answered 500"),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), "nonsense"),
        (lambda handler: None, "127.0.0.1: "),
    ],
)
def test_a_bad_answer_is_an_error_in_bounded_time_and_size(
    bus: EventBus, http: HttpReceiver, answer: Any, error: str
) -> None:
    limit_s = 0.5 if answer is drip else 10.0
    notifier = start(bus, f"hook webhook {http.url}/", timeout_s=limit_s)
    http.answers = [answer]
    started = datetime.now(UTC)
    with pytest.raises(Exception, match=error) as caught:
        notifier.test("hook", "ana")
    assert (datetime.now(UTC) - started).total_seconds() < within(5)
    assert len(str(caught.value)) < 500
    assert len(http.taken) == 1  # nothing was followed
    (failed,) = told(bus, "failed")
    assert (failed["is_test"], failed["will_retry"], failed["by"]) == (True, False, "ana")


def test_nobody_at_the_other_end_is_said(bus: EventBus) -> None:
    notifier = start(bus, "hook webhook http://127.0.0.1:9/")
    with pytest.raises(Exception, match="127.0.0.1: Connection refused"):
        notifier.test("hook", "ana")


def test_mail_is_sent_with_login_and_a_steady_message_id(bus: EventBus) -> None:
    with SmtpReceiver(password="p/w") as smtp:
        server = MailServer.parse(f"smtp://user:p%2Fw@127.0.0.1:{smtp.port}")
        notifier = start(
            bus, "mail email ana@example.org, bo@example.org", server=server,
            mail_from="bus@example.org",
        )  # fmt: skip
        smtp.refusals = {"MAIL": ["451 try later"]}
        alert(bus, "Line\r\nBcc: evil@example.org")
        wait_until(lambda: len(told(bus, "sent")) == 1, "it is sent")
        ((recipients, letter),) = smtp.letters
        assert recipients == ["ana@example.org", "bo@example.org"]
        assert "Subject: [critical] runner: Line Bcc: evil@example.org raised" in letter
        assert "\nBcc:" not in letter.partition("\r\n\r\n")[0]
        assert "Message-ID: <" in letter and f"{BASE}/alerts/alert-" in letter
        assert told(bus, "failed")[0]["error"] == "127.0.0.1 answered 451 try later"
        smtp.refusals = {"AUTH": ["535 not p/w", "535 not p/w", "535 not p/w"]}
        with pytest.raises(NotificationRefusedError, match=r"535 not \*\*\*"):
            notifier.test("mail", "ana")
        smtp.refusals = {"RCPT": ["550 nobody here"]}
        assert notifier.test("mail", "ana") == "taken, but not for ana@example.org"


def test_a_server_without_encryption_is_refused_unless_that_was_said(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.notify.mail._LOOPBACK", ())  # as if it were another machine
    channels = (Channel("m", "email", "a@example.org"),)
    with SmtpReceiver() as smtp:
        careful = NotifySettings(channels, MailServer("smtp", "127.0.0.1", smtp.port))
        with pytest.raises(NotificationRefusedError, match="offers no STARTTLS"):
            Notifier(bus, careful, BASE, "/x").test("m", "ana")
        assert not smtp.letters
        careless = NotifySettings(channels, MailServer("smtp+insecure", "127.0.0.1", smtp.port))
        assert Notifier(bus, careless, BASE, "/x").test("m", "ana") == "taken"


def test_a_channel_that_is_no_more_configured_gets_nothing_and_holds_nothing_up(
    bus: EventBus, http: HttpReceiver
) -> None:
    start(bus, f"old webhook {http.url}/old; other webhook {http.url}/other")
    bus.detach("notify-old")
    bus.detach("notify-other")
    notifier = Notifier(
        bus, NotifySettings(parse_channels(f"other slack {http.url}/new")), BASE, "/eventbus"
    )
    notifier.start()
    assert {s.name for s in bus.subscriptions() if s.name.startswith("notify-")} == {"notify-other"}
    alert(bus)
    assert http.wait_for(1)[0].path == "/new"


def test_without_channels_an_alert_causes_no_further_event(bus: EventBus) -> None:
    install(bus)
    alert(bus)
    assert bus.drain(LONG_S)
    assert bus.log.last_sequence == 1


@pytest.mark.parametrize(
    "text",
    [
        "", "ops", "ops slack", "Ops slack https://a.test/x", "ops pager https://a.test/x",
        "ops slack ftp://a.test/x", "ops slack https:///x", "ops slack https://a.test/x#y",
        "ops slack file:///etc/passwd", "ops slack https://a.test/x for loud",
        "ops slack https://a.test/x on exploded", "ops slack https://a.test/x for info,info",
        "ops email nobody", "ops email a@b\nBcc: c@d", "ops slack https://a.test:99999/x",
        "a slack https://a.test/x; a slack https://a.test/y", "ops slack https://ü.test/x",
    ],
)  # fmt: skip
def test_a_channel_that_cannot_be_read_is_refused_without_repeating_its_url(text: str) -> None:
    with pytest.raises(ChannelError) as caught:
        parse_channels(text)
    assert "a.test" not in str(caught.value)


def test_a_channel_shows_no_secret_of_its_url() -> None:
    (channel,) = parse_channels(
        "ops webhook https://user:hunter22@hooks.test:8443/services/T0/token77?key=abc123 for info"
    )
    assert channel.shown_target == "https://hooks.test:8443/…"
    assert "token77" not in repr(channel)
    assert {"token77", "hunter22", "key=abc123"} <= set(channel.secrets)
    server = MailServer.parse("smtps://user:hunter22@mail.test")
    assert (server.port, server.password) == (465, "hunter22")
    assert "hunter22" not in f"{server} {server!r}"


def test_a_limit_is_read_and_written() -> None:
    assert str(RateLimit.parse("20/10m")) == "20/10m"
    assert RateLimit.parse("1/90s") == RateLimit(1, 90)
    for wrong in ("20", "0/1m", "5/0s", "5/25h", "-1/1m", "5/1d"):
        with pytest.raises(ValueError):
            RateLimit.parse(wrong)
