"""Retries and dead letters, given input that no page of ours sends: it is said, never a 500."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.helpers.api import Api
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

PAGE = {"accept": "text/html"}
FORM = {**PAGE, "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, "tests.helpers.trouble:app", EVENTBUS_MAX_ATTEMPTS="1") as server:
        api = server.api
        api.publish("trouble.flaky", {"failures": 1}, subject="s")
        wait_until(lambda: api.counters()["dead_letters"] == 1, "it is dead")
        yield api


def form(api: Api, path: str, **fields: object) -> tuple[int, str]:
    answer = api.request("POST", path, urlencode(fields, doseq=True), FORM)
    return answer.status, answer.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "do must be redrive or discard"),
        ({"do": "purge", "all": "yes"}, "do must be redrive or discard"),
        ({"do": "redrive"}, "delivery must be given, or all=yes"),
        ({"do": "redrive", "delivery": ["x"]}, "as 4711@mine"),
        ({"do": "redrive", "delivery": ["9" * 30 + "@flaky"]}, "as 4711@mine"),
        ({"do": "redrive", "delivery": [f"{n}@flaky" for n in range(501)]}, "at most 500"),
        ({"do": "redrive", "all": "yes", "type": "ev*"}, "type"),
        ({"do": "redrive", "all": "yes", "since": "tomorrow"}, "is not a time"),
    ],
)
@pytest.mark.parametrize("path", ["/retries/confirm", "/retries/operations"])
def test_a_question_about_nothing_that_can_be_meant_is_refused(
    api: Api, path: str, fields: dict[str, object], said: str
) -> None:
    status, text = form(api, path, **fields)
    assert status == 400
    assert said in text
    assert api.counters()["dead_letters"] == 1


def test_a_discard_without_a_reason_asks_again_and_keeps_what_was_chosen(api: Api) -> None:
    status, text = form(api, "/retries/operations", do="discard", all="yes", reason="  ")
    assert status == 422
    assert "a discard needs a reason" in text
    assert 'name="all" value="yes"' in text
    status, _ = form(api, "/retries/operations", do="discard", all="yes", reason="x" * 1_001)
    assert status == 422
    status, text = form(api, "/retries/operations", do="redrive", delivery="99@flaky")
    assert (status, "Nothing to redrive" in text) == (422, True)
    assert api.counters()["dead_letters"] == 1


def test_an_age_in_the_filter_becomes_a_moment_in_the_question(api: Api) -> None:
    text = api.request("GET", "/retries/confirm?do=redrive&all=yes&since=1h", None, PAGE).text
    assert "Redrive 1 dead letter?" in text
    assert 'name="since" value="20' in text, "what is asked about must not move while it is read"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/retries/evaluations", {}),
        ("/retries/evaluations", {"do": "retry"}),
        ("/retries/evaluations", {"do": "explode", "evaluation": "e"}),
        ("/retries/evaluations", {"do": "dismiss", "evaluation": "e"}),
        ("/retries/evaluations", {"do": "retry", "evaluation": "x" * 1_025}),
        ("/retries/evaluations", {"do": "retry", "all": "yes", "until": "soon"}),
        ("/retries/evaluations/confirm", {"do": "retry"}),
        ("/retries/evaluations/confirm", {"do": "retry", "evaluation": [*map(str, range(501))]}),
        ("/retries/evaluations/confirm", {"do": "explode", "all": "yes"}),
        ("/retries/now", {}),
        ("/retries/now", {"delivery": "flaky"}),
    ],
)
def test_wrong_forms_are_answered_with_what_is_wrong(
    api: Api, path: str, fields: dict[str, object]
) -> None:
    status, text = form(api, path, **fields)
    assert status == 400
    assert "must be" in text


def exhausted(api: Api, error: str, numbers: range) -> None:
    api.post("/api/events", [
        {"type": "evaluation.exhausted", "data": {"eval_id": f"{error}-{n}", "error": error}}
        for n in numbers
    ])  # fmt: skip


def in_inbox(api: Api, error: str, count: int) -> None:
    """Wait until so many of a class of error are there; they may come in any order."""
    path = f"/retries/evaluations/confirm?do=dismiss&all=yes&error_class={error}"
    said = f"Dismiss {count} evaluations?"
    wait_until(lambda: said in api.request("GET", path, None, PAGE).text, "all are in the inbox")


def begun(api: Api, **fields: object) -> str:
    """Where the operation is in the API that a form has begun."""
    body = urlencode({"all": "yes", **fields})
    answer = api.request("POST", "/retries/evaluations", body, FORM)
    assert answer.status == 303, answer.text
    path = answer.headers["location"]
    assert path.startswith("/retries/operations/")
    assert api.request("GET", path, None, PAGE).status == 200
    return path.replace("/retries/", "/api/")


def finished(api: Api, operation: str) -> dict[str, Any]:
    def has_ended() -> bool:
        return bool(api.get(operation).json["state"] != "running")

    wait_until(has_ended, "it has ended", 60.0)
    return dict(api.get(operation).json)


def test_all_evaluations_of_a_class_of_error_are_retried_by_an_operation(api: Api) -> None:
    for start in range(0, 600, 200):
        exhausted(api, "RateLimitError", range(start, start + 200))
    exhausted(api, "KeyError", range(2))
    in_inbox(api, "RateLimitError", 600)
    in_inbox(api, "KeyError", 2)
    path = "/retries/evaluations/confirm?do=retry&all=yes&error_class=RateLimitError"
    question = api.request("GET", path, None, PAGE).text
    assert "Retry 600 evaluations?" in question
    (until,) = re.findall(r'name="until" value="(\d+)"', question)
    exhausted(api, "RateLimitError", range(600, 601))
    ended = finished(
        api, begun(api, do="retry", error_class="RateLimitError", until=until, reason="more room")
    )
    assert (ended["state"], ended["total"], ended["done"]) == ("finished", 600, 600)
    assert (ended["by"], ended["reason"]) == ("dashboard", "more room")
    assert ended["selection"] == {"error_class": "RateLimitError", "last": int(until)}

    def left() -> str:
        text = api.request("GET", "/retries/evaluations/confirm?do=retry&all=yes", None, PAGE).text
        return "".join(re.findall(r"Retry \d+ evaluations\?|\d+ left out", text))

    wait_until(lambda: left() == "Retry 3 evaluations?600 left out", "600 are retried, 3 are not")
    status, text = form(api, "/retries/evaluations", do="dismiss", all="yes", reason=" ")
    assert (status, "characters that say why" in text) == (422, True)
    dismissal = begun(api, do="dismiss", reason="of a test")
    assert finished(api, dismissal)["done"] == 603
    wait_until(
        lambda: "Evaluations out of" not in api.request("GET", "/retries", None, PAGE).text,
        "none needs a person any more",
    )
    page = api.request("GET", dismissal.replace("/api/", "/retries/"), None, PAGE).text
    assert "of 603 dismissed" in page
    assert "RateLimitError-600" in page and "closed by dashboard: of a test" in page


def test_a_retry_at_a_rate_is_stopped_by_the_api_and_leaves_the_rest(api: Api) -> None:
    exhausted(api, "Slow", range(3))
    in_inbox(api, "Slow", 3)
    for rate in ("0", "-1", "nan", "soon", "1e9"):
        status, text = form(api, "/retries/evaluations", do="retry", all="yes", rate=rate)
        assert (status, "must be a number above 0" in text) == (422, True), rate
    operation = begun(api, do="retry", error_class="Slow", rate="0.0001")
    wait_until(lambda: api.get(operation).json["done"] == 1, "the first is retried")
    api.post(f"{operation}/stop", {"by": "bob"})
    stopped = finished(api, operation)
    assert (stopped["state"], stopped["stopped_by"], stopped["done"]) == ("stopped", "bob", 1)
    path = "/retries/evaluations/confirm?do=retry&all=yes&error_class=Slow"
    wait_until(
        lambda: "Retry 2 evaluations?" in api.request("GET", path, None, PAGE).text, "two are left"
    )
    (asked,) = [
        event for event in api.get("/api/events", type="evaluation.retry").json["events"]
        if event["data"]["eval_id"].startswith("Slow-")
    ]  # fmt: skip
    assert asked["data"]["eval_id"] == "Slow-0"
    finished(api, begun(api, do="dismiss", reason="the next test"))


def test_a_retry_of_all_goes_on_after_the_server_was_killed(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    exhausted(server.api, "Killed", range(3))
    in_inbox(server.api, "Killed", 3)
    operation = begun(server.api, do="retry", rate="0.0001")
    wait_until(lambda: server.api.get(operation).json["done"] == 1, "the first is retried")
    server.kill9()
    server.start()
    wait_until(lambda: server.api.get(operation).json["done"] == 2, "it goes on with the second")
    asked = server.api.get("/api/events", type="evaluation.retry").json["events"]
    assert sorted(event["data"]["eval_id"] for event in asked) == ["Killed-0", "Killed-1"]


def test_so_many_picked_ones_that_it_takes_a_while_are_an_operation(api: Api) -> None:
    exhausted(api, "Picked", range(60))
    in_inbox(api, "Picked", 60)
    ids = [f"Picked-{n}" for n in range(55)]
    body = urlencode({"do": "dismiss", "evaluation": ids, "reason": "known"}, doseq=True)
    answer = api.request("POST", "/retries/evaluations", body, FORM)
    operation = answer.headers["location"].replace("/retries/", "/api/")
    assert finished(api, operation)["done"] == 55
    page = api.request("GET", answer.headers["location"], None, PAGE).text
    assert "55 picked evaluations" in page
    (began,) = api.get(
        "/api/events", type="bus.dismissal.started", subject=f"operation-{operation[16:]}"
    ).json["events"]
    assert began["data"]["selection"]["evaluations"] == ids
    nobody = {"do": "dismiss", "evaluation": [f"x{n}" for n in range(51)], "reason": "known"}
    status, text = form(api, "/retries/evaluations", **nobody)
    assert (status, "Nothing to dismiss" in text) == (422, True)
    status, _ = form(api, "/retries/evaluations", do="dismiss", reason="x",
                     evaluation=[f"Picked-{n}" for n in range(55, 60)])  # fmt: skip
    assert status == 303


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/retries/dead?cursor=nonsense", 400),
        ("/retries/dead?type=ev*", 400),
        ("/retries?cursor=nonsense", 400),
        ("/retries/now?cursor=nonsense", 400),
        ("/retries/operations?cursor=nonsense", 400),
        ("/retries/operations/999", 404),
        ("/retries/operations/" + "9" * 40, 404),
        ("/retries/operations/x", 404),
        ("/retries/dead?type=&subscription=", 302),
        ("/retries/dead?subscription=" + "x" * 2_000, 200),
    ],
)
def test_wrong_links_say_so(api: Api, path: str, status: int) -> None:
    assert api.request("GET", path, None, PAGE).status == status
    assert form(api, "/retries/operations/999/stop")[0] == 404
