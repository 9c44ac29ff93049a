"""`make services`: containers where Docker runs, processes elsewhere; a stand-in for Docker."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.container import COMPOSE_FILE
from tests.services.kafka import VERSION
from tests.services.service import kept_ports

ROOT = Path(__file__).parents[3]
# Says what it was asked, with the ports that it was told; fails as it is told to.
DOCKER = """\
#!/bin/sh
echo "$* $EVENTBUS_KAFKA_PORT" >> "$DOCKER_ASKED"
case "$1" in "$DOCKER_FAILS") echo "no daemon" >&2; exit 1;; esac
"""


class Machine:
    """One with a stand-in for Docker and nothing else: no Java, no Maven."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = folder / "bin"
        self._programs.mkdir()
        self._asked = folder / "asked"
        self.has_docker()

    def has_docker(self, is_there: bool = True) -> None:
        docker = self._programs / "docker"
        docker.unlink(missing_ok=True)
        if is_there:
            docker.write_text(DOCKER)
            docker.chmod(0o755)

    def services(self, *words: str, fails: str = "-") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.services", *words], cwd=ROOT, capture_output=True,
            text=True, timeout=120, check=False,
            env={
                "PATH": str(self._programs), "PYTHONPATH": str(ROOT), "DOCKER_FAILS": fails,
                "DOCKER_ASKED": str(self._asked), "EVENTBUS_TEST_SERVICES": str(self.folder),
            },
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    @property
    def asked(self) -> list[str]:
        """What Docker was asked to do, without the questions whether it is there."""
        if not self._asked.exists():
            return []
        lines = self._asked.read_text().splitlines()
        return [line.strip() for line in lines if line.startswith("compose -p")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def listening(machine: Machine) -> Iterator[int]:
    """The port of Kafka, with somebody who listens there as the container would."""
    port = kept_ports(machine.folder / "kafka", "client")["client"]
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_where_docker_runs_a_service_is_a_container_at_the_same_address(
    machine: Machine, listening: int
) -> None:
    address = f"kafka: kafka://127.0.0.1:{listening}\n"
    assert machine.services("start", "kafka") == (0, address)
    (asked,) = machine.asked
    assert re.fullmatch(
        rf"compose -p eventbus-\w+ -f {re.escape(str(COMPOSE_FILE))} up --detach --wait "
        rf"--wait-timeout 180 kafka {listening}",
        asked,
    )
    assert machine.services("status", "kafka") == (0, address)
    assert machine.services("start", "kafka") == (0, address)
    assert len(machine.asked) == 1, "it runs already"
    assert machine.services("stop", "kafka") == (0, "kafka: not running\n")
    assert machine.asked[-1].endswith("stop kafka")


@pytest.mark.parametrize(
    ("words", "fails"), [(["--native"], "-"), ([], "info"), ([], "compose")]
)  # fmt: skip
def test_else_it_is_a_process(machine: Machine, words: list[str], fails: str) -> None:
    code, said = machine.services("start", "kafka", *words, fails=fails)
    assert (code, "needs Java 17, and there is none" in said) == (1, True), said
    assert machine.asked == []


def test_a_container_that_is_wanted_and_cannot_be_had_is_an_error(machine: Machine) -> None:
    machine.has_docker(False)
    code, said = machine.services("start", "kafka", "--docker")
    assert (code, "Docker Compose is not here" in said) == (2, True), said


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return found


def test_containers_are_reached_from_this_machine_alone_and_say_when_they_are_up() -> None:
    for name, service in compose()["services"].items():
        assert re.fullmatch(r"[\w/]+:\d+\.\d+(\.\d+)?", service["image"]), "one version"
        (port,) = service["ports"]
        assert port.startswith(f"127.0.0.1:${{EVENTBUS_{name.upper()}_PORT:-")
        assert service["healthcheck"]["test"][0] == "CMD"


def test_kafka_is_the_same_in_a_container_and_as_a_process() -> None:
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{VERSION}"
