"""The environment variables of webhooks, both ways; part of those in app/config.py."""

from __future__ import annotations

from app.hooks.hook_file import read_hooks
from app.variables import Variable
from handlers.addresses import AddressPolicy

WEBHOOK_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "EVENTBUS_WEBHOOK_NETWORKS", "webhook_networks", AddressPolicy.parse,
        "networks separated by commas, like `10.1.0.0/16, 127.0.0.1`; or `*` for any address",
        "Where outgoing webhooks may go beside public addresses; see docs/webhooks.md.",
    ),
    Variable(
        "EVENTBUS_HOOKS", "hooks", read_hooks,
        "the path of a TOML file with a section for each hook; see docs/webhooks.md",
        "Which incoming webhooks become events, at `/hooks/NAME`.",
    ),
)  # fmt: skip
