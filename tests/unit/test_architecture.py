"""The arrows of docs/architecture.md, checked: who may import whom, and how files begin and end."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400

ROOMS = ("eventbus", "handlers", "app", "tests", "bench")
WEB_SUFFIXES = {".js": ("/*", "//"), ".css": ("/*",), ".html": ("{#",)}

# The client's side of the library: what a producer installs, without any dependency.
CLIENT_SIDE = (
    "eventbus", "eventbus.__main__", "eventbus.client", "eventbus.cloudevents", "eventbus.command",
    "eventbus.errors", "eventbus.event", "eventbus.failures", "eventbus.ids",
    "eventbus.integrations", "eventbus.patterns", "eventbus.scheduled", "eventbus.subscription",
    "eventbus.threads", "eventbus.timestamps", "eventbus.tone", "eventbus.tracing",
    "eventbus.validation", "eventbus.workers",
)  # fmt: skip
# Integrations are loaded by what they integrate with, which is then installed.
# Subscribing needs a WebSocket, publishing does not.
MAY_IMPORT = {
    "eventbus/integrations/celery_signals.py": {"celery"},
    "eventbus/integrations/inspect_ai.py": {"inspect_ai"},
    "eventbus/integrations/pytest_plugin.py": {"pytest"},
    "eventbus/integrations/pytest_run.py": {"pytest"},
    "eventbus/integrations/opentelemetry.py": {"opentelemetry"},
    "eventbus/client/websocket.py": {"wsproto"},
}


def python_files(*rooms: str) -> list[Path]:
    found = [file for room in rooms for file in sorted((ROOT / room).rglob("*.py"))]
    return [file.relative_to(ROOT) for file in found if "__pycache__" not in file.parts]


def first_party_files() -> list[Path]:
    files = [file.relative_to(ROOT) for file in sorted(ROOT.glob("*.py"))] + python_files(*ROOMS)
    for room in ("static", "templates"):
        web = (file.relative_to(ROOT) for file in sorted((ROOT / room).rglob("*")))
        files += [
            file for file in web if file.suffix in WEB_SUFFIXES and "vendor" not in file.parts
        ]
    return files


def imports(file: Path) -> set[str]:
    """The full names of all modules that a file imports anywhere, those for types alone too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(file.parts[: len(file.parts) - node.level]) if node.level else ""
            found.add(".".join(filter(None, (package, node.module))))
    return found


def imported_packages(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(file)}


def client_side_files() -> Iterator[Path]:
    for name in CLIENT_SIDE:
        base = Path(*name.split("."))
        if (ROOT / base.with_suffix(".py")).exists():
            yield base.with_suffix(".py")
        elif name == "eventbus":
            yield base / "__init__.py"
        else:
            yield from python_files(base.as_posix())


def ids(files: list[Path]) -> dict[str, object]:
    return {"argvalues": files, "ids": [str(file) for file in files]}


@pytest.mark.parametrize("file", **ids(python_files("eventbus")))
def test_the_library_knows_nothing_of_flask_or_of_the_product(file: Path) -> None:
    assert imported_packages(file).isdisjoint(
        {"app", "handlers", "tests", "bench", "flask", "flask_sock", "werkzeug", "jinja2"}
    )


@pytest.mark.parametrize("file", **ids(python_files("handlers")))
def test_handlers_know_the_library_but_not_the_app(file: Path) -> None:
    assert imported_packages(file).isdisjoint(
        {"app", "tests", "bench", "flask", "flask_sock", "werkzeug", "jinja2"}
    )


@pytest.mark.parametrize("file", **ids(python_files("app")))
def test_the_app_leaves_sql_to_the_log_and_the_read_models(file: Path) -> None:
    has_sql = file.parts[:3] == ("app", "access", "store")  # of users, tokens and sessions (0035)
    sql = set() if has_sql else {"sqlalchemy", "sqlite3"}
    assert imported_packages(file).isdisjoint({*sql, "tests", "bench"})


@pytest.mark.parametrize("file", **ids(python_files("eventbus")))
def test_sql_lives_in_the_log_alone(file: Path) -> None:
    if file.parts[1] == "log" or file.name == "replay.py":
        return
    assert imported_packages(file).isdisjoint({"sqlalchemy", "sqlite3"})


@pytest.mark.parametrize("file", **ids(sorted(set(client_side_files()))))
def test_the_client_side_imports_only_itself_and_the_standard_library(file: Path) -> None:
    allowed = MAY_IMPORT.get(file.as_posix(), set()) | {"eventbus"} | sys.stdlib_module_names
    assert imported_packages(file) <= allowed
    # Under TYPE_CHECKING or at run time: what the bus itself is made of is the server's.
    own = {name for name in imports(file) if name.split(".")[0] == "eventbus"}
    if file.name != "__init__.py":
        assert {name for name in own if not name.startswith(CLIENT_SIDE[1:])} <= {"eventbus"}


def test_the_client_side_runs_without_any_installed_package() -> None:
    # -I and -S leave the interpreter with the standard library alone.
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"for name in {CLIENT_SIDE!r}: __import__(name)\n"
        "from eventbus import Event, Pattern, RemoteEventBus\n"
        "assert Pattern('a.*').matches(Event.create('a.b').type)\n"
        "assert 'eventbus.log' not in sys.modules\n"
        "bus = RemoteEventBus('http://127.0.0.1:9')\n"
        "try: bus.subscribe('a.b', print, name='n')\n"
        "except ImportError as error: assert \"pip install 'eventbus[remote]'\" in str(error)\n"
        "else: raise AssertionError('it needs wsproto')\n"
        "from eventbus.command.main import main\n"
        "assert main(['--help']) == 0\n"
        "for call in ('publish a.b n=1', 'search', 'export', 'redrive --all', 'top --once'):\n"
        "    assert main([*call.split(), '--url', 'http://127.0.0.1:9']) == 3\n"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_importing_the_library_does_no_work() -> None:
    script = (
        "import sys, threading, eventbus\n"
        "assert not [m for m in sys.modules if m.startswith(('sqlalchemy', 'flask', 'asyncio'))]\n"
        "assert threading.active_count() == 1\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("file", **ids(first_party_files()))
def test_every_file_says_first_what_it_is_for(file: Path) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.suffix == ".py":
        tree = ast.parse(text)
        assert ast.get_docstring(tree), "the file has no docstring"
        assert tree.body[0].lineno == 1, "the docstring is not on the first line"
    else:
        assert text.startswith(WEB_SUFFIXES[file.suffix])


@pytest.mark.parametrize("file", **ids(first_party_files()))
def test_no_file_holds_more_than_one_noun_needs(file: Path) -> None:
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= MAX_LINES
