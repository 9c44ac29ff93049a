"""Sending a message by the way of its channel, and saying what came of it without secrets."""

from __future__ import annotations

from collections.abc import Callable

from handlers.errors import NotificationError, NotificationRefusedError
from handlers.notify import mail, message, webhook
from handlers.notify.channels import Channel
from handlers.notify.mail import MailServer
from handlers.notify.message import Message

_CLOUDEVENT = "application/cloudevents+json; charset=utf-8"


class Sender:
    """Sends to one channel; any thread may, and it blocks for up to the time-out."""

    def __init__(
        self,
        channel: Channel,
        server: MailServer | None,
        mail_from: str,
        source: str,
        timeout_s: float,
    ) -> None:
        """``source`` is that of the CloudEvents in webhooks."""
        self._channel = channel
        self._server = server
        self._mail_from = mail_from
        self._source = source
        self._timeout_s = timeout_s
        self._secrets = [*channel.secrets]
        if server is not None and server.password:
            self._secrets.append(server.password)
        ways: dict[str, Callable[[Message], str]] = {
            "webhook": self._webhook, "slack": self._slack, "email": self._mail,
        }  # fmt: skip
        self._way = ways[channel.kind]

    def send(self, what: Message) -> str:
        """Send it; returns what the other side answered.

        Raises NotificationError when another try may help, NotificationRefusedError when not.
        """
        try:
            return self.clean(self._way(what))
        except NotificationRefusedError as error:
            raise NotificationRefusedError(self.clean(str(error))) from None
        except NotificationError as error:
            raise NotificationError(self.clean(str(error))) from None

    def clean(self, text: str) -> str:
        """``text`` without what an answer may repeat of tokens and passwords."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _webhook(self, what: Message) -> str:
        body = message.webhook_body(what, self._source)
        return self._post(what, body, _CLOUDEVENT)

    def _slack(self, what: Message) -> str:
        return self._post(what, message.slack_body(what), "application/json; charset=utf-8")

    def _post(self, what: Message, body: bytes, content_type: str) -> str:
        headers = {"Content-Type": content_type, "Idempotency-Key": what.key}
        return webhook.post(self._channel.target, body, headers, self._timeout_s)

    def _mail(self, what: Message) -> str:
        if self._server is None:
            raise NotificationRefusedError("EVENTBUS_SMTP_URL names no server to send by")
        recipients = self._channel.recipients
        letter = message.mail(what, self._mail_from, recipients)
        return mail.send(self._server, letter, recipients, self._timeout_s)
