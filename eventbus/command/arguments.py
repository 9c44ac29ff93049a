"""Arguments that several commands have: where the bus is, which events are meant, who asks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from eventbus.command.errors import UsageError
from eventbus.command.moments import moment, span_s

Parser = argparse.ArgumentParser


class Commands(Protocol):
    """What a command adds its parser to."""

    def add_parser(self, name: str, **options: Any) -> Parser: ...


def common() -> Parser:
    """What every command has, before or after its name: the parent of all parsers."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("for every command")
    group.add_argument("--url", help="address of the bus (EVENTBUS_URL)")
    group.add_argument("--token", help="bearer token (better: EVENTBUS_TOKEN, which ps cannot see)")
    group.add_argument("--json", action="store_true", help="JSON for scripts; lists as NDJSON")
    group.add_argument(
        "--color", choices=("auto", "always", "never"), help="auto: on a terminal without NO_COLOR"
    )
    group.add_argument(
        "--timeout", type=positive_s, metavar="TIME", help="longest wait for the server (35s)"
    )
    return parser


def add_command(
    commands: Commands, parent: Parser, name: str, run: Callable[..., int | None], *, help: str,
    about: str = "", examples: str = "", rest: str = "",
) -> Parser:  # fmt: skip
    """A parser for one command; ``run`` gets its Context, ``examples`` are lines of shell.

    A positional argument that takes any number must be named in ``rest``: argparse does not see
    those that stand behind an option, so ``read_arguments`` hands them on.
    """
    parser = commands.add_parser(
        name,
        parents=[parent],
        help=help,
        description=f"{help[0].upper()}{help[1:]}. {about}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    prog = parser.prog.rpartition(" ")[0]
    lines = [line.strip().replace("eventbus ", f"{prog} ") for line in examples.strip().split("\n")]
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in lines)
    parser.set_defaults(run=run, rest=rest, command=parser)
    return parser


def read_arguments(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for; options may stand anywhere. Raises SystemExit, with all said."""
    options, left = parser.parse_known_args(argv)
    rest = getattr(options, "rest", "")
    if left and (not rest or any(word.startswith("-") and word != "-" for word in left)):
        wrong = next((word for word in left if word.startswith("-")), left[0])
        getattr(options, "command", parser).error(f"unrecognized argument: {wrong}")
    if left:
        getattr(options, rest).extend(left)
    named = getattr(options, "named_pattern", None)
    if named is not None:
        if options.pattern is not None:
            options.command.error("PATTERN and --type are the same; give one of them")
        options.pattern = named
    return options


def add_filter(
    parser: Parser, *, has_positions: bool = True, read: Callable[[str], str] | None = None
) -> None:
    """Which events of the history are meant; ``read`` checks what stands where a PATTERN may."""
    add_pattern(parser, "of the type, such as 'evaluation.*'; all when not given", read)
    parser.add_argument("--text", "-q", help='words, "phrases" and beginnings* in the payload')
    parser.add_argument("--subject", help="exactly this subject")
    parser.add_argument("--correlation", help="exactly this correlation id")
    add_times(parser)
    if has_positions:
        parser.add_argument("--after", type=sequence, metavar="SEQUENCE", help="later ones only")
        parser.add_argument("--before", type=sequence, metavar="SEQUENCE", help="earlier ones only")


def add_pattern(
    parser: Parser, help: str, read: Callable[[str], str] | None = None
) -> None:  # fmt: skip
    """Of which types, in its place or by its name; ``read`` checks what is in its place."""
    parser.add_argument(
        "pattern", nargs="?", type=read or pattern, metavar="PATTERN", help=help
    )  # fmt: skip
    parser.add_argument(
        "--type", dest="named_pattern", type=pattern, metavar="PATTERN", help="the same as PATTERN"
    )


def add_times(parser: Parser) -> None:
    """A span of time."""
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="an age (15m, 1h, 7d) or a time (2026-11-24)"
    )
    parser.add_argument("--until", type=moment, metavar="TIME", help="the same; not included")


def query(options: argparse.Namespace) -> dict[str, object]:
    """The filter as the API's parameters."""
    names = {"type": "pattern", "q": "text", "subject": "subject", "correlation": "correlation",
             "since": "since", "until": "until", "after": "after", "before": "before"}  # fmt: skip
    given = {name: getattr(options, option, None) for name, option in names.items()}
    return {name: value for name, value in given.items() if value is not None}


def add_who(parser: Parser) -> None:
    """Who does it."""
    parser.add_argument("--by", help="who does it, for the log; your login name when not given")


def who(options: argparse.Namespace) -> str:
    """Who does it: as told, else the login name."""
    import getpass

    if options.by:
        return str(options.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "somebody"  # a container's user may have no name


def pattern(text: str) -> str:
    """A pattern of types, checked before anything is asked."""
    from eventbus.patterns import Pattern

    try:
        return Pattern(text).text
    except ValueError as error:
        hint = "; words are looked for with --text" if " " in text else ""
        raise argparse.ArgumentTypeError(f"{error}{hint}") from None


def sequence(text: str) -> int:
    """A place in the log, with or without ``#``."""
    number = text.removeprefix("#")
    if not number.isdecimal() or not number.isascii() or len(number) > 18:
        raise argparse.ArgumentTypeError(f"must be a sequence such as 42 or #42, not {text!r}")
    return int(number)


def count(text: str) -> int:
    """How many, at least one."""
    number = text.replace("_", "").replace(",", "")
    if not number.isdecimal() or not number.isascii() or len(number) > 12 or int(number) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(number)


def positive_s(text: str) -> float:
    """Seconds of a duration above 0."""
    seconds = span_s(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"must be longer than nothing, not {text!r}")
    return seconds


def rate(text: str) -> float:
    """So many a second, above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def exclude(options: argparse.Namespace, *names: str) -> None:
    """Raises UsageError when more than one of these was given."""
    given = [name for name in names if getattr(options, name.strip("-").replace("-", "_"))]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} exclude each other")
