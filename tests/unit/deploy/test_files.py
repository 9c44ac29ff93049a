"""deploy/: what the image is made of, and that proxy, unit and compose file fit the server."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from werkzeug.routing import Rule

from app import create_app
from app.config import VARIABLES, Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, with continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    pairs = (line.strip().partition(" ") for line in lines if line.strip())
    return [(name, " ".join(rest.split())) for name, _, rest in pairs]


def copied() -> set[str]:
    """What comes into the image from the checkout."""
    found: set[str] = set()
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            found.update(rest.split()[:-1])
    return found


def test_the_image_has_what_the_server_imports_and_nothing_of_the_tests() -> None:
    wanted = {"wsgi.py", "gunicorn.conf.py"}
    rooms = set()
    for file in [ROOT / "wsgi.py", ROOT / "gunicorn.conf.py", *(ROOT / "app").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            )  # fmt: skip
            rooms |= {name.partition(".")[0] for name in names if name}
    wanted |= {room for room in rooms if (ROOT / room).is_dir() and room not in ("tests", "bench")}
    assert wanted | {"templates", "static"} <= copied()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert not path.startswith(("tests", "bench", "var"))


def test_what_is_copied_is_sent_to_the_builder() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "*"
    assert {line[1:] for line in ignore if line.startswith("!")} == copied()


def test_the_image_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    steps = instructions()
    users = [rest for name, rest in steps if name == "USER"]
    assert users == ["10001:10001"]
    (command,) = [json.loads(rest) for name, rest in steps if name == "CMD"]
    assert command == ["gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]
    last = [name for name, _ in steps]
    assert last.index("USER") < last.index("CMD")
    (volume,) = [rest for name, rest in steps if name == "VOLUME"]
    environment = shlex.split(next(rest for name, rest in steps if name == "ENV"))
    values = dict(pair.split("=", 1) for pair in environment)
    assert values["EVENTBUS_DATABASE_URL"] == f"sqlite:///{volume}/events.db"
    assert "python" in next(rest for name, rest in steps if name == "HEALTHCHECK")


def known_variables() -> set[str]:
    return {variable.name for variable in VARIABLES}


def test_the_compose_file_gives_the_server_a_volume_and_nothing_else_to_write_to() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
    server = compose["services"]["eventbus"]
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert server["volumes"] == ["data:/var/lib/eventbus"]
    assert server["ports"] == ["127.0.0.1:8000:8000"]
    assert set(server["environment"]) <= known_variables()
    monitoring = {name: service for name, service in compose["services"].items()
                  if "profiles" in service}  # fmt: skip
    assert set(monitoring) == {"prometheus", "grafana"}
    for service in monitoring.values():
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scrape["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["eventbus:8000"]}]
    assert (DEPLOY / "prometheus" / scrape["rule_files"][0]).exists()


class Unit(configparser.RawConfigParser):
    """A unit file: keys may come more than once, and keep their case."""

    def __init__(self) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[assignment, method-assign]


def test_the_unit_restarts_what_a_restart_can_help_and_writes_to_one_place() -> None:
    unit = Unit()
    unit.read(DEPLOY / "eventbus.service", encoding="utf-8")
    service = unit["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "eventbus"
    assert service["RestartPreventExitStatus"] == "3"
    text = (DEPLOY / "eventbus.service").read_text(encoding="utf-8")
    assert set(re.findall(r"\b(EVENTBUS_[A-Z_]+)=", text)) <= known_variables()


def websocket_rules() -> list[Rule]:
    app = create_app(Settings())
    return [rule for rule in app.url_map.iter_rules() if rule.websocket or rule.endpoint in (
        "live.page", "live.stream", "consume.consume",
    )]  # fmt: skip


def test_the_proxy_knows_every_websocket() -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"location ~ (\S+) \{", text)
    rules = websocket_rules()
    assert len(rules) >= 3
    for rule in rules:
        path = re.sub(r"<[^>]+>", "some/name", rule.rule)
        assert re.search(pattern, path), path
    # What takes requests of the same beginning stays where those are.
    assert not re.search(pattern, "/api/subscriptions/some/name/pause")


def test_the_proxy_sets_what_the_server_believes_instead_of_adding_to_it() -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    locations = re.findall(r"location [^{]+\{(.*?)\n    \}", text, flags=re.DOTALL)
    for location in locations:
        if "proxy_pass" in location:
            assert "proxy_set_header X-Forwarded-For $remote_addr;" in location
            assert "proxy_set_header X-Forwarded-Proto $scheme;" in location
            assert "proxy_set_header Host $http_host;" in location
    assert "proxy_add_x_forwarded_for" not in text
    (size,) = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(size) * 2**20 >= Settings().max_body_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="for containers")
def test_the_health_check_of_the_image_says_no_when_nobody_answers() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("healthcheck", DEPLOY / "healthcheck.py")
    assert spec is not None and spec.loader is not None
    healthcheck = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(healthcheck)
    assert healthcheck.is_alive(9) is False
