"""The Grafana board and the alert rules: they parse, and name metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from app import create_app
from app.config import Settings
from tests.helpers.metrics import by_name, prometheus

DEPLOY = Path(__file__).parents[3] / "deploy"
BOARD = json.loads((DEPLOY / "grafana/dashboards/eventbus.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text(encoding="utf-8"))
_NAME = re.compile(r"\b((?:eventbus|process|python)_[a-z0-9_]+)")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    rules = (rule for group in RULES["groups"] for rule in group["rules"])
    return {**found, **{rule["alert"]: rule["expr"] for rule in rules}}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """The labels of every sample of a server that has published, by name."""
    path = tmp_path_factory.mktemp("app") / "events.db"
    app = create_app(Settings(database_url=f"sqlite:///{path}"))
    client = app.test_client()
    try:
        client.post("/api/events?wait=handled", json={"type": "evaluation.started",
                                                      "data": {"eval_id": "e"}})  # fmt: skip
        found = by_name(prometheus(client.get("/metrics").get_data(as_text=True)))
        labels: dict[str, set[str]] = {"up": {"job", "instance"}}
        for family in found.values():
            for sample in family.samples:
                labels.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
        yield labels
    finally:
        app.extensions["eventbus"].stop()


@pytest.mark.parametrize("where", expressions())
def test_every_expression_parses_and_names_metrics_and_labels_that_there_are(
    where: str, samples: dict[str, set[str]]
) -> None:
    # What Grafana puts in before it asks.
    expression = expressions()[where].replace("$__rate_interval", "1m")
    promql_parser.parse(expression)
    for name in _NAME.findall(re.sub(r"\{\{.*?\}\}", "", expression)):
        assert name in samples
    for name, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        for label in re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers):
            assert label in samples[name], f"{name} has no label {label}"


def test_the_board_has_units_descriptions_and_a_data_source_to_choose() -> None:
    assert [variable["type"] for variable in BOARD["templating"]["list"]][0] == "datasource"
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Flow", "Handlers", "Failures", "Storage", "Live"]
    identities = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(identities)) == len(identities)
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


def test_what_processes_of_one_log_tell_alike_is_not_added_up() -> None:
    # docs/observability.md: what is from the database or the files is the same at each of them.
    text = (DEPLOY.parent / "docs" / "observability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`eventbus.*)\| (?:database|files) \|$", text, re.MULTILINE)
    alike = set(_NAME.findall("".join(rows)))
    assert {"eventbus_dead_letters", "eventbus_database_size_bytes"} <= alike
    for panel in panels():
        for target in panel["targets"]:
            summed = re.findall(
                r"sum(?: by \([^)]*\))? ?\((?:rate|increase)?\(?([a-z_]+)", target["expr"]
            )
            assert not alike & set(summed), f"{panel['title']}: {target['expr']}"


def test_panels_do_not_lie_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    for group in RULES["groups"]:
        names = [rule["alert"] for rule in group["rules"]]
        assert len(set(names)) == len(names)
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"].endswith(".")
