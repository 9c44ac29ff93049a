"""Reads what a server wrote as a WebSocket client would."""

from __future__ import annotations

from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage


def read_as_client(data: bytes) -> list[str]:
    """The whole text messages in ``data``. Raises AssertionError for anything else."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    texts, unfinished = [], ""
    for event in client.events():
        assert isinstance(event, TextMessage), event
        unfinished += event.data
        if event.message_finished:
            texts.append(unfinished)
            unfinished = ""
    assert unfinished == "", "the last message is not complete"
    return texts
