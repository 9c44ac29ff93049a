"""The real app with the harness's handlers and clients in its process."""

from __future__ import annotations

import os
from pathlib import Path

from app import create_app
from app.runtime import STOP_TIMEOUT_S, Runtime
from tests.crash.faults import Faults
from tests.crash.host import Host, watch_in_thread
from tests.crash.place import Place
from tests.crash.wsgi_names import PLACE_VARIABLE, SEED_VARIABLE


class TriedRuntime(Runtime):
    """Starts the harness's part as soon as there is a bus."""

    _host: Host

    def start(self, wait_for_lock_s: float = 0.0) -> None:
        is_first = not self.is_started
        super().start(wait_for_lock_s)
        if is_first:
            self._host = Host(place, faults, int(os.environ[SEED_VARIABLE]))
            self._host.start(self.bus)
            watch_in_thread(self._host)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        is_running = self.is_started
        super().stop(timeout_s)
        if is_running:
            self._host.ended()


place = Place(Path(os.environ[PLACE_VARIABLE]))
faults = Faults(place)
faults.install()
app = create_app()
app.extensions["eventbus"] = TriedRuntime(app, app.extensions["eventbus"].settings)
