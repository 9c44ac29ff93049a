"""Every example of docs/command-line.md is run, in the order in which it stands there."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from eventbus.command.main import build_parser
from tests.helpers.server import ROOT, ServerProcess, clean_environment

PAGE = ROOT / "docs" / "command-line.md"


def test_the_examples_of_the_page_work(shared_server: ServerProcess, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "eventbus"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m eventbus "$@"\n')
    command.chmod(0o755)
    variables = clean_environment(EVENTBUS_URL=shared_server.url, PYTHONPATH=str(ROOT))
    variables["PATH"] = f"{command.parent}:{variables['PATH']}"
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 7
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", "\n".join(blocks)],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert '"accuracy": 0.81' in ended.stdout or '"accuracy":0.81' in ended.stdout
    assert (tmp_path / "evaluations.ndjson").stat().st_size > 0


def test_the_examples_of_every_help_can_be_read() -> None:
    parser = build_parser("eventbus")
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    count = 0
    for command in commands.choices.values():
        for line in (command.epilog or "").splitlines()[1:]:
            for words in _commands(line):
                options = parser.parse_args(words)
                assert callable(options.run)
                count += 1
        assert command.epilog, command.prog
    assert count > 40


def test_the_page_names_every_command_and_exit_code() -> None:
    text = PAGE.read_text()
    parser = build_parser("eventbus")
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert not [
        name for name in commands.choices if f"`{name}" not in text and f" {name}" not in text
    ]


def _commands(line: str) -> Iterator[list[str]]:
    """The arguments of each call of `eventbus` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;>&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word.strip("|;>&"):
            words.append(word)
            continue
        if "eventbus" in words:
            yield words[words.index("eventbus") + 1 :]
        words = []
