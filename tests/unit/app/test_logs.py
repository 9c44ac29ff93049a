"""Log lines: one line a message, and nothing that came from outside forges another."""

from __future__ import annotations

import io
import json
import logging
import sys
from datetime import datetime
from pathlib import Path

from app.logs import EventIds, JsonFormatter, OneLineFormatter
from eventbus import Event
from tests.helpers.bus import open_bus


def line(message: str, *values: object, exc_info: object = None) -> str:
    record = logging.LogRecord("here", logging.INFO, "f.py", 1, message, values, exc_info)
    return OneLineFormatter("%(levelname)s %(message)s").format(record)


def test_a_line_break_in_a_value_is_escaped() -> None:
    assert line("started %s", "eval-1\nERROR forged") == r"INFO started eval-1\nERROR forged"


def test_terminal_escapes_and_lone_surrogates_are_escaped() -> None:
    assert line("%s", "\x1b[2J\ud800\u2028") == r"INFO \x1b[2J\ud800\u2028"


def test_ordinary_text_stays_as_it_is() -> None:
    assert line("%s", "Größe\t→ 3") == "INFO Größe\t→ 3"


def test_a_traceback_follows_indented() -> None:
    try:
        raise ValueError("bad\rvalue")
    except ValueError:
        text = line("failed", exc_info=sys.exc_info())
    first, *rest = text.split("\n")
    assert first == "INFO failed"
    assert all(part.startswith("    ") for part in rest)
    assert rest[-1] == r"    ValueError: bad\rvalue"


def as_json(record: logging.LogRecord) -> dict[str, object]:
    EventIds().filter(record)
    text = JsonFormatter().format(record)
    assert "\n" not in text and text.isascii()
    parsed: dict[str, object] = json.loads(text)
    return parsed


def record(message: str, *values: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("here", logging.WARNING, "f.py", 1, message, values, None)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_json_line_has_time_level_logger_and_message() -> None:
    line = as_json(record("started %s", 'eval-1\n{"level": "error"}\u2028'))
    assert line["level"] == "warning"
    assert line["logger"] == "here"
    assert line["message"] == 'started eval-1\n{"level": "error"}\u2028'
    assert datetime.fromisoformat(str(line["time"])).tzinfo is not None
    assert "event_id" not in line


def test_an_exception_is_a_member_of_the_line() -> None:
    try:
        raise ValueError("bad\nvalue")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    assert "ValueError: bad\nvalue" in str(as_json(made)["exception"])


def test_what_a_handler_logs_names_its_event(tmp_path: Path) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(EventIds())
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("eventbus.test_logs")
    logger.addHandler(handler)

    def sync(event: Event) -> None:
        logger.warning("in a thread")

    async def on_loop(event: Event) -> None:
        logger.warning("on the loop")

    try:
        with open_bus(f"sqlite:///{tmp_path / 'e.db'}") as bus:
            bus.subscribe("a.b", sync, name="one")
            bus.subscribe("a.b", on_loop, name="two")
            event = bus.publish("a.b", {}, correlationid="chain").event
            assert bus.drain(10)
    finally:
        logger.removeHandler(handler)
    lines = {line["message"]: line for line in map(json.loads, stream.getvalue().splitlines())}
    for message, name in (("in a thread", "one"), ("on the loop", "two")):
        line = lines[message]
        assert (line["event_id"], line["correlation_id"]) == (event.id, "chain")
        assert (line["subscription"], line["attempt"]) == (name, 1)


def test_text_lines_show_the_ids_that_the_message_does_not() -> None:
    formatter = OneLineFormatter("%(message)s")
    ids = {"event_id": "e-1", "correlation_id": "c-1", "subscription": "mine", "attempt": 2}
    assert formatter.format(record("stored", **ids)) == (
        "stored [event_id=e-1 correlation_id=c-1 subscription=mine attempt=2]"
    )
    assert formatter.format(record("failed for e-1", **ids)) == (
        "failed for e-1 [correlation_id=c-1]"
    )
    forged = formatter.format(record("stored", **{**ids, "event_id": "e\nERROR"}))
    assert "\n" not in forged
