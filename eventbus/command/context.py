"""What a command is given: its arguments, the server, the screen."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventbus.command.screen import Screen

if TYPE_CHECKING:
    from eventbus.command.server import Server


@dataclass(frozen=True, slots=True)
class Context:
    """One run of one command; ``prog`` is how it was called."""

    prog: str
    options: argparse.Namespace
    screen: Screen
    server: Server

    @property
    def as_json(self) -> bool:
        return bool(getattr(self.options, "json", False))
