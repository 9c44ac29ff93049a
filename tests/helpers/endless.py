"""The app with rebuilds that never come to the end of the log, until they are stopped."""

from __future__ import annotations

import eventbus.rebuild
from app import create_app

eventbus.rebuild._FEW = -(2**62)  # it is never near enough
eventbus.rebuild._WINDOW_ROUNDS = 2**62  # and never given up
eventbus.rebuild._ROUND_S = 0.05

app = create_app()
