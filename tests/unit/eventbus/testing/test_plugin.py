"""The pytest plugin as users have it: in a pytest of their own, found by its entry point."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
DOCUMENT = ROOT / "docs" / "testing.md"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for sys.path with the package and its metadata, as after an installation."""
    folder = tmp_path / "site"
    info = folder / "eventbus-0.1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "eventbus").symlink_to(ROOT / "eventbus")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["pytest11"].items()]
    (info / "entry_points.txt").write_text("[pytest11]\n" + "\n".join(lines) + "\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: eventbus\nVersion: 0.1.0\n")
    return folder


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )


def test_the_fixtures_are_there_and_failures_that_nobody_expected_fail_the_test(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(
        """
def test_good(event_bus, published):
    event_bus.publish("a", {"n": 1})
    published("a", n=1)

def test_wrong_assertion(event_bus, published):
    event_bus.publish("a", {"n": 1})
    published("a", n=2)

def test_unexpected_failure(event_bus):
    event_bus.subscribe("a", lambda event: 1 / 0)
    event_bus.publish("a")

def test_expected_failure(event_bus):
    event_bus.expect_failure(ZeroDivisionError)
    event_bus.subscribe("a", lambda event: 1 / 0)
    event_bus.publish("a")

def test_closed_by_itself(event_bus):
    event_bus.close()
"""
    )
    result = run(installed, tmp_path, "test_it.py", "-rA")
    assert re.search(r"1 failed, 4 passed, 1 error", result.stdout), result.stdout
    assert "ERROR test_it.py::test_unexpected_failure" in result.stdout
    assert "n: expected 2, was 1" in result.stdout
    assert "see event_bus.expect_failure" in result.stdout
    assert "observed.py" not in result.stdout, "tracebacks end in the test"


def test_asked_for_by_name_as_well_it_is_not_loaded_twice(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(event_bus): event_bus.publish('a')\n")
    result = run(installed, tmp_path, "-p", "eventbus.testing.plugin", "test_it.py")
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_who_does_not_use_it_pays_nothing(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys, threading\n"
        "def test_it():\n"
        "    assert 'eventbus.testing.plugin' in sys.modules\n"
        "    assert not [m for m in sys.modules if m.split('.')[0] == 'sqlalchemy']\n"
        "    assert 'eventbus.bus' not in sys.modules\n"
        "    assert threading.active_count() == 1\n"
    )
    others = ("no:hypothesispytest", "no:anyio", "no:rerunfailures")  # which have threads
    result = run(installed, tmp_path, "test_it.py", *(each for o in others for each in ("-p", o)))
    assert "1 passed" in result.stdout, result.stdout


def test_without_pytest_the_rest_of_the_package_works() -> None:
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "from eventbus.testing import ObservedBus\n"
        "with ObservedBus.temporary() as bus:\n"
        "    bus.publish('a', delay=5); bus.clock.advance(5); bus.published('a', times=1)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_the_examples_of_the_documentation_run(installed: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    (tmp_path / "test_document.py").write_text("\n\n".join(blocks))
    result = run(installed, tmp_path, "test_document.py", "-q")
    count = "\n".join(blocks).count("def test_")
    assert f"{count} passed" in result.stdout, result.stdout
