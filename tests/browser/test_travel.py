"""Time travel in the browser: going there, moving, playing, sharing it, and that it is marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from eventbus.timestamps import format_time, parse_time
from tests.helpers.pages import Visit
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.browser


class Story:
    """A server on which two evaluations have run, and when each of its events was recorded."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.started = self._tell("evaluation.started", {"eval_id": "told-1", "total": 9})
        self.alert = self._tell("alert.critical", {"service": "told", "error": "it burns"})
        self.second = self._tell("evaluation.started", {"eval_id": "told-2"})
        wait_until(lambda: self._seconds_since(self.second) > 2.2, "time has passed")
        self.end = self._tell("evaluation.completed", {"eval_id": "told-1", "result": 1})

    def _tell(self, type: str, data: dict[str, object]) -> int:
        return int(self.server.api.publish(type, data)["sequence"])

    def time(self, sequence: int) -> datetime:
        return parse_time(self.server.new_api().get("/api/stats", at=sequence).json["at"])

    def _seconds_since(self, sequence: int) -> float:
        return (datetime.now().astimezone() - self.time(sequence)).total_seconds()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield Story(server)


def counter(page: Page, name: str) -> str:
    return page.locator(f"#counter-{name} .counter-value").inner_text()


def test_the_live_page_as_it_was_is_plainly_the_past_and_changes_nothing(
    story: Story, visit: Visit
) -> None:
    page = visit(story.server, f"/?at={story.second}")
    expect(page).to_have_title(re.compile("^Past: 20"))
    expect(page.locator("body")).to_have_class(re.compile("in-past"))
    bar = page.get_by_role("region", name="Time travel")
    expect(bar).to_contain_text(f"event #{story.second} of #")
    assert (counter(page, "active"), counter(page, "completed")) == ("2", "0")
    assert counter(page, "dead_letters") == "0"
    expect(page.locator("#active")).to_contain_text("told-1")
    expect(page.locator("#alerts")).to_contain_text("it burns")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    sequences = page.locator("#stream-rows .row-seq").all_text_contents()
    assert sequences[0] == str(story.second)
    assert page.locator("[hx-ws\\:connect]").count() == 0
    expect(page.locator(".nav-count:visible")).to_have_count(0)
    # Elapsed times count up to then, and stand still.
    clock = page.locator("#active [data-elapsed-since]").first.inner_text()
    page.wait_for_function("() => performance.now() > 2100")
    assert page.locator("#active [data-elapsed-since]").first.inner_text() == clock == "0:00"
    page.get_by_role("link", name="All evaluations").click()
    page.wait_for_url(re.compile(r"/evaluations\?at=20"))
    expect(page.get_by_role("row", name=re.compile("told-1"))).to_contain_text("active")
    expect(page.get_by_role("checkbox")).to_have_count(0)  # a comparison would be of now
    page.get_by_role("link", name="told-1").click()
    expect(page).to_have_title(re.compile(r"^Past: 20.* · told-1"))
    expect(page.locator(".head-line")).to_contain_text("active")
    expect(page.get_by_role("region", name="Events")).not_to_contain_text("completed")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.get_by_role("link", name="One event on").click()  # metrics of what was started
    expect(page.locator("#travel-place")).not_to_contain_text(f"#{story.second} ")
    page.get_by_role("slider", name="Time").press("End")  # which is there when its script is
    expect(page.locator(".head-line")).to_contain_text("completed")
    page.get_by_role("link", name="Evaluations", exact=True).last.click()
    page.wait_for_url(re.compile(r"/evaluations\?at=20"))
    page.go_back()
    page.goto(f"/evaluations?at={story.second}")
    page.get_by_role("link", name="Back to now").click()
    page.wait_for_url(re.compile("/evaluations$"))
    expect(page.get_by_role("row", name=re.compile("told-1"))).to_contain_text("completed")
    expect(page.locator("body")).not_to_have_class(re.compile("in-past"))


def test_steps_and_the_range_move_in_time_and_the_address_can_be_shared(
    story: Story, visit: Visit
) -> None:
    page = visit(story.server, f"/?at={story.second}&type=evaluation.%2A")
    page.get_by_role("link", name="One event back").click()
    place = page.locator("#travel-place")
    expect(place).to_contain_text(f"event #{story.second - 1} of")
    expect(page).to_have_url(re.compile(f"at={story.second - 1}$|at={story.second - 1}&"))
    page.get_by_role("link", name="One event on").click()
    expect(place).to_contain_text(f"event #{story.second} of")

    slider = page.get_by_role("slider", name="Time")
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("#counter-completed .counter-value")).to_have_text("1")
    page.keyboard.press("Home")
    expect(place).to_contain_text(re.compile("event #[01] of"))
    begin = story.time(1).replace(microsecond=0)
    for _ in range(1 + int((story.time(story.second) - begin).total_seconds())):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#counter-active .counter-value")).to_have_text("2")
    expect(slider).to_be_focused()
    at = slider.evaluate("slider => encodeURIComponent(new Date(Number(slider.value)).toJSON())")
    expect(page).to_have_url(re.compile(f"at={re.escape(at)}"))
    assert "type=evaluation" in page.url and re.search("at=20[0-9-]+T", page.url)
    shared = visit(story.server, page.url.removeprefix(story.server.url))
    expect(shared.locator("#travel-place")).to_have_text(place.inner_text())
    assert shared.title() == page.title()


def test_playing_goes_on_at_the_chosen_speed_until_the_log_ends(story: Story, visit: Visit) -> None:
    at = format_time(story.time(story.started) - timedelta(seconds=20))
    page = visit(story.server, f"/?at={at}")
    assert counter(page, "active") == "0"
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="10×").click()
    expect(page.locator("#counter-completed .counter-value")).to_have_text("1", timeout=20_000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.locator("[data-travel-says]")).to_have_text("The end of the log is reached.")
    expect(page.locator("body")).to_have_class(re.compile("in-past"))


def test_a_time_is_chosen_from_the_page_of_now_and_an_age_becomes_an_address(
    story: Story, visit: Visit
) -> None:
    page = visit(story.server, "/evaluations")
    page.get_by_text("Go to a time…").click()
    page.get_by_role("link", name="1 h ago").click()
    page.wait_for_url(re.compile(r"/evaluations\?at=20[0-9-]+T"))
    expect(page.get_by_role("main")).to_contain_text("No evaluations")
    page.get_by_label("Go to this time").fill("2999-01-01T00:00")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("must be in the past")
    expect(page.locator("body")).to_have_class(re.compile("in-past"))
    page.get_by_role("link", name="Back to now").first.click()
    page.wait_for_url(re.compile("/evaluations$"))


def test_the_past_can_be_walked_without_script(story: Story, visit: Visit) -> None:
    page = visit(story.server, f"/evaluations?at={story.second}", java_script_enabled=False)
    page.get_by_role("link", name="One event back").click()
    expect(page.locator("#travel-place")).to_contain_text(f"event #{story.second - 1} of")
    expect(page.get_by_role("row", name=re.compile("told-2"))).to_have_count(0)


def test_what_ran_and_was_retried_then_is_seen_in_whole_on_a_small_screen(
    server: ServerProcess, visit: Visit
) -> None:
    publish = server.new_api().publish
    for number in range(8):
        publish("evaluation.started", {"eval_id": f"e-{number}"})
        publish("alert.critical", {"service": f"s-{number}", "error": "it burns"})
    publish("evaluation.failed", {"eval_id": "e-0", "error": "late"})
    wait_until(lambda: server.new_api().counters()["retrying"] == 1, "it waits for its retry")
    (retry,) = server.new_api().get("/api/events", type="evaluation.retry").json["events"]
    page = visit(server, f"/?at={retry['sequence']}", viewport={"width": 1024, "height": 768})
    for width, height in ((1024, 768), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        for rows, count in (("#active .run", 3), ("#retries .run", 1)):
            panel = page.locator(".live-side .panel", has=page.locator(rows))
            panel.scroll_into_view_if_needed()
            for row in page.locator(rows).all()[:count]:
                inner, outer = row.bounding_box(), panel.bounding_box()
                assert inner is not None and outer is not None
                assert inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 1
