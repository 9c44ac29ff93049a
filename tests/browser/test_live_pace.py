"""How often the live page changes while events come: what is not seen costs nothing."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visit
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser


def test_what_comes_writes_nothing_that_stays_the_same(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    page.wait_for_selector("#connection[data-state=live]")
    page.evaluate(
        """() => {
            window.written = []
            new MutationObserver(all => window.written.push(...all.map(each => each.attributeName)))
                .observe(document.getElementById('new-rows'), { attributes: true })
        }"""
    )
    api = server.new_api()
    for _ in range(3):
        sequence = api.post("/api/events", {"type": "a.b", "data": {}}).json["sequence"]
        page.wait_for_selector(f"#e{sequence}", state="attached")
    assert page.evaluate("window.written") == []


def test_counts_wait_for_the_panels_and_rows_do_not(server: ServerProcess, visit: Visit) -> None:
    page = visit(server)
    page.wait_for_selector("#connection[data-state=live]")
    page.clock.install(time=0)
    page.clock.pause_at(60_000)
    page.evaluate(
        """async () => {
            const { Pace } = await import('/static/js/live-pace.js')
            window.moves = 0
            window.pace = new Pace(() => { moves += 1; pace.clear(); pace.moved() })
        }"""
    )

    def moves_after(call: str, milliseconds: int) -> int:
        page.evaluate(f"() => pace.{call}")
        page.clock.run_for(milliseconds)
        moves: int = page.evaluate("window.moves")
        return moves

    assert moves_after("plan(false)", 1) == 1, "the first after a rest comes at once"
    assert moves_after("plan(false)", 500) == 1, "the next one waits"
    assert moves_after("join()", 0) == 2, "for the panels"
    assert moves_after("join()", 0) == 2, "which do not move what has not changed"
    assert moves_after("plan(false)", 760) == 3, "but not for long"
    assert moves_after("plan(false)", 150) == 3
    assert moves_after("plan(true)", 60) == 4, "a row comes in within a fifth of a second"
