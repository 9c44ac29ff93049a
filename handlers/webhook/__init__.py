"""Outgoing webhooks: subscriptions whose handler is somebody else's server."""

from handlers.webhook.terms import Terms, read_changes, read_terms
from handlers.webhook.webhook import Webhook
from handlers.webhook.webhooks import Webhooks

__all__ = ["Terms", "Webhook", "Webhooks", "read_changes", "read_terms"]
