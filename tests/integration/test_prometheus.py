"""A real Prometheus with the configuration of deploy/: it scrapes, every rule and panel works."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.helpers.api import Api
from tests.helpers.ports import free_port
from tests.helpers.prometheus import ROOT, RULES, SCRAPE, program
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

PROMETHEUS, PROMTOOL = program("prometheus"), program("promtool")
BOARD = ROOT / "deploy" / "grafana" / "dashboards" / "eventbus.json"
WAIT_S = 30.0

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None,
    reason="needs prometheus and promtool: python -m tests.helpers.prometheus",
)


def run_promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_alert_of_what_is_wrong_and_of_nothing_else() -> None:
    run_promtool("check", "config", str(SCRAPE))
    run_promtool("test", "rules", str(ROOT / "tests/unit/deploy/rules.test.yml"))


@pytest.fixture
def prometheus(server: ServerProcess, tmp_path: Path) -> Iterator[Api]:
    """It scrapes ``server`` every two seconds, else as deploy/ says."""
    scrape = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))
    scrape["global"] = {
        "scrape_interval": "2s",
        "scrape_timeout": "2s",
        "evaluation_interval": "1s",
    }
    scrape["rule_files"] = [str(RULES)]
    (job,) = scrape["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{server.port}"]}]
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(scrape), encoding="utf-8")
    port = free_port()
    assert PROMETHEUS is not None
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [PROMETHEUS, f"--config.file={configuration}", f"--web.listen-address=127.0.0.1:{port}",
             f"--storage.tsdb.path={tmp_path / 'tsdb'}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    api = Api(port)

    def is_ready() -> bool:
        assert process.poll() is None, (tmp_path / "prometheus.log").read_text()
        try:
            return api.get("/-/ready").status == 200
        except OSError:
            return False

    try:
        wait_until(is_ready, "Prometheus is ready", WAIT_S)
        yield api
    finally:
        process.kill()
        process.wait(10)


def ask(prometheus: Api, path: str) -> Any:
    answer = prometheus.get(path).json
    assert answer["status"] == "success", answer
    return answer["data"]


def without_data(prometheus: Api) -> set[str]:
    """The board's expressions that Prometheus has no value for."""
    found = set()
    for panel in json.loads(BOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$job", "eventbus").replace("$instance", ".*")
            query = urlencode({"query": expression.replace("$__rate_interval", "1m")})
            if not ask(prometheus, f"/api/v1/query?{query}")["result"]:
                found.add(target["expr"])
    return found


def test_prometheus_has_a_value_for_every_panel_and_takes_every_rule(
    server: ServerProcess, prometheus: Api
) -> None:
    server.api.publish("evaluation.started", {"eval_id": "e"})
    empty: set[str] = {""}

    def has_all() -> bool:
        nonlocal empty
        empty = without_data(prometheus)
        return not empty

    try:
        wait_until(has_all, "every panel has a value", WAIT_S)
    except AssertionError:
        raise AssertionError(f"no values for {empty}") from None

    def takes_all() -> bool:
        (target,) = ask(prometheus, "/api/v1/targets")["activeTargets"]
        rules = ask(prometheus, "/api/v1/rules")["groups"][0]["rules"]
        return target["health"] == "up" and {rule["health"] for rule in rules} == {"ok"}

    wait_until(takes_all, "the server is up to it, and every rule was tried", WAIT_S)
    (group,) = ask(prometheus, "/api/v1/rules")["groups"]
    firing = {rule["name"] for rule in group["rules"] if rule["state"] == "firing"}
    assert not firing - {"EventBusDiskNearlyFull"}  # which may be true of this machine
