"""Waiting until a built-in handler has followed what a person asked for."""

from __future__ import annotations

from eventbus import BatchReceipt, Receipt
from eventbus.errors import ReceiptTimeoutError
from eventbus.receipt import SETTLED

FOLLOWED_WITHIN_S = 5.0


def followed(receipt: Receipt | BatchReceipt, handler: str) -> bool:
    """Block for up to 5 s until all who get the events have tried them once.

    Returns whether ``handler`` has taken them in. If not, that is no error: they are recorded, and
    it follows in its turn.
    """
    try:
        deliveries = receipt.deliveries(FOLLOWED_WITHIN_S, until="attempted")
    except ReceiptTimeoutError:
        return False
    return all(each.state in SETTLED for each in deliveries if each.subscription == handler)
