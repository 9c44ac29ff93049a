"""How a failed attempt is told: the error's class, message and traceback, bounded and storable."""

from __future__ import annotations

import traceback

from eventbus.errors import RemoteHandlerError

_MAX_CLASS_CHARS = 200
_MAX_MESSAGE_CHARS = 2_000
_MAX_TRACEBACK_CHARS = 20_000


def describe(error: BaseException) -> tuple[str, str, str]:
    """The class name, message and traceback of an error, each of bounded length."""
    if isinstance(error, RemoteHandlerError):
        return (
            _storable(error.error_class[:_MAX_CLASS_CHARS]),
            _storable(error.message[:_MAX_MESSAGE_CHARS]),
            _storable(_shortened(error.traceback)),
        )
    try:
        message = str(error)
    except Exception as unprintable:
        message = f"(its message cannot be shown: {type(unprintable).__name__})"
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:
        # Python 3.11 parses source to place its carets, and that fails when another thread
        # parses at the same time. Without positions it does not parse.
        lines = _without_carets(error)
    return (
        type(error).__qualname__,
        _storable(message[:_MAX_MESSAGE_CHARS]),
        _storable(_shortened(lines)),
    )


def _shortened(lines: str) -> str:
    if len(lines) <= _MAX_TRACEBACK_CHARS:
        return lines
    half = _MAX_TRACEBACK_CHARS // 2
    return f"{lines[:half]}\n... shortened ...\n{lines[-half:]}"


def _without_carets(error: BaseException) -> str:
    try:
        frames = [f"{f.f_code.co_filename}:{line} in {f.f_code.co_name}"
                  for f, line in traceback.walk_tb(error.__traceback__)]  # fmt: skip
        return "\n".join([*frames, "".join(traceback.format_exception_only(error))])
    except Exception as unprintable:
        return f"(its traceback cannot be shown: {type(unprintable).__name__})"


def _storable(text: str) -> str:
    """Text that any database takes: no NUL, no lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
