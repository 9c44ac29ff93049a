"""A view renders once for all its members, and lets go of those that have no room."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from app.live import view as view_module
from app.live.stream import EventTexts, events_frames
from app.live.view import JsonRenderer, Part, View
from eventbus import Event, Pattern
from tests.helpers.frames import read_as_client

TIME = datetime(2026, 1, 2, tzinfo=UTC)


def event(sequence: int, text: str = "") -> Event:
    data = json.dumps({"text": text})
    return Event(f"id-{sequence}", "/test", "a.b", "s", TIME, data, sequence=sequence)


class Member:
    """Stands for a client: room for some frames, and where it fell behind."""

    def __init__(self, room: int) -> None:
        self.sock = self
        self.room = room
        self.written: list[bytes] = []
        self.fell_at: int | None = None

    def offer(self, data: bytes) -> bool:
        if len(self.written) >= self.room:
            return False
        self.written.append(data)
        return True

    def fall_behind(self, position: int) -> None:
        self.fell_at = position


class CountingRenderer(JsonRenderer):
    """Counts how often something was rendered."""

    def __init__(self) -> None:
        super().__init__(EventTexts())
        self.count = 0

    def news(self, events: Sequence[Event], position: int) -> Iterator[Part]:
        self.count += 1
        return super().news(events, position)


@pytest.fixture
def view() -> View:
    return View("json", Pattern("a.*"), CountingRenderer(), position=0)


def positions(member: Member) -> list[int]:
    return [json.loads(text)["sequence"] for text in read_as_client(b"".join(member.written))]


def test_members_share_the_same_bytes(view: View) -> None:
    members = [Member(room=9) for _ in range(3)]
    view.members.update(members)
    view.show([event(1), event(2)], before=0, position=2)
    assert view._renderer.count == 1
    assert members[0].written[0] is members[1].written[0] is members[2].written[0]


def test_a_member_without_room_falls_behind_where_it_was_and_others_do_not(view: View) -> None:
    slow, fast = Member(room=1), Member(room=9)
    view.members.update([slow, fast])
    view.show([event(1)], before=0, position=3)
    view.show([event(4)], before=3, position=5)
    assert slow.fell_at == 3
    assert view.members == {fast}
    assert positions(fast) == [3, 5]


def test_a_member_that_took_a_part_of_a_tick_falls_behind_after_that_part(view: View) -> None:
    slow = Member(room=1)
    view.members.add(slow)
    view.show([event(1, "x" * 300_000), event(2, "y")], before=0, position=7)
    assert positions(slow) == [1]
    assert slow.fell_at == 1


def test_the_position_is_told_at_most_once_a_second_when_nothing_matches(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(view_module.time, "monotonic", lambda: now)
    member = Member(room=9)
    view.members.add(member)
    for position, at in [(1, 100.0), (2, 100.5), (3, 100.9), (4, 101.1)]:
        now = at
        view.show([], before=position - 1, position=position)
    assert positions(member) == [1, 4]
    assert not view.owes_position(4)
    assert view.owes_position(5)


def test_nothing_is_written_when_nothing_is_new(view: View) -> None:
    member = Member(room=9)
    view.members.add(member)
    view.show([], before=0, position=0)
    assert member.written == []


def test_what_is_extra_comes_after_the_news(view: View) -> None:
    member = Member(room=9)
    view.members.add(member)
    view.show([event(1)], before=0, position=1, extra=b"extra")
    assert member.written[1] == b"extra"


def test_large_batches_are_cut_into_frames_that_each_say_how_far_they_reach() -> None:
    events = [event(n, "x" * 100_000) for n in range(1, 11)]
    frames = list(events_frames(events, 42, EventTexts()))
    assert len(frames) > 2
    sequences: list[int] = []
    for data, reached in frames:
        (text,) = read_as_client(data)
        message = json.loads(text)
        assert message["sequence"] == reached
        sequences += [one["sequence"] for one in message["events"]]
        if reached != 42:
            assert sequences[-1] == reached
    assert sequences == list(range(1, 11))
    assert frames[-1][1] == 42
