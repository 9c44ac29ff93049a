"""The arrows of docs/architecture.md, checked: who may import whom, and how files begin and end."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 400

ROOMS = ("eventbus", "handlers", "app", "tests", "bench")
WEB = ("flask", "flask_sock", "werkzeug", "jinja2")
SQL = {"sqlalchemy", "sqlite3"}
# How a file begins that says first what it is for: with its docstring or a comment.
WEB_FIRST = {".js": ("/*", "//"), ".css": ("/*",), ".html": ("{#",)}
FIRST = {**WEB_FIRST, ".py": ('"""', 'r"""')}

# The client's side of the library: what a producer installs, without any dependency.
CLIENT_SIDE = (
    "eventbus", "eventbus.__main__", "eventbus.actor", "eventbus.cancels", "eventbus.client",
    "eventbus.cloudevents", "eventbus.command", "eventbus.errors", "eventbus.event",
    "eventbus.extensions", "eventbus.failures", "eventbus.ids", "eventbus.integrations",
    "eventbus.json_reader", "eventbus.patterns", "eventbus.scheduled", "eventbus.subscription",
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
        files += [file for file in web if file.suffix in WEB_FIRST and "vendor" not in file.parts]
    return files


def source(file: Path) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@cache
def imports(file: Path) -> set[str]:
    """The full names of all modules that a file imports anywhere, those for types alone too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source(file))):
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


def importing(files: Iterable[Path], forbidden: set[str]) -> dict[str, set[str]]:
    """Which of the files import what they must not; all are told at once."""
    found = {str(file): imported_packages(file) & forbidden for file in files}
    return {file: names for file, names in found.items() if names}


def test_the_library_knows_nothing_of_flask_or_of_the_product() -> None:
    files = python_files("eventbus")
    assert files
    assert not importing(files, {"app", "handlers", "tests", "bench", *WEB})


def test_handlers_know_the_library_but_not_the_app() -> None:
    files = python_files("handlers")
    assert files
    assert not importing(files, {"app", "tests", "bench", *WEB})


def test_the_app_leaves_sql_to_the_log_and_the_read_models() -> None:
    files = python_files("app")
    assert files
    has_sql = ("app", "access", "store")  # of users, tokens and sessions (0035)
    assert not importing(files, {"tests", "bench"})
    assert not importing((file for file in files if file.parts[:3] != has_sql), SQL)


def test_sql_lives_in_the_log_alone() -> None:
    files = python_files("eventbus")
    assert not importing(
        (file for file in files if file.parts[1] != "log" and file.name != "replay.py"), SQL
    )


def test_the_client_side_imports_only_itself_and_the_standard_library() -> None:
    files = set(client_side_files())
    assert files
    offenders = {}
    for file in files:
        allowed = MAY_IMPORT.get(file.as_posix(), set()) | {"eventbus"} | sys.stdlib_module_names
        found = imported_packages(file) - allowed
        # Under TYPE_CHECKING or at run time: what the bus itself is made of is the server's.
        own = {name for name in imports(file) if name.split(".")[0] == "eventbus"}
        if file.name != "__init__.py":
            found |= {name for name in own if not name.startswith(CLIENT_SIDE[1:])} - {"eventbus"}
        if found:
            offenders[str(file)] = found
    assert not offenders


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
        "for need in ('from eventbus import EventBus', 'import eventbus.log',\n"
        "             'from eventbus.testing import ObservedBus', 'import eventbus.brokers'):\n"
        "    try: exec(need)\n"
        "    except ImportError as error: assert \"'eventbus[server]'\" in str(error), error\n"
        "    else: raise AssertionError('it needs SQLAlchemy')\n"
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


def test_every_file_says_first_what_it_is_for() -> None:
    files = first_party_files()
    assert files
    assert not [str(file) for file in files if not source(file).startswith(FIRST[file.suffix])]


def test_no_file_holds_more_than_one_noun_needs() -> None:
    lines = {str(file): len(source(file).splitlines()) for file in first_party_files()}
    assert not {file: count for file, count in lines.items() if count > MAX_LINES}
