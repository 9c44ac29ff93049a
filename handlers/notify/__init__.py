"""Outgoing notifications: tells people elsewhere what changed about alerts."""

from handlers.notify.channels import Channel, parse_channels
from handlers.notify.limit import RateLimit
from handlers.notify.mail import MailServer
from handlers.notify.notifier import Notifier, NotifySettings

__all__ = ["Channel", "MailServer", "Notifier", "NotifySettings", "RateLimit", "parse_channels"]
