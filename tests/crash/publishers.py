"""Clients inside the bus's own process: threads and coroutines that publish and keep journals."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

from eventbus import EventBus
from eventbus.receipt import BatchReceipt
from tests.crash import workload
from tests.crash.faults import Faults
from tests.crash.journal import Answer, Journal
from tests.crash.place import Place
from tests.crash.points import UNJOURNALED

THREADS = 2
COROUTINES = 3
_LONGEST_PAUSE_S = 0.012
_MOST_UNAWAITED = 6


class Publishers:
    """All clients of one process; each goes on where its journal says that it died."""

    def __init__(self, bus: EventBus, place: Place, faults: Faults, seed: int) -> None:
        self._bus = bus
        self._place = place
        self._faults = faults
        self._seed = seed
        self._of = f"m{place.member}" if place.member else ""
        self._threads = [
            threading.Thread(
                target=self._run_thread, args=(f"{self._of}t{number}",), name=f"client-{number}"
            )
            for number in range(THREADS)
        ]
        self._threads.append(threading.Thread(target=self._run_loop, name="client-loop"))

    def start(self) -> None:
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    @property
    def have_ended(self) -> bool:
        """Whether everything was acknowledged after the place said stop."""
        return not any(thread.is_alive() for thread in self._threads)

    def _journal(self, client: str) -> Journal:
        return Journal(self._place.journals / f"{client}.jsonl")

    def _publish(self, events: list[dict[str, Any]]) -> BatchReceipt:
        return self._bus.publish_many(events)

    def _acknowledge(self, journal: Journal, number: int, receipt: BatchReceipt) -> None:
        self._faults.reach(UNJOURNALED.name)
        answers: list[Answer] = [
            (event.id, event.sequence, duplicate)
            for event, duplicate in zip(receipt.events, receipt.duplicates, strict=True)
        ]
        journal.acknowledge(number, answers)

    # -- a plain thread ----------------------------------------------------------------------

    def _run_thread(self, client: str) -> None:
        journal = self._journal(client)
        chance = random.Random()
        pause = threading.Event()
        for number in again(journal):
            self._send(journal, number, journal.sent[number])
        if self._faults.plan.get("lethal") and client == f"{self._of}t0":
            events = workload.lethal(client, journal.next)
            self._send(journal, journal.send(events), events)
        while not self._place.is_stopping:
            if chance.random() < 0.1 and (old := old_message(journal, chance)):
                self._send(journal, old, journal.acknowledged[old])
            events = workload.message(self._seed, client, journal.next)
            self._send(journal, journal.send(events), events)
            pause.wait(chance.random() * _LONGEST_PAUSE_S)

    def _send(self, journal: Journal, number: int, events: list[dict[str, Any]]) -> None:
        receipt = self._publish(events)
        receipt.wait()
        self._acknowledge(journal, number, receipt)

    # -- coroutines --------------------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.run(self._run_coroutines())

    async def _run_coroutines(self) -> None:
        await asyncio.gather(*(self._run_coroutine(f"{self._of}c{n}") for n in range(COROUTINES)))

    async def _run_coroutine(self, client: str) -> None:
        """Publishes up to six messages before it looks at a receipt."""
        journal = self._journal(client)
        chance = random.Random()
        for number in again(journal):
            receipt = self._publish(journal.sent[number])
            await receipt
            self._acknowledge(journal, number, receipt)
        while not self._place.is_stopping:
            receipts = []
            for _ in range(chance.randint(1, _MOST_UNAWAITED)):
                events = workload.message(self._seed, client, journal.next)
                number = journal.send(events)
                receipts.append((number, self._publish(events)))
            for number, receipt in receipts:
                await receipt
                self._acknowledge(journal, number, receipt)
            await asyncio.sleep(chance.random() * _LONGEST_PAUSE_S * 2)


def again(journal: Journal) -> list[int]:
    """The messages of the last life to send again, in order; those without ids are given up."""
    for number in list(journal.sent):
        if not workload.has_ids(journal.sent[number]):
            journal.give_up(number)
    return sorted(journal.sent)


def old_message(journal: Journal, chance: random.Random) -> int | None:
    """An acknowledged message that may be sent once more, of the last few."""
    recent = [
        number
        for number in range(max(1, journal.next - 20), journal.next)
        if workload.has_ids(journal.acknowledged.get(number, [{}]))
    ]
    return chance.choice(recent) if recent else None
