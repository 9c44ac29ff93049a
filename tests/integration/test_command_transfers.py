"""`eventbus export` and `import`: whole or not at all, over connections that break."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from eventbus.command import download
from eventbus.command.errors import UnreachableError
from eventbus.command.server import Server
from tests.helpers.commands import end, run, start
from tests.helpers.proxy import Proxy
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until

COUNT = 6_000


@pytest.fixture(scope="module")
def server(shared_server: ServerProcess) -> ServerProcess:
    for begin in range(0, COUNT, 1_000):
        events = [
            {"type": "load.done", "subject": f"s{n % 7}", "data": {"n": n, "text": "x" * 500}}
            for n in range(begin, begin + 1_000)
        ]
        assert shared_server.api.post("/api/events", events).status == 202
    shared_server.api.close()
    return shared_server


def in_file(path: Path) -> list[int]:
    return [json.loads(line)["data"]["n"] for line in path.read_text().splitlines()]


def test_an_export_has_everything_that_the_filter_finds(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "all.ndjson"
    ended = run(server.url, "export", "load.*", "-o", str(file))
    assert (ended.code, ended.out, ended.err) == (0, "", f"{file}: 6,000 events\n")
    assert in_file(file) == list(range(COUNT))
    assert [path.name for path in tmp_path.iterdir()] == ["all.ndjson"]
    again = run(server.url, "export", "load.*", "-o", str(file))
    assert again.code == 2 and "--force replaces it" in again.err
    table = tmp_path / "some.csv"
    assert run(server.url, "export", "load.*", "--subject", "s3", "-o", str(table)).code == 0
    rows = list(csv.DictReader(table.open(newline="")))
    assert [json.loads(row["data"])["n"] for row in rows] == list(range(3, COUNT, 7))
    nothing = run(server.url, "export", "nothing.*")
    assert (nothing.code, nothing.out) == (0, "")


def test_an_export_that_broke_off_goes_on_behind_its_last_whole_line(
    server: ServerProcess, tmp_path: Path
) -> None:
    file, part = tmp_path / "cut.ndjson", tmp_path / "cut.ndjson.part"
    with Proxy(server.port) as proxy:
        proxy.freezes_after = 1_000_000  # a fifth of it
        process = start(proxy.url, "export", "load.*", "-o", str(file))
        wait_until(lambda: part.exists() and part.stat().st_size > 100_000, "it has begun")
        ended = end(process, signal.SIGINT)
    assert ended.code == 130 and not file.exists()
    assert "--resume goes on with it" in ended.err
    with part.open("ab") as broken:
        broken.write(b'{"specversion":"1.0","id":"half of a li')
    ended = run(server.url, "export", "-o", str(file), "--resume")
    assert ended.code == 0, ended.err
    assert ended.err.startswith(f"going on with {part}: ")
    assert in_file(file) == list(range(COUNT))
    assert [path.name for path in tmp_path.iterdir()] == ["cut.ndjson"]


def test_a_connection_that_breaks_is_made_again_where_it_was(
    server: ServerProcess, tmp_path: Path
) -> None:
    for name in ("again.ndjson", "again.csv"):
        file, part = tmp_path / name, tmp_path / f"{name}.part"
        with Proxy(server.port) as proxy:
            proxy.freezes_after = 1_000_000
            process = start(proxy.url, "export", "load.*", "-o", str(file))
            wait_until(lambda part=part: part.exists() and part.stat().st_size > 100_000, "begun")
            proxy.freezes_after = None
            proxy.cut()
            proxy.is_frozen = False
            _out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, f"{file}: 6,000 events\n")
    assert in_file(tmp_path / "again.ndjson") == list(range(COUNT))
    rows = list(csv.reader((tmp_path / "again.csv").open(newline="")))
    assert [row[0] for row in rows].count("sequence") == 1
    assert [json.loads(row[8])["n"] for row in rows[1:]] == list(range(COUNT))


def test_a_server_that_does_not_come_back_is_an_error_not_an_end(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_WAIT_S", 0.01)
    with Proxy(server.port) as proxy:
        blocks = download.Download(
            Server(proxy.url), {"type": "load.*", "format": "ndjson", "before": 10**9}
        )
        taking = blocks.blocks()
        assert next(taking).endswith(b"\n")
        proxy.__exit__()
        with pytest.raises(UnreachableError):
            list(taking)


def test_an_export_comes_back_as_duplicates_and_into_an_empty_bus_as_it_was(
    server: ServerProcess, tmp_path: Path, start_server: Callable[..., ServerProcess]
) -> None:
    file = tmp_path / "events.ndjson"
    assert run(server.url, "export", "load.*", "-o", str(file)).code == 0
    ended = run(server.url, "import", str(file), "--json")
    assert ended.code == 0, ended.err
    found = ended.json
    assert (found["lines"], found["recorded"], found["duplicates"]) == (COUNT, 0, COUNT)
    other = start_server()
    ended = run(other.url, "import", "-", "--batch", "1000", "--by", "ann", input=file.read_text())
    assert (ended.code, ended.out) == (0, "6,000 lines: 6,000 recorded\n")
    exported = run(other.url, "export", "load.*")
    before = [{**json.loads(line), "sequence": 0} for line in file.read_text().splitlines()]
    assert [{**event, "sequence": 0} for event in exported.lines] == before
    told = run(other.url, "search", "bus.events.imported", "--json").lines
    assert {event["data"]["by"] for event in told} == {"ann"}


def test_lines_without_an_id_are_recorded_once_however_often_the_file_is_sent(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "plain.ndjson"
    line = '{"type": "plain.made", "data": {"text": "\\u2028 ä"}}\n'
    file.write_text(line * 30 + "\n" + "nonsense\n" + '{"type": "no type"}\n')
    first = run(server.url, "import", str(file), "--batch", "10")
    assert first.code == 1
    assert "line 32: " in first.err and "line 33: /type: " in first.err
    counts = run(server.url, "import", str(file), "--json").json
    assert (counts["duplicates"] + counts["refused"], counts["recorded"]) == (32, 0)
    other = tmp_path / "other.ndjson"
    other.write_text(line * 2)
    assert run(server.url, "import", str(other), "--json").json["recorded"] == 2


def test_an_import_survives_a_connection_that_breaks(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "big.ndjson"
    line = json.dumps({"type": "survived.line", "data": {"x": "x" * 300}}) + "\n"
    file.write_text(line * 4_000)
    with Proxy(server.port) as proxy:
        process = start(proxy.url, "import", str(file), "--batch", "100", "--json")
        newest = "/api/events?type=survived.*&limit=1"
        wait_until(lambda: server.new_api().get(newest).json["events"], "it has begun")
        proxy.cut()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["recorded"] + found["duplicates"] == found["lines"] == 4_000
    export = run(server.url, "export", "survived.*")
    assert len(export.lines) == 4_000
