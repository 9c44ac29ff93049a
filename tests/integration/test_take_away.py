"""What is taken away from an event's page runs: by sh with curl, by Python, by pytest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.api import Api
from tests.helpers.server import ServerProcess

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def api(shared_server: ServerProcess) -> Api:
    return shared_server.api


def publish(api: Api, type: str, data: dict[str, Any]) -> int:
    answer = api.post("/api/events?wait=handled", {"type": type, "data": data})
    assert answer.json["handled"], answer.text
    sequence: int = answer.json["sequence"]
    return sequence


def take(api: Api, sequence: int, name: str, to: Path) -> Path:
    answer = api.get(f"/events/at/{sequence}/take/{name}")
    assert answer.status == 200, answer.text
    file = to / answer.headers["content-disposition"].partition('filename="')[2][:-1]
    file.write_text(answer.text)
    return file


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Away from the project's own configuration, as by somebody who has the package installed.
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=180, check=False
    )


def test_the_pytest_files_pass_in_a_process_of_their_own(api: Api, tmp_path: Path) -> None:
    strange = 'it\'s """ \\ \n {x} ${y} é\u2028'
    error = {"type": "Cuda", "message": strange, "severity": "critical"}
    publish(api, "evaluation.started", {"eval_id": strange.strip(), "max_retries": 1})
    failed = publish(api, "evaluation.failed", {"eval_id": strange.strip(), "error": error})
    publish(api, "evaluation.started", {"eval_id": strange.strip(), "retry_count": 1})
    again = publish(
        api, "evaluation.failed",
        {"eval_id": strange.strip(), "error": error, "retry_count": 1},
    )  # fmt: skip
    dead = api.post("/api/events?wait=handled&timeout=0.2", {
        "type": "storage.file.created", "data": {"bytes": 1},
    }).json["sequence"]  # fmt: skip
    quiet = api.post("/api/events", {
        "specversion": "1.0", "id": "quiet", "source": "/x", "type": "vendor.nobody-listens",
        "data": {"n": 1.5, "deep": [[], {}, None, True]}, "shard": 7, "tracestate": "a=1",
    }).json["sequence"]  # fmt: skip

    files = [take(api, each, "test.py", tmp_path) for each in (failed, again, dead, quiet)]
    assert files[0].name == f"test_evaluation_failed_{failed}.py"
    assert "'evaluation.retry'" in files[0].read_text()
    assert "'evaluation.exhausted'" in files[1].read_text()  # with what came before
    assert "'tracestate': 'a=1'" in files[3].read_text()
    plugin = ("-p", "eventbus.testing.plugin", "-p", "no:cacheprovider")
    ran = run(sys.executable, "-m", "pytest", "-q", *plugin, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout

    # And it is a test: with another expectation it fails.
    text = files[0].read_text()
    files[0].write_text(text.replace("'evaluation.retry'", "'evaluation.retries'"))
    ran = run(sys.executable, "-m", "pytest", "-q", *plugin, files[0].name, cwd=tmp_path)
    assert ran.returncode == 1
    assert "'evaluation.retries'" in ran.stdout


def test_the_shell_and_the_python_file_publish_it_again(api: Api, tmp_path: Path) -> None:
    data = {"it's": "$(id) \\ é", "long": "x" * 150_000}
    sequence = publish(api, "vendor.taken", data)
    commands = [[sys.executable, take(api, sequence, "event.py", tmp_path).name]]
    script = take(api, sequence, "event.sh", tmp_path)
    if shutil.which("curl"):
        commands.append(["sh", script.name])
    for command in commands:
        ran = run(*command, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
    found = api.get("/api/events", type="vendor.taken").json["events"]
    assert [event["data"] for event in found] == [data] * (1 + len(commands))


def test_the_whole_chain_is_taken_as_ndjson(api: Api, tmp_path: Path) -> None:
    error = {"severity": "critical"}
    sequence = publish(api, "evaluation.failed", {"eval_id": "chain-1", "error": error})
    lines = take(api, sequence, "chain.ndjson", tmp_path).read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == [
        "evaluation.failed", "alert.critical", "evaluation.retry",
    ]  # fmt: skip
    assert {event["correlationid"] for event in events} == {events[0]["id"]}
    assert api.get(f"/events/at/{sequence}/take/secrets").status == 404
    assert api.get("/events/at/999999999/take/event.sh").status == 404
