"""What becomes of a batch that the bus refused: the wrong events leave it, the others go on."""

from __future__ import annotations

from eventbus.client.endpoint import Refused
from eventbus.client.notices import Notices
from eventbus.client.outbox import Outbox
from eventbus.client.receipt import RemoteReceipt


def without_refused(
    piece: list[RemoteReceipt], refused: Refused, outbox: Outbox, notices: Notices
) -> list[list[RemoteReceipt]]:
    """What of a refused batch to send again, in order; what is wrong is settled and told."""
    culprits = refused.culprits
    if len(piece) == 1:
        culprits = {0: culprits.get(0, refused.reason)}
    if not culprits:  # the answer names none: halve it until only the wrong ones are refused
        middle = len(piece) // 2
        return [piece[:middle], piece[middle:]]
    for index, reason in sorted(culprits.items()):
        event = piece[index].event
        notices.refused(event.id, event.type, reason)
        outbox.settle_refused(piece[index], reason)
    rest = [receipt for index, receipt in enumerate(piece) if index not in culprits]
    return [rest] if rest else []
