"""`eventbus completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
import re

from eventbus.command.arguments import Commands, Parser, add_command
from eventbus.command.errors import OK
from eventbus.command.screen import Painted, Screen

SHELLS = ("bash", "zsh", "fish")


def add(commands: Commands, parent: Parser) -> None:
    parser = add_command(
        commands, parent, "completion", run,
        help="print a shell's completion of this command",
        examples="""
        eventbus completion bash >> ~/.bashrc
        eventbus completion zsh > "${fpath[1]}/_eventbus"
        eventbus completion fish > ~/.config/fish/completions/eventbus.fish
        """,
    )  # fmt: skip
    parser.add_argument("shell", choices=SHELLS)


def run(screen: Screen, options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell]
    screen.out.write(Painted(write(_words(parser))))
    return OK


def _words(parser: argparse.ArgumentParser) -> dict[str, dict[str, str]]:
    """By command its options and choices, each with what it is for; "" has the commands."""
    found: dict[str, dict[str, str]] = {"": {}}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {each.dest: each.help or "" for each in action._choices_actions}
            for name, command in action.choices.items():
                found[""][name] = told.get(name, "")
                found[name] = _options(command)
    return found


def _options(parser: argparse.ArgumentParser) -> dict[str, str]:
    found: dict[str, str] = {}
    for action in parser._actions:
        for name in action.option_strings:
            found[name] = action.help or ""
        if not action.option_strings:
            found.update({str(choice): "" for choice in action.choices or ()})
    return found


def _bash(words: dict[str, dict[str, str]]) -> str:
    cases = "\n".join(
        f"    {name}) words='{' '.join(options)}' ;;" for name, options in words.items() if name
    )
    return f"""\
# completion of the command eventbus for bash
_eventbus() {{
  local words command
  command=${{COMP_WORDS[1]}}
  case $command in
{cases}
    *) words='{" ".join(words[""])}' ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words='{" ".join(words[""])} --help --version'
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _eventbus eventbus
"""


def _zsh(words: dict[str, dict[str, str]]) -> str:
    commands = " ".join(f"'{name}:{_quoted(told)}'" for name, told in words[""].items())
    cases = "\n".join(
        f"    {name}) compadd -- {' '.join(options)}; _files ;;"
        for name, options in words.items()
        if name
    )
    return f"""\
#compdef eventbus
_eventbus() {{
  if (( CURRENT == 2 )); then
    local -a commands=({commands})
    _describe command commands
    return
  fi
  case $words[2] in
{cases}
  esac
}}
compdef _eventbus eventbus
"""


def _fish(words: dict[str, dict[str, str]]) -> str:
    lines = ["# completion of the command eventbus for fish", "complete -c eventbus -f"]
    lines += [
        f"complete -c eventbus -n __fish_use_subcommand -a {name} -d '{_quoted(told)}'"
        for name, told in words[""].items()
    ]
    for name, options in words.items():
        when = f"complete -c eventbus -n '__fish_seen_subcommand_from {name}'"
        for option, told in options.items() if name else ():
            if option.startswith("--"):
                lines.append(f"{when} -l {option[2:]} -d '{_quoted(told)}'")
            elif not option.startswith("-"):
                lines.append(f"{when} -a {option}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Help on one line, without what ends a quoted word or a description."""
    return re.sub(r"['\\:]", "", " ".join(text.split()))
