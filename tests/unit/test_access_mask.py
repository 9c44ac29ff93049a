"""Rules of masks: what they mean, which are refused and why, and who looks through them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from app.access.mask import Mask
from app.access.mask_rules import MaskRule
from app.access.principal import EVERYBODY, LOCAL, Principal
from app.access.scopes import Role, Scope
from app.config import Settings, SettingsError
from eventbus import EventBus
from eventbus.lens import look_through, looking_through
from tests.helpers.waiting import wait_until


def masked(rules: str, data: object, type: str = "vendor.x") -> object:
    return json.loads(Mask(MaskRule.read_all(rules), "operator").text(type, json.dumps(data)))


@pytest.mark.parametrize(
    ("pointer", "data", "left"),
    [
        ("/a", {"a": 1, "b": 2}, {"a": "•••", "b": 2}),
        ("/a", {"b": {"a": 1}}, {"b": {"a": 1}}),
        ("/a/b", {"a": {"b": [1], "c": 2}}, {"a": {"b": "•••", "c": 2}}),
        ("/a/*", {"a": [1, {"b": 2}]}, {"a": ["•••", "•••"]}),
        ("/a/*/b", {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": "•••", "c": 2}]}),
        ("/a/1", {"a": [1, 2]}, {"a": [1, "•••"]}),
        ("/a~1b/~0", {"a/b": {"~": 1}}, {"a/b": {"~": "•••"}}),
        ("/", {"": 1}, None),
        ("/*", {"eval_id": "e", "a": 1, "b": None}, {"eval_id": "e", "a": "•••", "b": "•••"}),
        # in another shape than expected more is hidden
        ("/a/b", {"a": "text"}, {"a": "•••"}),
        ("/a/b", {"a": [{"b": 1}]}, {"a": "•••"}),
        ("/a/*/b", {"a": ["text", None]}, {"a": ["•••", None]}),
        ("/a/b", {"a": None}, {"a": None}),
    ],
)
def test_a_pointer_hides_what_it_leads_to(pointer: str, data: object, left: object) -> None:
    if left is None:
        with pytest.raises(ValueError, match="without a name"):
            MaskRule.read_all(f"vendor.*: {pointer}")
    else:
        assert masked(f"vendor.*: {pointer}", data) == left


def test_a_rule_for_all_members_spares_what_the_built_in_handlers_read() -> None:
    data = {"eval_id": "e", "result": {"n": 1}, "messages": ["m"]}
    left = {**data, "messages": "•••"}
    assert masked("#: /*", data, "evaluation.completed") == left
    assert masked("#: /*", {"service": 1, "host": 2}, "alert.custom") == {
        "service": 1, "host": "•••",
    }  # fmt: skip
    assert masked("vendor.*: /a", {"a": 1}, "vendors.x") == {"a": 1}


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("evaluation.*: /error", "/error cannot be hidden: the built-in handlers read it of evalu"),
        ("#: /result", "/result cannot be hidden"),
        ("evaluation.completed: /result/accuracy", "/result cannot be hidden"),
        ("monitoring.#: /value", "monitoring.metric.recorded"),
        ("storage.+.created: /path", "/path cannot be hidden"),
        ("alert.custom: /error/message", "alert.*"),  # a type that nobody has declared
        ("evaluation.started: /timestamp", "evaluation.+"),  # passed on under the same name
        ("vendor.*: /eval_id", "the subject of events is made of it"),
        ("vendor.*: /task_id", "the subject of events is made of it"),
        ("vendor.*", "has no fields"),
        ("vendor.*: name", "begins with a slash"),
        ("ven*: /a", "a wildcard in a pattern must be a whole segment"),
        ("vendor.*: /a~2", "neither ~0"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused_at_the_start(rules: str, why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"EVENTBUS_MASK": rules})
    assert why in str(refused.value) and "EVENTBUS_MASK" in str(refused.value)


def test_the_example_of_the_documentation_is_taken() -> None:
    text = "vendor.*: /customer/email, /prompt; model.call.*: /messages/*/content"
    settings = Settings.from_environment({"EVENTBUS_MASK": text, "EVENTBUS_MASK_BELOW": "admin"})
    assert [rule.pattern.text for rule in settings.mask] == ["vendor.*", "model.call.*"]
    assert settings.mask_below == "admin"
    with pytest.raises(SettingsError, match="operator or admin"):
        Settings.from_environment({"EVENTBUS_MASK_BELOW": "viewer"})


@pytest.mark.parametrize(
    ("scopes", "below", "is_masked"),
    [
        ({"read"}, "operator", True),
        ({"read", "publish", "consume"}, "operator", True),
        ({"read", "payloads"}, "operator", False),
        ({"read", "payloads"}, "admin", False),
        ({"read", "operate"}, "operator", False),
        ({"read", "operate"}, "admin", True),
        ({"admin"}, "admin", False),
    ],
)
def test_who_sees_whole_payloads(scopes: set[Scope], below: Role, is_masked: bool) -> None:
    mask = Mask(MaskRule.read_all("a: /b"), below)
    assert mask.is_for(Principal("token", scopes=frozenset(scopes))) == is_masked
    assert not mask.is_for(EVERYBODY) and not mask.is_for(LOCAL)


def test_a_masked_thread_reads_masks_but_writes_and_handles_whole(tmp_path: Path) -> None:
    mask = Mask(MaskRule.read_all("vendor.*: /secret"), "operator")
    handled: list[object] = []
    elsewhere: list[object] = []
    with EventBus.open(f"sqlite:///{tmp_path / 'e.db'}") as bus:
        bus.subscribe("vendor.*", lambda event: handled.append(event["secret"]), name="all")
        with looking_through(mask):
            event = bus.publish("vendor.a", {"secret": "x"}).wait()
            bus.publish("vendor.b", {"secret": "y"}, delay=0.05).wait()
            found = bus.log.get(event.id)
            assert found is not None and found["secret"] == "•••"
            wait_until(lambda: sorted(map(str, handled)) == ["x", "y"], "both are handled")
            other = threading.Thread(
                target=lambda: elsewhere.extend(each["secret"] for each in bus.log.read(0).events)
            )
            other.start()
            other.join()
        look_through(None)
        assert elsewhere == ["x", "y"]
        assert [each["secret"] for each in bus.log.read(0).events] == ["x", "y"]
