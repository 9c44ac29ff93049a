"""The live page behind nginx with two processes: the one that it hangs on is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import VIEWPORT
from tests.helpers.databases import schemas
from tests.helpers.nginx import IS_THERE, Nginx
from tests.helpers.ports import free_port
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not IS_THERE, reason="needs nginx and openssl; `make services` gets them"),
]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Nginx, list[ServerProcess]]]:
    """Two processes on one log, and nginx before them."""
    ports = [free_port(), free_port()]
    nginx = Nginx(tmp_path, *ports)
    with schemas().lent() as url, ExitStack() as running:
        servers = []
        for port in ports:
            folder = tmp_path / str(port)
            folder.mkdir()
            server = ServerProcess(
                folder, EVENTBUS_DATABASE_URL=url,
                EVENTBUS_FILES=str(tmp_path / "files"), EVENTBUS_ALLOWED_HOSTS="127.0.0.1",
                EVENTBUS_TRUSTED_PROXIES="127.0.0.1",
                EVENTBUS_PUBLIC_URL=f"https://127.0.0.1:{nginx.tls_port}",
            )  # fmt: skip
            server.port = port
            servers.append(running.enter_context(server))
        yield running.enter_context(nginx), servers


def test_the_page_goes_on_at_the_other_process_and_has_missed_nothing(
    pair: tuple[Nginx, list[ServerProcess]], browser: Browser
) -> None:
    nginx, servers = pair
    context = browser.new_context(
        base_url=f"https://127.0.0.1:{nginx.tls_port}", ignore_https_errors=True, viewport=VIEWPORT
    )
    with context:
        page = context.new_page()
        page.goto("/")
        publish(page, 20)  # by turns to both
        wait_until(lambda: sequences(page) == list(range(20, 0, -1)), "all of it is shown")
        assert "restarted" not in page.locator("body").inner_text()

        (one,) = [server for server in servers if has_page(server)]
        (left,) = [server for server in servers if server is not one]
        one.kill9()
        publish(page, 30)
        expect(page.locator("#connection")).to_have_attribute("data-state", "live", timeout=20_000)
        wait_until(
            lambda: sequences(page) == list(range(last(left), 0, -1)), "it has missed nothing", 20
        )
        assert last(left) >= 50
        assert has_page(left)
        one.start()
        one.api.publish("vendor.tick", {"n": "last"})
        wait_until(lambda: sequences(page)[0] == last(one), "what it records is shown as well")


def publish(page: Page, count: int) -> None:
    """One by one through the proxy; whichever process it is sent to records it.

    A process that is killed takes the request with it that had just reached it: the proxy says
    502, for it cannot know whether a POST was carried out, and the publisher sends it once more
    with the same id, as every client of the API does.
    """
    for _ in range(count):
        event = {"type": "vendor.tick", "id": uuid4().hex, "source": "/tests/two-processes"}
        answer = page.request.post("/api/events", data=event)
        if answer.status == 502:
            answer = page.request.post("/api/events", data=event)
        assert answer.status in (202, 200), answer.text()


def has_page(server: ServerProcess) -> bool:
    lines = server.new_api().get("/metrics").text.splitlines()
    return 'eventbus_websockets{kind="page"} 1.0' in lines


def last(server: ServerProcess) -> int:
    sequence: int = server.new_api().get("/api/stats").json["sequence"]
    return sequence


def sequences(page: Page) -> list[int]:
    """The events that have a row, from the top."""
    shown: list[int] = page.eval_on_selector_all(
        "#stream-rows > li[data-sequence]", "rows => rows.map(row => Number(row.dataset.sequence))"
    )
    return shown
