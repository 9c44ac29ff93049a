"""Opening the subscribing side: only then is the package needed that publishing does without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventbus.errors import MissingPackageError

if TYPE_CHECKING:
    from eventbus.client.remote import RemoteEventBus
    from eventbus.client.subscriptions import Subscriptions


def open_subscriptions(
    bus: RemoteEventBus, url: str, timeout_s: float, ping_every_s: float,
    backoff_s: tuple[float, float], token: str | None = None,
) -> Subscriptions:  # fmt: skip
    """The subscriptions of ``bus``, none as yet. Raises MissingPackageError, NoThreadError."""
    try:
        from eventbus.client.link import LinkSettings
        from eventbus.client.subscriptions import Subscriptions
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"subscribing from another process needs the package {error.name}: "
            "pip install 'eventbus[remote]'"
        ) from error
    settings = LinkSettings(url, timeout_s, ping_every_s, *backoff_s, token)
    return Subscriptions(settings, bus, bus.publish_many)
