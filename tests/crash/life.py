"""One database's life: start, load, kill, again and again; then drain, stop and check."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from tests.crash.beacon import DRAINED, READY, STAGES, Beacon
from tests.crash.checker import check
from tests.crash.facts import Facts, Finding
from tests.crash.hosts import Host, LibraryHost, ServerHost, kill, wait_for
from tests.crash.place import Place, is_alive
from tests.crash.points import AT_START, NAMES, Deck
from tests.crash.replayed import RESULT
from tests.crash.tally import Tally
from tests.crash.zygote import Zygote

HTTP_CLIENTS = 2
_READY_S = 30.0
_DRAIN_S = 60.0
_LOAD_S = (0.02, 0.6)
_POINT_WAIT_S = 0.9
_START_S = {"library": 0.12, "server": 0.9}


class Life:
    """Runs in the harness's process; every choice follows from the seed, the timing does not."""

    def __init__(
        self, directory: Path, seed: int, zygote: Zygote, tally: Tally, deck: Deck
    ) -> None:
        self._place = Place(directory)
        self._place.create()
        self._seed = seed
        self._zygote = zygote
        self._tally = tally
        self._deck = deck
        self._chance = random.Random(seed)
        self._beacon = Beacon(self._place.beacon)
        self._has_server = tally.databases % 3 > 0  # a third has the library alone
        self._library = LibraryHost(self._place, seed, zygote)
        self._server = ServerHost(self._place, seed, self._beacon)
        self._respawning = False  # the server's arbiter has a new worker under way
        self._clients: dict[str, int] = {}
        self._findings: list[Finding] = []
        tally.databases += 1

    def run(self, rounds: int) -> list[Finding]:
        """Kill ``rounds`` times, then check; gives what was found."""
        try:
            for number in range(HTTP_CLIENTS if self._has_server else 0):
                self._start_client(f"h{number}")
            for number in range(rounds):
                self._round(is_first=number == 0)
                self._tally.rounds += 1
            self._end()
            self._check()
        except TimeoutError as error:
            self._findings.append(Finding("stuck", str(error)))
        finally:
            self._clean_up()
        self._tally.passes.update(self._beacon.passes())
        self._tally.findings.update(finding.rule for finding in self._findings)
        self._beacon.close()
        return self._findings

    # -- a round -----------------------------------------------------------------------------

    def _round(self, is_first: bool) -> None:
        if self._respawning:
            host: Host = self._server
        else:
            is_server = self._has_server and self._chance.random() < 0.45
            host = self._server if is_server else self._library
        plan = {
            **plan_of_death(self._chance, self._deck, is_first),
            "small_wal": self._chance.random() < 0.3,
        }
        if self._respawning:
            plan = {} if plan.get("how") != "start" else plan  # its worker gets none
            self._respawning = False
        else:
            self._start(host, plan)
        if self._chance.random() < 0.1 and self._clients:
            self._kill_client()
        self._await_death(host, plan)
        self._record_death(host)

    def _start(self, host: Host, plan: dict[str, object]) -> None:
        self._forget_last()
        self._place.plan.write_text(json.dumps(plan))
        self._tally.starts[host.kind] += 1
        host.start()

    def _forget_last(self) -> None:
        """What the beacon says from here on is the next process's."""
        self._beacon.set("fired", 0)
        self._beacon.set("phase", 0)

    def _await_death(self, host: Host, plan: dict[str, object]) -> None:
        if plan.get("how") == "start":
            time.sleep(self._chance.random() * _START_S[host.kind])  # any instant of a start
            return
        wait_for(
            lambda: self._beacon.get("phase") >= READY or not host.is_alive,
            _READY_S,
            f"a {host.kind} that was started is ready",
        )
        limit_s = _POINT_WAIT_S if "point" in plan else self._chance.uniform(*_LOAD_S)
        wait_for(lambda: not host.is_alive, limit_s)

    def _record_death(self, host: Host) -> None:
        is_starting = self._beacon.get("phase") < READY
        fired = self._beacon.get("fired")
        if fired and not host.is_alive:
            how = f"at {NAMES[fired - 1]}"
        elif not host.is_alive:
            self._findings.append(Finding("ended", f"a {host.kind} ended by itself"))
            how = "by itself"
        else:
            how = "from outside, starting" if is_starting else "from outside, under load"
        if host is self._server and self._chance.random() < 0.4 and not is_starting:
            self._server.kill_worker()
            self._respawning = True
            self._tally.starts["worker by the arbiter"] += 1
        else:
            host.kill()
        self._tally.kills[how] += 1
        self._tally.stages[STAGES[self._beacon.get("stage")]] += 1
        if self._respawning:
            self._forget_last()

    # -- clients -----------------------------------------------------------------------------

    def _start_client(self, name: str) -> None:
        self._clients[name] = self._zygote.fork("client", self._place, self._seed, name)

    def _kill_client(self) -> None:
        name = self._chance.choice(sorted(self._clients))
        kill(self._clients[name])
        wait_for(lambda: not is_alive(self._clients[name]), _READY_S, "a killed client is gone")
        self._tally.kills["a client"] += 1
        self._start_client(name)

    # -- the end -----------------------------------------------------------------------------

    def _end(self) -> None:
        """A last start: everything sent is acknowledged, everything recorded is handled."""
        self._end_arbiter()
        self._place.stop()
        host: Host = self._server if self._has_server else self._library
        while True:
            self._start(host, {})
            has_ended = wait_for(
                lambda: not any(map(is_alive, self._clients.values())) or not host.is_alive,
                _DRAIN_S,
                "the clients get their last answers",
            )
            self._place.drain()
            wait_for(
                lambda: self._beacon.get("phase") == DRAINED or not host.is_alive,
                _DRAIN_S,
                "everything is handled at last",
            )
            if has_ended and self._beacon.get("phase") == DRAINED:
                break
            self._record_death(host)  # a lethal event had attempts left
            self._end_arbiter()
        host.stop()

    def _end_arbiter(self) -> None:
        if self._respawning:
            self._server.kill()
            self._respawning = False

    def _check(self) -> None:
        facts, findings = check(self._place.directory)
        self._findings += findings
        if self._beacon.get("incarnation") not in facts.runs.clean:
            self._findings.append(Finding("ended", "the last process did not end in good order"))
        self._findings += compare(self._place, self._seed, self._zygote)
        count_facts(self._tally, facts)

    def _clean_up(self) -> None:
        for pid in self._clients.values():
            kill(pid)
        self._library.kill()
        self._server.kill()


def plan_of_death(chance: random.Random, deck: Deck, is_first: bool) -> dict[str, object]:
    """How the next process is to die."""
    choose = chance.random()
    if choose < 0.15:
        return {"how": "start"}
    if choose < 0.35:
        return {}
    if choose < 0.38:
        return {"lethal": True}
    point = deck.draw(AT_START if is_first else None)
    # Early passes more often: the first commit after a start is the one least tried.
    passes = max(1, round(chance.random() ** 3 * point.passes * 0.35))
    plan: dict[str, object] = {"point": point.name, "passes": passes}
    if point.delay_us:
        plan["delay_us"] = max(1, round(chance.random() ** 2 * point.delay_us))
    return plan


def compare(place: Place, seed: int, zygote: Zygote) -> list[Finding]:
    """What the read models and a replay of the log say differently."""
    pid = zygote.fork("compare", place, seed)
    wait_for(lambda: not is_alive(pid), _READY_S, "the log is replayed")
    result = place.directory / RESULT
    differences = json.loads(result.read_text()) if result.exists() else ["it broke"]
    return [Finding("replay", text) for text in differences]


def count_facts(tally: Tally, facts: Facts) -> None:
    """Add what was checked to the tally."""
    tally.checked.update({
        "events": len(facts.events),
        "deliveries": len(facts.deliveries),
        "failed attempts": len(facts.attempts),
        "crashed attempts": sum(a["outcome"] == "crashed" for a in facts.attempts),
        "dead letters": sum(d["state"] == "dead" for d in facts.deliveries),
        "messages": len(facts.messages),
        "acknowledged messages": sum(m.answers is not None for m in facts.messages),
        "messages sent again": sum(len(m.again) for m in facts.messages),
        "effects": len(facts.applied),
    })  # fmt: skip
