"""The logging handler: records become events, and nothing that it does reaches the program."""

from __future__ import annotations

import logging
import logging.config
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from eventbus.integrations.log_handler import EventBusHandler
from tests.helpers.recording_bus import Json, RecordingBus
from tests.helpers.server import ROOT, clean_environment
from tests.helpers.waiting import within


@pytest.fixture
def bus() -> Iterator[RecordingBus]:
    with RecordingBus() as bus:
        yield bus


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("shop.orders")
    found.setLevel(logging.DEBUG)
    found.propagate = False
    yield found
    for handler in list(found.handlers):
        found.removeHandler(handler)
        handler.close()
    found.propagate = True


def log_to(bus: RecordingBus, logger: logging.Logger, **options: Any) -> EventBusHandler:
    handler = EventBusHandler(bus.url, **options)
    logger.addHandler(handler)
    return handler


def published(handler: EventBusHandler, bus: RecordingBus) -> list[Json]:
    handler.flush()
    return bus.events


def test_a_record_becomes_an_event_with_its_place_its_extras_and_its_time(bus, logger) -> None:
    handler = log_to(bus, logger)
    logger.warning("order %d is late", 7, extra={"eval_id": "eval-1", "shop": {"id": 3}})
    (event,) = published(handler, bus)
    assert (event["type"], event["subject"], event["source"]) == (
        "log.warning", "eval-1", "/logging",
    )  # fmt: skip
    data = event["data"]
    assert data["message"] == "order 7 is late"
    assert data["extra"] == {"eval_id": "eval-1", "shop": {"id": 3}}
    assert (data["logger"], data["levelno"]) == ("shop.orders", logging.WARNING)
    assert data["file"].endswith("test_log_handler.py")
    assert data["function"].startswith("test_a_record")


@pytest.mark.parametrize(
    ("template", "level", "expected"),
    [
        ("log.{level}", logging.ERROR, "log.error"),
        ("log.{level}", 15, "log.level_15"),
        ("app.{logger}.{level}", logging.INFO, "app.shop.orders.info"),
        ("app.{logger}", logging.INFO, "app.shop.orders"),
    ],
)
def test_the_type_comes_from_a_template(bus, logger, template, level, expected) -> None:
    handler = log_to(bus, logger, type=template)
    logger.log(level, "x")
    assert [event["type"] for event in published(handler, bus)] == [expected]


def test_a_loggers_name_of_any_kind_makes_a_type(bus) -> None:
    handler = EventBusHandler(bus.url, type="log.{logger}")
    for name in ("a..b ☃/c", "." * 5, "x." * 40, "y" * 400, "\ud800\x00"):
        handler.handle(
            logging.makeLogRecord({"name": name, "msg": "m", "levelno": 20, "levelname": "INFO"})
        )
    types = [event["type"] for event in published(handler, bus)]
    assert types[:2] == ["log.a.b_c", "log._"]
    assert len(types) == 5
    handler.close()


@pytest.mark.parametrize("template", ["log.{what}", "", "log..{level}", "log.*", "{"])
def test_a_template_that_gives_no_type_is_refused_at_once(template) -> None:
    with pytest.raises(ValueError, match="{level}|event type"):
        EventBusHandler("http://127.0.0.1:9", type=template)


def test_without_a_url_it_says_where_one_could_come_from(monkeypatch) -> None:
    monkeypatch.delenv("EVENTBUS_URL", raising=False)
    with pytest.raises(ValueError, match="EVENTBUS_URL"):
        EventBusHandler()


def test_an_exception_comes_with_its_traceback(bus, logger) -> None:
    handler = log_to(bus, logger)
    try:
        raise KeyError("no such \ud800 order")
    except KeyError:
        logger.exception("failed")
    (event,) = published(handler, bus)
    exception = event["data"]["exception"]
    assert exception["type"] == "KeyError"
    assert "no such" in exception["message"]
    assert "in test_an_exception_comes_with_its_traceback" in exception["traceback"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_what_cannot_be_shown_is_said_and_breaks_nothing(bus, logger, capsys) -> None:
    handler = log_to(bus, logger)
    loop: list[Any] = []
    loop.append(loop)
    for message, arguments in (("%s", (Unprintable(),)), ("%d and %d", (1,))):
        record = logging.makeLogRecord(
            {"name": "a", "msg": message, "args": arguments, "levelno": 20, "levelname": "INFO"}
        )
        handler.handle(record)  # past pytest's own handler, which raises here
    logger.info(
        "x", extra={"a": Unprintable(), "b": loop, "c": 10**5000, "d": b"\xff", "e": float("nan"),
                    "f": {"k": "☃" * 300_000}, "g": [["z" * 900] * 100] * 100},
    )  # fmt: skip
    logger.info("m" * 1_000_000)
    events = published(handler, bus)
    assert len(events) == 4
    assert "RuntimeError" in events[0]["data"]["message"]
    assert "cannot be shown" in events[2]["data"]["extra"]["a"]
    assert events[2]["data"]["extra"]["e"] == "nan"
    assert len(events[3]["data"]["message"]) == 8_000
    assert capsys.readouterr().err == ""


def test_an_extra_that_is_no_correlation_does_not_cost_the_message(bus, logger) -> None:
    handler = log_to(bus, logger)
    logger.info("kept", extra={"traceparent": "nonsense", "eval_id": "\x00"})
    (event,) = published(handler, bus)
    assert event["data"]["message"] == "kept"
    assert event["data"]["is_cut"]


def test_a_trace_is_the_events_with_its_tracestate(bus, logger) -> None:
    handler = log_to(bus, logger)
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    logger.info("in a trace", extra={"traceparent": trace, "tracestate": "v=1"})
    logger.info("in none", extra={"tracestate": "v=1"})
    found = [(each.get("traceparent"), each.get("tracestate")) for each in published(handler, bus)]
    assert found == [(trace, "v=1"), (None, None)]


def test_the_clients_own_records_are_never_published(bus) -> None:
    root = logging.getLogger()
    handler = EventBusHandler(bus.url)
    root.addHandler(handler)
    try:
        logging.getLogger("eventbus.client").warning("away")
        logging.getLogger("eventbus").error("so")
        logging.getLogger("eventbusiness").error("not ours")
        assert [e["data"]["logger"] for e in published(handler, bus)] == ["eventbusiness"]
    finally:
        root.removeHandler(handler)
        handler.close()


def test_what_is_logged_while_a_record_is_published_is_left_out(bus, logger) -> None:
    handler = log_to(bus, logger)

    class Chatty:
        def __str__(self) -> str:
            logger.warning("asked for my text: %s", self)
            return "chatty"

    logger.warning("one", extra={"who": Chatty()})
    assert [event["data"]["message"] for event in published(handler, bus)] == ["one"]


def test_beyond_the_rate_records_are_dropped_and_counted_but_errors_have_their_own(
    bus, logger
) -> None:
    handler = log_to(bus, logger, max_per_s=0.5)
    started = time.monotonic()
    for number in range(300):
        logger.info("%d", number)
    logger.error("seen all the same")
    handler.close()
    types = [event["type"] for event in bus.events]
    dropped = [e["data"] for e in bus.events if e["type"] == "log.dropped"]
    assert types.count("log.error") == 1
    told = sum(data["count"] for data in dropped)
    assert types.count("log.info") + told == 300
    assert told >= 280
    most = 3 + int(time.monotonic() - started)
    assert len(dropped) <= most, "told at most once a second"
    assert sum(data["levels"]["info"] for data in dropped) == told
    assert set(dropped[0]["loggers"]) == {"shop.orders"}


def test_a_bus_that_is_away_slows_nothing_down(logger) -> None:
    handler = EventBusHandler("http://127.0.0.1:9", max_per_s=1e6)
    logger.addHandler(handler)
    started = time.monotonic()
    for number in range(2_000):
        logger.info("%d", number)
    assert time.monotonic() - started < within(3.0)
    handler.close()
    assert time.monotonic() - started < within(6.0)
    logger.info("after the end")


def test_threads_that_log_while_drops_are_told_do_not_wait_for_each_other(bus, logger) -> None:
    handler = log_to(bus, logger, max_per_s=20)
    stop = time.monotonic() + 1.5

    def work() -> None:
        while time.monotonic() < stop:
            logger.info("x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    handler.close()


def test_it_is_configured_by_a_dict_and_flushed_at_exit(bus) -> None:
    script = f"""
import logging, logging.config
logging.config.dictConfig({{
    "version": 1,
    "handlers": {{"bus": {{
        "class": "eventbus.integrations.log_handler.EventBusHandler",
        "url": {bus.url!r}, "type": "shop.{{level}}", "level": "INFO", "max_per_s": 0.001,
    }}}},
    "root": {{"handlers": ["bus"], "level": "DEBUG"}},
}})
for number in range(10):
    logging.getLogger("a").info("%d", number)
logging.getLogger("a").debug("not this")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean_environment(), timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    types = [event["type"] for event in bus.events]
    assert types.count("shop.info") == 1
    assert [e["data"]["count"] for e in bus.events if e["type"] == "log.dropped"][-1:] != []
    told = sum(e["data"]["count"] for e in bus.events if e["type"] == "log.dropped")
    assert told == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_publishes_for_itself(bus) -> None:
    script = f"""
import logging, os
from eventbus.integrations.log_handler import EventBusHandler
handler = EventBusHandler({bus.url!r}, max_per_s=0.001)
log = logging.getLogger("a"); log.addHandler(handler); log.setLevel("INFO")
for _ in range(4): log.info("parent")
child = os.fork()
if child == 0:
    log.info("child"); handler.flush(); os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean_environment(), timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    messages = [e["data"].get("message") for e in bus.events]
    assert messages.count("child") == 1
    assert messages.count("parent") == 1
    assert sum(e["data"]["count"] for e in bus.events if e["type"] == "log.dropped") == 3
