"""What consumers have said and nobody has read yet is bounded."""

from __future__ import annotations

import pytest

from app.consume.inbox import Inbox


def test_messages_come_out_in_order() -> None:
    inbox = Inbox(10, 100)
    for text in ("a", "b"):
        inbox.append(text)
    assert [inbox.take(), inbox.take(), inbox.take()] == ["a", "b", None]


def test_too_many_messages_end_the_connection() -> None:
    inbox = Inbox(3, 100)
    for _ in range(3):
        inbox.append("x")
    with pytest.raises(OSError, match="more than"):
        inbox.append("x")


def test_too_much_text_ends_the_connection_but_one_message_always_fits() -> None:
    inbox = Inbox(10, 100)
    inbox.append("x" * 200)
    inbox.take()
    inbox.append("x" * 60)
    with pytest.raises(OSError, match="more than"):
        inbox.append("x" * 60)
