"""The check of the database after a crash: in the background, gently, told to everybody."""

from __future__ import annotations

import logging
import threading
from typing import Literal

from eventbus import EventBus
from eventbus.errors import EventBusError
from eventbus.log.integrity import IntegrityCheck, IntegrityReport
from eventbus.threads import give_way, start_thread

State = Literal["not needed", "running", "ok", "contradictions", "damaged", "not finished"]

_LOWEST_PRIORITY = 19
_JOIN_S = 0.3

log = logging.getLogger(__name__)


class StartCheck:
    """One thread, "eventbus-integrity", and only when the process before did not end well.

    Reading gigabytes takes longer than a start may; so the bus works meanwhile, and stops taking
    events when the file turns out to be damaged. ``state`` and ``report`` tell how it went.
    """

    def __init__(self, bus: EventBus) -> None:
        self.state: State = "not needed"
        self.report: IntegrityReport | None = None
        self._bus = bus
        self._check = IntegrityCheck(bus.log.path, "quick")
        self._thread = threading.Thread(target=self._run, name="eventbus-integrity", daemon=True)

    def start(self) -> None:
        """Begin, if there is a reason to."""
        if self._bus.log.owes_check:
            self.state = "running"
            log.warning("the server did not end in good order; checking %s", self._bus.log.path)
            start_thread(self._thread)

    def close(self) -> None:
        """Break it off; the next start then begins it anew."""
        self._check.interrupt()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        give_way(_LOWEST_PRIORITY)
        try:
            report = self._check.run()
        except OSError as error:
            log.error("the check of the database could not be made: %s", error)
            report = None
        if report is None:
            self.state = "not finished"
            return
        self.report = report
        self.state = "damaged" if report.problems else "contradictions" if report.findings else "ok"
        for sentence in report.problems + report.findings:
            log.error("the check of the database found: %s", sentence)
        log.info("the check of the database took %.1f s: %s", report.duration_s, self.state)
        self._bus.log.checked(report)
        self._tell(report)

    def _tell(self, report: IntegrityReport) -> None:
        data = {
            "result": self.state,
            "kind": report.kind,
            "reason": "the process before did not end in good order",
            "sequence": report.last_sequence,
            "duration_s": round(report.duration_s, 3),
            "problems": list(report.problems[:10]),
            "findings": list(report.findings),
        }
        try:
            self._bus.publish("bus.integrity.checked", data)
        except EventBusError as error:  # also: a damaged log does not take even this
            log.error("the result of the check was not recorded: %s", error)
