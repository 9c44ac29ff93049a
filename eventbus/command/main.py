"""The way in: reads the arguments, runs the command, and turns every end into an exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eventbus import __version__
from eventbus.command import (
    alerts,
    completion,
    evaluations,
    export,
    health,
    importing,
    operations,
    publish,
    scheduled,
    search,
    show,
    stats,
    subscriptions,
    tail,
    top,
    trace,
)
from eventbus.command.arguments import common, read_arguments
from eventbus.command.context import Context
from eventbus.command.errors import FAILED, INTERRUPTED, NO_READER, OK, CommandError
from eventbus.command.screen import Screen
from eventbus.errors import EventBusError

if TYPE_CHECKING:
    from eventbus.command.server import Server

    FindServer = Callable[[Screen, str | None, str | None, float], Server]

DEFAULT_URL = "http://127.0.0.1:8000"

# In the order in which a newcomer needs them.
_COMMANDS = (
    publish, tail, search, show, trace, stats, top, evaluations, alerts, subscriptions, scheduled,
    operations, export, importing, health, completion,
)  # fmt: skip

_EPILOG = """\
examples:
  {prog} publish evaluation.started eval_id=eval-42 task=gsm8k
  {prog} tail 'evaluation.*' --data
  {prog} search --text '"out of memory"' --since 1h
  {prog} COMMAND --help

exit codes: 0 done, 1 the server said no or something failed, 2 wrong use, 3 no server answers,
4 not found, 5 not allowed, 130 interrupted. Read on in docs/command-line.md.
"""


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "eventbus",
    find_server: FindServer | None = None,
) -> int:
    """Run what ``argv`` (by default the process's) asks for; gives the exit code.

    ``find_server`` gives the server for what --url, --token and --timeout say, or EVENTBUS_URL and
    EVENTBUS_TOKEN do; by default the one at that address, or at ``DEFAULT_URL``.
    """
    parser = build_parser(prog)
    try:
        options = read_arguments(parser, argv)
    except SystemExit as end:  # help, version, or wrong use, each told already
        return end.code if isinstance(end.code, int) else FAILED
    screen = Screen.standard(getattr(options, "color", "auto"))
    if not hasattr(options, "run"):
        screen.out.write(parser.format_help())
        return OK
    try:
        code = _run(prog, options, screen, find_server)
        screen.flush()
        return code
    except CommandError as error:
        _tell(screen, prog, error)
        return error.code
    except EventBusError as error:
        _tell(screen, prog, error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; the interpreter is not to find that out once more at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except OSError as error:
        _tell(screen, prog, error)
        return FAILED


def build_parser(prog: str) -> argparse.ArgumentParser:
    """The parser of all commands."""
    parent = common()
    parser = argparse.ArgumentParser(
        prog=prog,
        parents=[parent],
        description="A bus from the shell: publish, follow, look up, repair.",
        epilog=_EPILOG.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"eventbus {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for module in _COMMANDS:
        module.add(commands, parent)
    return parser


def _run(
    prog: str,
    options: argparse.Namespace,
    screen: Screen,
    find_server: FindServer | None,
) -> int:
    if hasattr(options, "shell"):  # asks no server
        return completion.run(screen, options, build_parser(prog))
    from eventbus.command.server import TIMEOUT_S, Server

    url = getattr(options, "url", None) or os.environ.get("EVENTBUS_URL")
    token = getattr(options, "token", None) or os.environ.get("EVENTBUS_TOKEN") or None
    timeout_s = getattr(options, "timeout", TIMEOUT_S)
    if find_server is None:
        server = Server(url or DEFAULT_URL, token, timeout_s)
    else:
        server = find_server(screen, url or None, token, timeout_s)
    with contextlib.closing(server):
        code: int | None = options.run(Context(prog, options, screen, server))
        return OK if code is None else code


def _tell(screen: Screen, prog: str, error: Exception) -> None:
    with contextlib.suppress(OSError):
        screen.flush()
    with contextlib.suppress(OSError):
        label = screen.paint_note(f"{prog}: ", "bold", "red")
        # A sentence of the server's may have several lines.
        first, *rest = str(error).split("\n")
        screen.note(label, first)
        for line in (*rest, *getattr(error, "more", ())):
            screen.note("  ", line)
