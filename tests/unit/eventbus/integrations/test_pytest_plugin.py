"""The pytest plugin that publishes a run, as users have it: a pytest of its own, and a real bus."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.recording_bus import RecordingBus
from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise ConnectionError("no database ☃")

@pytest.fixture
def dirty():
    yield
    raise OSError("still open")

def test_passes(): pass
def test_fails():
    assert 1 == 2, "one is not two"
def test_raises(): raise ValueError("x" * 50_000)
def test_setup_fails(broken): pass
def test_teardown_fails(dirty): pass
@pytest.mark.skip(reason="not now")
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert False
@pytest.mark.parametrize("text", ["☃", "a/b::c"])
def test_with_parameters(text): pass
"""
OUTCOMES = {"passed": 3, "failed": 2, "error": 2, "skipped": 1, "xfailed": 1}


@pytest.fixture
def bus() -> Iterator[RecordingBus]:
    with RecordingBus() as bus:
        yield bus


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path with the package and its metadata, as after an installation."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "eventbus-0.1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "eventbus").symlink_to(ROOT / "eventbus")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["pytest11"].items()]
    (info / "entry_points.txt").write_text("[pytest11]\n" + "\n".join(lines) + "\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: eventbus\nVersion: 0.1.0\n")
    return folder


def start(
    installed: Path, folder: Path, *arguments: str, **variables: str
) -> subprocess.Popen[str]:
    # Without the plugins that happen to be installed here, whose imports take most of the time.
    is_found = variables.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") == ""  # by its entry point
    plugins = [] if is_found else ["-p", "eventbus.integrations.pytest_plugin"]
    plugins += ["-p", "no:cacheprovider"]
    plugins += ["-p", "xdist.plugin"] if "-n" in arguments else []
    command = [sys.executable, "-m", "pytest", *plugins, *arguments]
    environment = clean_environment(
        **{
            "PYTHONPATH": str(installed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **variables,
        }
    )
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def run(installed: Path, folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    with start(installed, folder, *arguments, **variables) as process:
        output, _ = process.communicate(timeout=100)
    return process.returncode, output


def data(bus: RecordingBus, type: str) -> list[dict[str, Any]]:
    return [event["data"] for event in bus.events if event["type"] == type]


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_run_is_one_evaluation_with_each_failing_test(
    bus: RecordingBus, installed: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")
    code, output = run(installed, tmp_path, f"--eventbus-url={bus.url}", *arguments)
    assert code == 1, output
    (started,) = data(bus, "evaluation.started")
    assert (started["task"], started["total"]) == (tmp_path.name, 9)
    assert {event["subject"] for event in bus.events} == {started["eval_id"]}
    assert {event["correlationid"] for event in bus.events} == {bus.events[0]["id"]}
    (failed,) = data(bus, "evaluation.failed")
    assert failed["error"]["type"] == "TestsFailed"
    assert failed["result"]["outcomes"] == OUTCOMES
    assert failed["result"]["samples"] == {"total": 9, "completed": 9, "errors": 4}
    progress = data(bus, "evaluation.progress")[-1]
    assert (progress["done"], progress["total"], progress["errors"]) == (9, 9, 4)
    errored = {e["sample_id"].partition("::")[2]: e for e in data(bus, "evaluation.sample.errored")}
    assert {name: e["phase"] for name, e in errored.items()} == {
        "test_fails": "call", "test_raises": "call", "test_setup_fails": "setup",
        "test_teardown_fails": "teardown",
    }  # fmt: skip
    assert errored["test_fails"]["error"]["type"] == "AssertionError"
    assert "one is not two" in errored["test_fails"]["error"]["message"]
    assert "assert 1 == 2" in errored["test_fails"]["error"]["traceback"]
    assert errored["test_raises"]["error"]["type"] == "ValueError"
    assert errored["test_setup_fails"]["error"]["type"] == "ConnectionError"
    assert errored["test_fails"]["file"] == "test_it.py"
    assert errored["test_fails"]["line"] == 14
    assert f"eventbus: {bus.url}/evaluations/{started['eval_id']}" in output


def test_a_run_that_passes_is_completed_and_a_test_of_pytest_within_it_is_not_another(
    bus: RecordingBus, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, subprocess, sys\n"
        "def test_of_pytest(tmp_path):\n"
        "    (tmp_path / 'test_inner.py').write_text('def test(): pass')\n"
        "    subprocess.run([sys.executable, '-m', 'pytest', str(tmp_path)], check=True)\n"
    )
    code, output = run(installed, tmp_path, EVENTBUS_PYTEST_URL=bus.url)
    assert code == 0, output
    (started,) = data(bus, "evaluation.started")
    (completed,) = data(bus, "evaluation.completed")
    assert completed["result"]["outcomes"] == {"passed": 1}
    assert completed["eval_id"] == started["eval_id"]


def test_the_ini_file_may_name_the_bus_and_the_evaluation(
    bus: RecordingBus, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\neventbus_url={bus.url}\neventbus_name=shop\n")
    (tmp_path / "test_it.py").write_text("def test(): pass")
    assert run(installed, tmp_path)[0] == 0
    assert data(bus, "evaluation.started")[0]["task"] == "shop"
    assert run(installed, tmp_path, "--collect-only")[0] == 0
    assert len(data(bus, "evaluation.started")) == 1


def test_it_is_found_by_its_entry_point_and_without_a_bus_nothing_happens(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys, threading\n"
        "def test_it():\n"
        "    assert 'eventbus.integrations.pytest_plugin' in sys.modules\n"
        "    assert 'eventbus.integrations.pytest_run' not in sys.modules\n"
        "    assert threading.active_count() == 1\n"
    )
    others = ("no:hypothesispytest", "no:anyio", "no:rerunfailures")  # which have threads
    without = [each for other in others for each in ("-p", other)]
    code, output = run(installed, tmp_path, *without, PYTEST_DISABLE_PLUGIN_AUTOLOAD="")
    assert code == 0, output
    assert "eventbus:" not in output


def test_an_unreachable_bus_is_one_line_and_in_no_tests_log(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import time\n"
        "def test_it(caplog):\n"
        "    time.sleep(0.6)\n"
        "    assert caplog.records == []\n"
        "def test_other(): assert False\n"
    )
    started = time.monotonic()
    code, output = run(installed, tmp_path, "--eventbus-url=http://127.0.0.1:9")
    assert code == 1
    assert "1 failed, 1 passed" in output
    (line,) = [line for line in output.splitlines() if line.startswith("eventbus:")]
    assert "eventbus.client" not in output
    assert re.match(r"eventbus: \d+ of \d+ events were not published: the event bus at", line)
    assert time.monotonic() - started < 20


def test_a_url_that_is_none_is_said_and_the_tests_run(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test(): pass")
    code, output = run(installed, tmp_path, "--eventbus-url=localhost:8000")
    assert code == 0, output
    assert "eventbus: nothing is published to 'localhost:8000'" in output


def test_files_that_cannot_be_collected_fail_the_evaluation(
    bus: RecordingBus, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text("import nothing_of_this_name\n")
    code, _ = run(installed, tmp_path, f"--eventbus-url={bus.url}")
    assert code == 2
    (errored,) = data(bus, "evaluation.sample.errored")
    assert errored["phase"] == "collect"
    assert "nothing_of_this_name" in errored["error"]["traceback"]
    (failed,) = data(bus, "evaluation.failed")
    assert failed["error"]["type"] == "Interrupted"


def test_no_tests_at_all_is_a_failure_as_it_is_for_pytest(
    bus: RecordingBus, installed: Path, tmp_path: Path
) -> None:
    assert run(installed, tmp_path, f"--eventbus-url={bus.url}")[0] == 5
    (failed,) = data(bus, "evaluation.failed")
    assert failed["error"]["type"] == "NoTestsCollected"


def test_ctrl_c_ends_it_as_cancelled(bus: RecordingBus, installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import time, pathlib\n"
        "def test_first(): pass\n"
        "def test_it():\n"
        "    pathlib.Path('begun').touch()\n"
        "    time.sleep(60)\n"
    )
    with start(installed, tmp_path, f"--eventbus-url={bus.url}") as process:
        wait_until(lambda: (tmp_path / "begun").exists(), "the test has begun", 30)
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 2
    (failed,) = data(bus, "evaluation.failed")
    assert failed["error"]["type"] == "Cancelled"
    assert failed["result"]["outcomes"] == {"passed": 1}


def test_a_worker_of_xdist_that_crashes_is_a_failing_test(
    bus: RecordingBus, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_dies(): os._exit(3)\ndef test_lives(): pass\n"
    )
    run(installed, tmp_path, f"--eventbus-url={bus.url}", "-n", "1")
    errored = data(bus, "evaluation.sample.errored")
    assert Counter(e["sample_id"] for e in errored) == {"test_it.py::test_dies": 1}
    (failed,) = data(bus, "evaluation.failed")
    assert failed["result"]["outcomes"]["failed"] == 1


def test_the_server_shows_the_run_as_an_evaluation(
    shared_server: ServerProcess, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")
    _, output = run(installed, tmp_path, f"--eventbus-url={shared_server.url}/")
    (eval_id,) = re.findall(r"/evaluations/(pytest-\S+)", output)

    def shown() -> dict[str, Any] | None:
        found: dict[str, Any] = shared_server.api.get(f"/api/evaluations/{eval_id}").json
        return found if found.get("state") == "exhausted" else None

    evaluation = wait_until(shown, "the evaluation has failed")
    assert (evaluation["done"], evaluation["total"], evaluation["errors"]) == (9, 9, 4)
    assert evaluation["error"]["type"] == "TestsFailed"
