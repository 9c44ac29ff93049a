"""What producers for other people's programs ask of a client beyond its public surface."""

from __future__ import annotations

from eventbus.client.remote import RemoteEventBus


def is_away(client: RemoteEventBus) -> bool:
    """Whether the client's last attempt to reach its bus has failed."""
    return client._notices.is_away


def is_sender(client: RemoteEventBus, thread: int | None) -> bool:
    """Whether the thread with this ident is the one that sends for the client."""
    return client._sender.runs_on(thread)
