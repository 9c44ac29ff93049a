"""The life of a log that several processes share: random ones are killed while others go on."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.crash.beacon import DRAINED, READY, STAGES, Beacon
from tests.crash.checker import check
from tests.crash.facts import Finding
from tests.crash.faults import incarnation_of
from tests.crash.hosts import LibraryHost, wait_for
from tests.crash.life import compare, count_facts, plan_of_death
from tests.crash.place import Place
from tests.crash.points import NAMES, Deck
from tests.crash.tally import Tally
from tests.crash.zygote import Zygote

_READY_S = 90.0  # the others go on, and a start takes twenty commits
_DRAIN_S = 90.0
_LOAD_S = (0.02, 0.6)
_POINT_WAIT_S = 1.5
_START_S = 0.3


class Member:
    """One of the processes, whichever life of it."""

    def __init__(self, place: Place, seed: int, zygote: Zygote) -> None:
        self.place = place
        self.beacon = Beacon(place.beacon)
        self.host = LibraryHost(place, seed, zygote)

    def start(self, plan: dict[str, object]) -> None:
        self.beacon.set("fired", 0)
        self.beacon.set("phase", 0)
        self.place.plan.write_text(json.dumps(plan))
        self.host.start()

    @property
    def is_ready(self) -> bool:
        return self.beacon.get("phase") >= READY

    @property
    def is_drained(self) -> bool:
        return self.beacon.get("phase") == DRAINED

    @property
    def incarnation(self) -> int:
        return incarnation_of(self.beacon, self.place.member)


class SharedLife:
    """As ``Life``, of two or three members and a schema of its own, at ``server_url``.

    The schema is dropped unless something was found.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        zygote: Zygote,
        tally: Tally,
        deck: Deck,
        server_url: str,
    ) -> None:
        place = Place(directory)
        place.create()
        self._schema = f"crash_{os.getpid()}_{tally.databases}"
        self._conn = psycopg.connect(server_url, autocommit=True)
        self._conn.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
        self._conn.execute(f"CREATE SCHEMA {self._schema}")
        place.share(f"{server_url}?options={quote(f'-csearch_path={self._schema}')}")
        self._chance = random.Random(seed)
        self._deck = deck
        self._seed = seed
        self._zygote = zygote
        self._tally = tally
        self._members = [
            Member(Place(directory, number), seed, zygote)
            for number in range(self._chance.choice((2, 3)))
        ]
        self._findings: list[Finding] = []
        tally.databases += 1

    def run(self, rounds: int) -> list[Finding]:
        """Kill in ``rounds``, then check; gives what was found."""
        try:
            for number in range(rounds):
                self._round(is_first=number == 0)
                self._tally.rounds += 1
            self._end()
            self._check()
        except TimeoutError as error:
            self._findings.append(Finding("stuck", str(error)))
        finally:
            for member in self._members:
                member.host.kill()
        for member in self._members:
            self._tally.passes.update(member.beacon.passes())
            member.beacon.close()
        self._tally.findings.update(finding.rule for finding in self._findings)
        if not self._findings:
            self._conn.execute(f"DROP SCHEMA {self._schema} CASCADE")
        self._conn.close()
        return self._findings

    def _round(self, is_first: bool) -> None:
        """One is started to die by a plan; the others run, or die before so that it serves."""
        chosen = self._chance.choice(self._members)
        others = [member for member in self._members if member is not chosen]
        self._kill([chosen])
        plan = plan_of_death(self._chance, self._deck, is_first)
        self._start(chosen, plan)
        if plan.get("how") == "start":
            time.sleep(self._chance.random() * _START_S)  # any instant of a start
        else:
            self._await_ready(chosen)
            if self._chance.random() < 0.6:  # then it takes over what they served
                self._kill(others)
            if self._chance.random() < 0.5:
                self._start_all()
            limit_s = _POINT_WAIT_S if "point" in plan else self._chance.uniform(*_LOAD_S)
            wait_for(lambda: not chosen.host.is_alive, limit_s)
        self._kill([chosen])
        self._start_all(others)

    def _start(self, member: Member, plan: dict[str, object]) -> None:
        self._tally.starts["library"] += 1
        member.start(plan)

    def _start_all(self, members: Iterable[Member] | None = None) -> None:
        for member in self._members if members is None else members:
            if not member.host.is_alive:
                self._note_death(member)
                self._start(member, {})

    def _await_ready(self, member: Member) -> None:
        wait_for(
            lambda: member.is_ready or not member.host.is_alive, _READY_S, "a member is ready"
        )  # fmt: skip

    def _kill(self, members: Iterable[Member]) -> None:
        for member in members:
            if member.host.pid == 0:
                continue  # it never ran
            self._note_death(member)
            member.host.kill()
            member.host.pid = 0

    def _note_death(self, member: Member) -> None:
        """Count how it died, or is about to: by its plan, by a lethal event, from outside."""
        if member.host.pid == 0:
            return
        fired = member.beacon.get("fired")
        if fired and not member.host.is_alive:
            how = f"at {NAMES[fired - 1]}"
        elif not member.host.is_alive:
            self._findings.append(Finding("ended", f"member {member.place.member} by itself"))
            how = "by itself"
        else:
            how = f"from outside, {'under load' if member.is_ready else 'starting'}"
        self._tally.kills[how] += 1
        self._tally.stages[STAGES[member.beacon.get("stage")]] += 1
        if not member.host.is_alive:
            member.host.pid = 0

    def _end(self) -> None:
        """All run until everything sent is acknowledged and everything recorded is handled."""
        self._members[0].place.stop()
        self._members[0].place.drain()
        deadline = time.monotonic() + _DRAIN_S
        while not all(member.is_drained for member in self._members):
            for member in self._members:
                if not member.host.is_alive and not member.is_drained:  # by a lethal event
                    self._note_death(member)
                    self._start(member, {})
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {_DRAIN_S:g} s still not: everything is handled at last")
            time.sleep(0.02)
        for member in self._members:
            member.host.stop()

    def _check(self) -> None:
        place = self._members[0].place
        facts, findings = check(place.directory)
        self._findings += findings
        for member in self._members:
            if member.incarnation not in facts.runs.clean:
                text = f"member {member.place.member} did not end in good order"
                self._findings.append(Finding("ended", text))
        self._findings += compare(place, self._seed, self._zygote)
        count_facts(self._tally, facts)
