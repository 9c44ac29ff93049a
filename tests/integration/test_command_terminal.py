"""The command `eventbus` on a real terminal: colours, progress, the screen of `top`."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.helpers.proxy import Proxy
from tests.helpers.server import ServerProcess
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import wait_until

RED = "\x1b[1;31m"
OTHER_PAGE, FIRST_PAGE = "\x1b[?1049h", "\x1b[?1049l"
END_OF_PICTURE = "\x1b[J"
CURSOR = "\x1b[?25h"


@pytest.fixture(scope="module")
def server(shared_server: ServerProcess) -> ServerProcess:
    shared_server.api.publish("evaluation.started", {"eval_id": "eval-1", "task": "gsm8k"})
    shared_server.api.publish("alert.critical", {"service": "gpu", "error": {"type": "Lost"}})
    shared_server.api.publish("colour.failed", {"error": "\x1b[2J out of \x07 paper"})
    shared_server.api.close()
    return shared_server


def shown(text: str) -> list[str]:
    """The lines of the last picture that `top` drew to its end, without colours."""
    picture = text.rpartition(END_OF_PICTURE)[0].rpartition("\x1b[H")[2]
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", picture).split("\r\n")


def test_failures_are_red_on_a_terminal_and_payloads_stay_text(server: ServerProcess) -> None:
    with Terminal(server.url, "search", "colour.*", size=(120, 20)) as terminal:
        assert terminal.wait_ended() == 0
    assert f"{RED}colour.failed" in terminal.text
    assert "\\x1b[2J out of \\x07 paper" in terminal.text
    assert "\x07" not in terminal.text and "\x1b[2J" not in terminal.text


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(server: ServerProcess, variable: dict[str, str]) -> None:
    with Terminal(server.url, "search", "colour.*", **variable) as terminal:
        assert terminal.wait_ended() == 0
    assert "colour.failed" in terminal.text and "\x1b" not in terminal.text


def test_lines_end_at_the_edge_of_the_terminal(server: ServerProcess) -> None:
    with Terminal(server.url, "search", "--data", size=(70, 20)) as terminal:
        assert terminal.wait_ended() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.text).splitlines()
    assert lines and all(len(line) <= 70 for line in lines)


def test_an_import_and_an_export_show_progress_that_goes(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "in.ndjson"
    line = json.dumps({"type": "progress.made", "data": {"x": "x" * 200}})
    file.write_text(f"{line}\n" * 2_000)
    with Terminal(server.url, "import", str(file), "--batch", "100") as terminal:
        assert terminal.wait_ended() == 0
    assert "import in.ndjson  █" in terminal.text and " %" in terminal.text
    assert terminal.text.endswith("\r\x1b[K2,000 lines: 2,000 recorded\r\n")
    out = tmp_path / "out.ndjson"
    with Terminal(server.url, "export", "-o", str(out)) as terminal:
        assert terminal.wait_ended() == 0
    assert f"export to {out.name}" in terminal.text
    assert len(out.read_text().splitlines()) > 2_000


def test_top_fills_the_window_and_follows_its_size(server: ServerProcess) -> None:
    with Terminal(server.url, "top", "--every", "200ms", size=(100, 30)) as terminal:
        terminal.wait_for(END_OF_PICTURE)
        picture = shown(terminal.read())
        assert picture[0].startswith("event bus  #") and "eval-1" in "\n".join(picture)
        assert "gpu" in "\n".join(picture)
        server.api.close()
        server.api.publish("evaluation.started", {"eval_id": "eval-later"})
        terminal.wait_for("eval-later")
        terminal.resize(44, 9)

        def fits() -> bool:
            picture = shown(terminal.read())
            return 1 < len(picture) <= 9 and all(len(line) <= 44 for line in picture)

        wait_until(fits, "it has the size of the window")
        terminal.press("q")
        assert terminal.wait_ended() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_top_gives_the_terminal_back_however_it_ends(
    server: ServerProcess, number: int, code: int
) -> None:
    with Terminal(server.url, "top", "--every", "200ms") as terminal:
        terminal.wait_for("subscriptions")
        assert terminal.settings != terminal.settings_before
        os.kill(terminal.process.pid, number)
        assert terminal.wait_ended() == code
        assert terminal.settings == terminal.settings_before
    assert terminal.text.count(OTHER_PAGE) == terminal.text.count(FIRST_PAGE) == 1
    assert terminal.text.rindex(CURSOR) > terminal.text.index(OTHER_PAGE)
    assert "Traceback" not in terminal.text


def test_top_tells_when_the_server_goes_away_and_takes_ctrl_c(server: ServerProcess) -> None:
    with (
        Proxy(server.port) as proxy,
        Terminal(proxy.url, "top", "--every", "200ms", size=(100, 30)) as terminal,
    ):
        terminal.wait_for("subscriptions")
        proxy.__exit__()
        terminal.wait_for("away, trying again: no event bus answers")
        terminal.press("\x03")
        assert terminal.wait_ended() == 130
