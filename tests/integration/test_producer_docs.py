"""The examples of docs/webhooks.md, docs/logging.md and docs/celery.md, run as they stand there."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.hooks.hook_file import read_hooks
from handlers.standard_webhooks import key_of, new_secret, signed_headers
from tests.helpers.recording_bus import RecordingBus
from tests.helpers.server import ROOT, ServerProcess, clean_environment
from tests.helpers.waiting import wait_until

DOCS = ROOT / "docs"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def bus() -> Iterator[RecordingBus]:
    with RecordingBus() as bus:
        yield bus


def test_the_receiver_of_the_documentation_takes_what_the_server_sends(tmp_path: Path) -> None:
    (curl,) = (block for block in blocks("webhooks.md", "bash") if "/api/webhooks" in block)
    found = re.search(r"-d '(\{.*?\})'", curl)
    assert found is not None
    secret = new_secret()
    lines: list[str] = []
    receiver = subprocess.Popen(
        [sys.executable, "docs/examples/webhook_receiver.py", secret, "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def follow() -> None:
        assert receiver.stdout is not None
        for line in receiver.stdout:
            lines.append(line)

    threading.Thread(target=follow, daemon=True).start()
    try:
        wait_until(lambda: lines, "the receiver listens", 30)
        url = lines[0].split()[-1]
        with ServerProcess(tmp_path, EVENTBUS_WEBHOOK_NETWORKS="127.0.0.1") as server:
            body = {**json.loads(found[1]), "url": url, "secret": secret}
            assert server.api.post("/api/webhooks", body).status == 201
            server.api.post(
                "/api/events", {"type": "evaluation.started", "data": {"eval_id": "eval-1"}}
            )
            wait_until(lambda: len(lines) > 1, "the receiver has it")
            assert lines[1].startswith('evaluation.started eval-1 {"eval_id": "eval-1"}')
            wrong = server.api.post("/api/webhooks/shop/rotate", {"keep_s": 0})
            assert wrong.status == 200
            tested = server.api.post("/api/webhooks/shop/test", {})
            assert (tested.status, "401" in tested.json["detail"]) == (502, True)
    finally:
        receiver.kill()
        receiver.wait()


def test_the_check_of_the_documentation_knows_right_from_wrong() -> None:
    (code,) = blocks("webhooks.md", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    secret, body = new_secret(), b'{"a": 1}'
    headers = signed_headers([key_of(new_secret()), key_of(secret)], "m", int(time.time()), body)
    assert names["is_genuine"](secret, headers, body)
    assert not names["is_genuine"](secret, headers, body + b" ")
    assert not names["is_genuine"](new_secret(), headers, body)
    old = signed_headers([key_of(secret)], "m", int(time.time()) - 400, body)
    assert not names["is_genuine"](secret, old, body)


def test_the_file_of_hooks_of_the_documentation_is_one(tmp_path: Path) -> None:
    (text,) = blocks("webhooks.md", "toml")
    (tmp_path / "hooks.toml").write_text(text)
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    (tmp_path / "partner.secret").write_text(secret)
    hooks = read_hooks(str(tmp_path / "hooks.toml"))
    assert [hook.name for hook in hooks] == ["github", "partner", "shop"]
    assert len(hooks[2].secrets) == 2
    assert hooks[0].type.filled({"x-github-event": "push"}, {}) == "github.push"


def test_the_handlers_of_the_documentation_publish_their_records(bus: RecordingBus) -> None:
    examples = blocks("logging.md", "python")
    assert len(examples) == 2
    code = "\n".join(examples).replace("http://127.0.0.1:8000", bus.url)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Each handler has a client of its own: which of them sends first is not said.
    assert sorted((event["type"], event["subject"]) for event in bus.events) == [
        ("service.billing.invoices.error", "billing.invoices"), ("shop.warning", "eval-42"),
    ]  # fmt: skip


def test_the_app_of_the_celery_documentation_is_connected() -> None:
    (code, _) = blocks("celery.md", "python")
    check = f"{code}\nfrom celery import signals\nassert signals.task_prerun.receivers\n"
    environment = clean_environment(EVENTBUS_URL="http://127.0.0.1:9")
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, env=environment, check=True, timeout=60)
