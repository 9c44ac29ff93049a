"""Takes the pictures of docs/tour.md with a server, a demo and a browser of its own.

    python -m docs.pictures            all of them, into docs/images/
    python -m docs.pictures live flow  these

Every picture is of the real pages with what `flask demo` published a moment before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.helpers.pages import IMPATIENT, fill
from tests.helpers.server import ServerProcess

IMAGES = Path(__file__).resolve().parent / "images"
_DEMO_S = 40


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as it is shown in the tour; ``prepare`` brings it into the state to show."""

    path: Callable[[ServerProcess], str]
    width: int = 1280
    height: int = 860
    theme: str = "light"
    prepare: Callable[[Page], None] = lambda page: None


def _failed_event(server: ServerProcess) -> str:
    found = server.new_api().get("/api/events", type="evaluation.failed", limit=1).json["events"]
    return f"/events/{found[0]['id']}"


def _past(server: ServerProcess) -> str:
    return f"/?at={server.new_api().get('/api/stats').json['sequence'] // 2}"


def _at(path: str) -> Callable[[ServerProcess], str]:
    return lambda server: path


def _write_an_event(page: Page) -> None:
    page.get_by_label("Type", exact=True).fill("evaluation.failed")
    page.get_by_label("Data").fill(
        '{\n  "eval_id": "eval-42",\n  "retry_count": 0,\n  "error": {\n    "type": "SandboxError",'
        '\n    "message": "container was killed",\n    "severity": "critical"\n  }\n}'
    )
    page.wait_for_timeout(2_500)  # the preview follows the typing


PICTURES = {
    "tour-live": Picture(_at("/"), height=960),
    "tour-live-dark": Picture(_at("/"), theme="dark"),
    "tour-live-phone": Picture(_at("/"), width=360, height=760),
    "tour-events": Picture(_at("/events")),
    "tour-event": Picture(_failed_event),
    "tour-evaluations": Picture(_at("/evaluations")),
    "tour-evaluation": Picture(_at("/evaluations/exhausted-1")),
    "tour-compare": Picture(_at("/evaluations/compare?id=exhausted-1")),
    "tour-retries": Picture(_at("/retries")),
    "tour-dead-letters": Picture(_at("/retries/dead")),
    "tour-alerts": Picture(_at("/alerts")),
    "tour-flow": Picture(_at("/flow?since=5m")),
    "tour-handlers": Picture(_at("/handlers")),
    "tour-publish": Picture(_at("/publish"), prepare=_write_an_event),
    "tour-past": Picture(_past),
}


def take(names: list[str]) -> None:
    """Take these pictures. Raises RuntimeError when the demo fails."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(Path(folder), **IMPATIENT) as server,
        sync_playwright() as playwright,
    ):
        fill(server)
        demo = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "demo", "--url", server.url,
             "--rate", "30", "--no-serve"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            try:
                demo.wait(_DEMO_S)
                raise RuntimeError(f"the demo ended with {demo.returncode}")
            except subprocess.TimeoutExpired:
                pass
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("EVENTBUS_TEST_BROWSER"), args=["--no-sandbox"]
            )
            for name in names:
                _take(browser, server, name)
        finally:
            demo.terminate()
            demo.wait()


def _take(browser: Browser, server: ServerProcess, name: str) -> None:
    picture = PICTURES[name]
    context = browser.new_context(
        base_url=server.url,
        viewport={"width": picture.width, "height": picture.height},
        color_scheme=picture.theme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(picture.path(server))
    if page.locator("#connection[data-state]").count():
        page.locator("#connection[data-state=live]").wait_for()
        page.wait_for_timeout(3_000)  # for the charts and the stream to have something
    picture.prepare(page)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()
    print(name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}")
    names = parser.parse_args().names or list(PICTURES)
    if unknown := set(names) - set(PICTURES):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    take(names)


if __name__ == "__main__":
    main()
