"""A client over HTTP, in a process of its own that may be killed as well."""

from __future__ import annotations

import contextlib
import http.client
import random
import time
from typing import Any

from tests.crash import workload
from tests.crash.journal import Answer, Journal
from tests.crash.place import Place
from tests.crash.publishers import again, old_message
from tests.helpers.api import Api

_AWAY = (OSError, http.client.HTTPException)
_RETRY_S = 0.02
_LONGEST_PAUSE_S = 0.025


class AwayError(Exception):
    """The server did not answer."""


class HttpClient:
    """Publishes single events and batches until the place says stop and all is acknowledged.

    What was not answered is sent again if it has ids; else it may have been recorded or not.
    """

    def __init__(self, place: Place, name: str, seed: int) -> None:
        self._place = place
        self._name = name
        self._seed = seed
        self._journal = Journal(place.journals / f"{name}.jsonl")
        self._chance = random.Random()
        self._api: Api | None = None

    def run(self) -> None:
        journal = self._journal
        for number in again(journal):
            self._send(number, journal.sent[number])
        while not self._place.is_stopping and not self._place.is_abandoned:
            if self._chance.random() < 0.1 and (old := old_message(journal, self._chance)):
                self._send(old, journal.acknowledged[old])
            events = workload.message(self._seed, self._name, journal.next)
            self._send(journal.send(events), events)
            time.sleep(self._chance.random() * _LONGEST_PAUSE_S)

    def _send(self, number: int, events: list[dict[str, Any]]) -> None:
        while not self._place.is_abandoned:
            with contextlib.suppress(AwayError):
                return self._post(number, events)
            if not workload.has_ids(events):
                self._journal.give_up(number)
                return None
            time.sleep(_RETRY_S)
        return None

    def _post(self, number: int, events: list[dict[str, Any]]) -> None:
        query = {"wait": "handled", "timeout": "1"} if self._chance.random() < 0.05 else {}
        try:
            if self._api is None:
                self._api = Api(int(self._place.port.read_text()))
            body: Any = events if len(events) > 1 else events[0]
            answer = self._api.post("/api/events", body, **query)
        except (*_AWAY, ValueError) as error:  # ValueError: the port is being written
            self._api = None
            raise AwayError from error
        if answer.status == 503:
            raise AwayError
        if answer.status not in (200, 202):
            self._journal.refuse(number, f"{answer.status} {answer.text}")
            return
        entries = answer.json["events"] if len(events) > 1 else [answer.json]
        answers: list[Answer] = [(e["id"], e["sequence"], e["duplicate"]) for e in entries]
        self._journal.acknowledge(number, answers)
