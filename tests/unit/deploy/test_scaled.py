"""deploy/compose.scaled.yml: two processes, nginx, PostgreSQL, RabbitMQ; and what goes with it.

There may be no Docker where the tests run: what the files say is checked, and nginx with its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import VARIABLES, Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (DEPLOY / "compose.scaled.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def environment(service: dict[str, Any], **given: str) -> dict[str, str]:
    """What a container gets, as Compose fills it in."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if default.startswith("?"):
            assert name in given, f"{name} has to be given"
        return given.get(name, default.removeprefix("-"))

    return {
        name: re.sub(r"\$\{(\w+):([-?][^}]*)\}", value, text)
        for name, text in service["environment"].items()
    }


def test_two_processes_are_the_same_and_the_server_takes_their_environment(
    services: dict[str, Any],
) -> None:
    assert services["app-1"] == services["app-2"]
    variables = environment(
        services["app-1"], POSTGRES_PASSWORD="aB3", RABBITMQ_PASSWORD="cD4",
        EVENTBUS_INSECURE_BIND="yes",
    )  # fmt: skip
    assert set(variables) <= {variable.name for variable in VARIABLES}
    settings = Settings.from_environment(variables)
    assert settings.database_url == "postgresql://eventbus:aB3@postgresql:5432/eventbus"
    assert settings.broker is not None and settings.broker_name == "eventbus"
    assert environment(services["postgresql"], POSTGRES_PASSWORD="aB3")["POSTGRES_DB"] == "eventbus"
    for name in ("postgresql", "rabbitmq"):
        assert services["app-1"]["depends_on"][name] == {"condition": "service_healthy"}
        assert services[name]["healthcheck"]["test"]
    assert services["app-1"]["build"]["args"] == {"SCALED": "yes"}
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "ARG SCALED=no" in dockerfile


def test_only_nginx_is_reached_and_by_this_machine_alone(services: dict[str, Any]) -> None:
    assert {name for name, each in services.items() if "ports" in each} == {"nginx"}
    assert services["nginx"]["ports"] == ["127.0.0.1:8000:8000"]
    (mount,) = services["nginx"]["volumes"]
    assert (DEPLOY / mount.partition(":")[0]).exists()


def test_nginx_knows_both_and_does_as_the_one_with_tls(services: dict[str, Any]) -> None:
    own = (DEPLOY / "nginx.scaled.conf").read_text(encoding="utf-8")
    assert re.findall(r"^    server (\S+):8000;", own, re.MULTILINE) == ["app-1", "app-2"]
    # All but TLS, names and ports is as in the file that a test runs with a real server.
    other = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    marked = "    # At least EVENTBUS_MAX_BODY_BYTES"
    assert own[own.index(marked) :] == other[other.index(marked) :]


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    own = (DEPLOY / "nginx.scaled.conf").read_text(encoding="utf-8")
    own = re.sub(r"server app-\d:8000;", "server 127.0.0.1:8000;", own)
    text = f"pid {tmp_path}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{own}}}\n"
    (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
    command = ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_what_the_image_gets_beyond_is_what_the_tests_have() -> None:
    pins = {
        line.partition("==")[0]: line
        for line in (DEPLOY / "requirements-scaled.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    }
    tested = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert {"psycopg", "psycopg-binary", "aio-pika"} <= set(pins)
    for line in pins.values():
        assert line in tested
