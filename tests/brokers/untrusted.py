"""A server whose certificate is not trusted: what the app says of that, wherever it is asked."""

from __future__ import annotations

from pathlib import Path

from tests.brokers.survival import RECOVERY_S
from tests.helpers.server import ServerProcess
from tests.helpers.waiting import wait_until


def check_it_is_said(folder: Path, url: str, password: str) -> None:
    """On ``/readyz``, on the page and in the log, and the password nowhere."""
    assert password in url
    with ServerProcess(folder, EVENTBUS_BROKER_URL=url) as server:
        assert server.api.post("/api/events", {"type": "test.made"}).status == 202

        def is_away() -> bool:
            found = server.api.get("/readyz").json["broker"]
            return (found["state"], found["waiting"]) == ("away", 1)

        wait_until(is_away, "it is away", RECOVERY_S)
        ready, page = server.api.get("/readyz"), server.api.get("/")
        words = "certificate is not trusted"
        assert words in ready.json["broker"]["reason"]
        assert "the option ca names" in ready.json["broker"]["reason"]
        assert ready.status == 200
        assert words in page.text
        assert words in server.output()
        for told in (ready.text, page.text, server.output()):
            assert password not in told
