"""docs/catalogue.md, done: its file, its call, its refusal, its program and its test."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.catalogue import Catalogue, read_folder
from eventbus.errors import SchemaViolationError
from eventbus.testing import ObservedBus, assert_matches_schemas
from tests.helpers.server import ServerProcess

TEXT = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "schemas"
    found.mkdir()
    (found / "invoice.json").write_text(blocks("json")[0])
    return found


def test_the_file_and_the_call_of_the_page_work(folder: Path, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, EVENTBUS_SCHEMAS=str(folder)) as server:
        declared: Any = json.loads(blocks("json")[0])
        assert server.api.get("/api/types/invoice.paid").json["title"] == declared["title"]
        good = {"type": "invoice.paid", "data": declared["example"]}
        assert server.api.post("/api/events", good).status == 202
        bad = {"type": "invoice.paid", "data": {"invoice_id": "i-17", "cents": 0}}
        assert server.api.post("/api/events", bad).json == json.loads(blocks("json")[1])
        (body,) = re.findall(r"-d '(.*?)'", blocks("bash")[0], re.DOTALL)
        kind = {"Content-Type": "application/json"}
        assert server.api.request("PUT", "/api/types/stock.moved", body, kind).status == 201
        assert server.api.post("/api/events", {"type": "stock.moved"}).status == 400


def test_the_program_of_the_page_refuses(folder: Path, tmp_path: Path) -> None:
    assert "catalogue=Catalogue(read_folder(" in blocks("python")[0]
    url = f"sqlite:///{tmp_path}/events.db"
    catalogue = Catalogue(read_folder(folder))
    with EventBus.open(url, catalogue=catalogue) as bus, pytest.raises(SchemaViolationError):
        bus.publish("invoice.paid", {"cents": 0})


def test_what_a_test_has_published_is_held_against_the_folder(folder: Path) -> None:
    with ObservedBus.temporary() as bus:
        bus.publish("invoice.paid", {"invoice_id": "i-17", "cents": 5})
        bus.publish("other.thing", {})
        assert_matches_schemas(bus, folder)
        with pytest.raises(AssertionError, match=r"other\.thing /type nobody has declared"):
            assert_matches_schemas(bus, folder, allow_unknown=False)
        bus.publish("invoice.paid", {"invoice_id": "i-17", "cents": 0})
        with pytest.raises(AssertionError, match=r"invoice\.paid /data/cents must be at least 1"):
            assert_matches_schemas(bus, folder)
