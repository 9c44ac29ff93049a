"""The process's log lines: one form for all of them, and nothing from outside can forge one."""

from __future__ import annotations

import logging
import re
import sys

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class OneLineFormatter(logging.Formatter):
    """Writes a message on one line; control characters in it, which events may hold, escaped.

    A traceback follows on lines of its own, indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(_escaped, super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join("    " + _CONTROL.sub(_escaped, line) for line in text.split("\n"))


def configure(level: str) -> None:
    """Send what this process logs at ``level`` and above to standard error; once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
