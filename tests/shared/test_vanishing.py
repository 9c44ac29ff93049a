"""A machine whose network is gone without a word: the others take over, and it may come back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventbus import EventBus
from eventbus.log import EventLog
from tests.helpers.databases import own_postgresql
from tests.helpers.waiting import wait_until
from tests.services import Postgresql
from tests.shared.conftest import Member
from tests.shared.member import KEEPALIVE_VARIABLE
from tests.shared.test_sharing import make_tables, publish, settled, share_of, steps, unfinished

PARTS = 4
LONG_S = 40.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace and the cable to it; ``here`` is the address of this end of it."""

    name: str
    here: str

    @property
    def there(self) -> str:
        return f"{self.here.rpartition('.')[0]}.2"

    @property
    def within(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def cable(self, state: str) -> None:
        """Pull it out ("down") or put it back ("up")."""
        _ip(f"link set {self.name} {state}")


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Another machine, as far as the network goes; skips the test where none can be made."""
    number = os.getpid() % 65_536
    made = Machine(f"away{number}", f"10.{number >> 8}.{number & 255}.1")
    with ExitStack() as undo:
        try:
            _ip(f"netns add {made.name}")
            undo.callback(_ip, f"netns del {made.name}")
            _ip(f"link add {made.name} type veth peer name eth0 netns {made.name}")
            _ip(f"addr add {made.here}/24 dev {made.name}")
            made.cable("up")
            for command in (f"addr add {made.there}/24 dev eth0", "link set eth0 up"):
                _ip(f"-n {made.name} {command}")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or error
            pytest.skip(f"this user can make no network namespace here: {said}".strip())
        yield made


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True, text=True)


def sessions_from(machine: Machine, server: Postgresql) -> int:
    where = f"client_addr = '{machine.there}'"
    return int(server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {where}"))


def test_a_machine_that_is_gone_loses_its_share_and_takes_one_when_it_is_back(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEEPALIVE_VARIABLE, "1")
    with own_postgresql(tmp_path / "server", machine.here) as server, ExitStack() as members:
        bus = members.enter_context(EventBus(EventLog(server.url, tmp_path)))
        make_tables(bus)
        near = members.enter_context(Member(server.url, tmp_path / "near", "sharer-near"))
        url = server.url.replace("127.0.0.1", machine.here)
        far = members.enter_context(Member(url, tmp_path / "far", "sharer-far", machine.within))
        for member in (near, far):
            member.ask(f"parts {PARTS}")
        share_of([near, far], [2, 2])
        count = publish(bus, PARTS, 30, 0.05)
        both = {near.name, far.name}
        wait_until(lambda: {step[3] for step in steps(bus)} == both, "both work", LONG_S)
        while not far.ask("running"):  # it may have done all by now: there is more
            count += publish(bus, PARTS, 3, 0.05)
        machine.cable("down")
        wait_until(lambda: len(near.ask("serving")) == PARTS, "the other has its share", LONG_S)
        count += publish(bus, PARTS, 5, 0.0)
        wait_until(lambda: unfinished(bus) == 0, "the other has handled all", LONG_S)
        # Also those that the server had something to say to: it was told of what came meanwhile.
        wait_until(lambda: sessions_from(machine, server) == 0, "it has no session left", LONG_S)
        machine.cable("up")
        share_of([near, far], [2, 2])
        count += publish(bus, PARTS, 10, 0.0)
        found = settled(bus, count)
        assert {who for *_, who in found[-10 * PARTS :]} == both
