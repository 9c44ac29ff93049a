"""The commands of docs/api.md, run as they stand there, in their order."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from tests.helpers.server import ROOT, ServerProcess
from tests.helpers.waiting import wait_until

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [each for block in blocks for each in re.split(r"\n(?=curl )", block.strip())]


def run(command: str, server: ServerProcess) -> tuple[int, Any]:
    here = command.replace("http://127.0.0.1:8000", server.url)
    here = here.replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1)
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def test_every_command_of_the_page_does_what_the_page_says(server: ServerProcess) -> None:
    found = {}
    for command in commands():
        if "state=retrying" in command:  # what makes it so is an event of its own
            wait_until(
                lambda: server.api.get("/api/evaluations/run-7").json["state"] == "retrying",
                "it is retrying",
            )
        found[command] = run(command, server)
    assert len(found) >= 14
    for command, (status, answer) in found.items():
        assert status == 400 if "limit=many" in command else status in (200, 202), (command, answer)
    by_part = [(command, *answer) for command, answer in found.items()]

    def of(part: str) -> Any:
        return next(answer for command, _, answer in by_part if part in command)

    assert of('run-7-start", "source"')["duplicate"] is False
    assert [each["handled"] for each in of("wait=handled")["events"]] == [True, True]
    assert len(of("subject=run-7")["events"]) == 2
    assert of("subject=run-7")["next"]
    assert of("events/run-7-start/trace")["count"] >= 1
    assert [each["eval_id"] for each in of("state=retrying")["evaluations"]] == ["run-7"]
    assert of("dry_run")["dry_run"] is True
    assert of("the store is back")["kind"] == "redrive"


def test_the_problem_document_of_the_page_is_what_the_server_answers(
    shared_server: ServerProcess,
) -> None:
    (told,) = re.findall(r"^```json\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert shared_server.api.get("/api/events", limit="many").json == json.loads(told)
