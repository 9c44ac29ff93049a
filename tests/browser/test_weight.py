"""What a first visit loads: little, compressed, and from nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.pages import IMPATIENT, Visit, fill
from tests.helpers.server import ServerProcess

pytestmark = pytest.mark.browser

MOST_BYTES = 150_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), **IMPATIENT) as server:
        fill(server)
        yield server


@pytest.mark.parametrize("path", ["/", "/events", "/evaluations", "/publish"])
def test_a_first_visit_loads_less_than_150_kb_and_asks_nobody_else(
    filled: ServerProcess, visit: Visit, path: str
) -> None:
    page = visit(filled, "/nowhere")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    urls: list[str] = []
    sizes: list[int] = []
    devtools.on("Network.requestWillBeSent", lambda sent: urls.append(sent["request"]["url"]))
    devtools.on(
        "Network.loadingFinished", lambda done: sizes.append(int(done["encodedDataLength"]))
    )
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert len(sizes) > 10, "styles and scripts were counted"
    assert sum(sizes) < MOST_BYTES, f"{sum(sizes)} bytes in {len(sizes)} answers"
    elsewhere = [url for url in urls if not url.startswith((filled.url, "data:", "ws"))]
    assert not elsewhere
