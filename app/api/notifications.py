"""Where changes of alerts are told, how each channel does, and a test of one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api.alerts import by
from app.api.answers.system import Channels, ChannelTested
from app.api.common import BY
from app.api.shapes import answer
from app.openapi import kinds
from app.openapi.fields import Body, Field
from app.openapi.operation import operation
from app.problems import ProblemError
from app.runtime import runtime
from eventbus import Event
from eventbus.timestamps import format_time
from handlers.errors import NotificationError

_NAME = Field("name", kinds.text(), "The name of a channel.", example="ops")
_BODY = Body((BY,), {"with a name": {"by": "ann"}})

blueprint = Blueprint("notifications", __name__)


@blueprint.get("/notifications")
@operation("listChannels", "Notifications", answers={200: Channels})
def notifications() -> Response:
    """Every channel with its rules and its state; of a URL only the host is told."""
    return answer(
        {
            "channels": [
                {
                    "name": state.channel.name,
                    "kind": state.channel.kind,
                    "target": state.channel.shown_target,
                    "severities": sorted(state.channel.severities),
                    "changes": sorted(state.channel.changes),
                    "subscription": state.channel.subscription,
                    "health": state.health,
                    "last_sent": _told(state.last_sent),
                    "last_failed": _told(state.last_failed),
                    "waiting": state.waiting,
                    "dead": state.dead,
                }
                for state in runtime().notifier.states()
            ]
        }
    )


@blueprint.post("/notifications/<name>/test")
@operation(
    "testChannel", "Notifications", path=(_NAME,), body=_BODY, answers={200: ChannelTested},
    problems={404: "No channel has this name.", 502: "The test could not be sent."},
)  # fmt: skip
def test(name: str) -> Response:
    """Send a test now; 502 with what went wrong when it could not be sent."""
    who = by(_BODY.read())["by"]
    try:
        said = runtime().notifier.test(name, who)
    except KeyError:
        raise ProblemError(404, "Not Found", f"there is no channel {name[:40]!r}") from None
    except NotificationError as error:
        raise ProblemError(502, "Not sent", str(error)) from None
    return answer({"answer": said})


def _told(event: Event | None) -> dict[str, Any] | None:
    return None if event is None else {"time": format_time(event.time), **event.data}
