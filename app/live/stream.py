"""What a program is sent on /api/stream: the events themselves, and how far they are complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.live.client import Client
from app.live.frames import text_frame
from eventbus import Event

if TYPE_CHECKING:
    from eventbus.log import EventLog

_FRAME_CHARS = 256 * 1024
_READ_EVENTS = 256


class EventTexts:
    """Events as JSON text; one that several views show in a tick is encoded once. One thread."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def of(self, event: Event) -> str:
        sequence = event.sequence or 0
        text = self._texts.get(sequence)
        if text is None:
            text = self._texts[sequence] = event.to_json()
        return text

    def forget(self) -> None:
        """The tick is over."""
        self._texts.clear()


def events_frames(
    events: Sequence[Event], position: int, texts: EventTexts
) -> Iterator[tuple[bytes, int]]:
    """The frames that bring a stream to ``position``, each with the position it reaches alone."""
    part: list[str] = []
    chars = 0
    for event in events:
        text = texts.of(event)
        part.append(text)
        chars += len(text)
        if chars > _FRAME_CHARS and event is not events[-1]:
            reached = event.sequence or 0
            yield _frame(part, reached), reached
            part, chars = [], 0
    yield _frame(part, position), position


def send_from_log(log: EventLog, client: Client, target: int) -> None:
    """Write everything up to ``target`` to the client, at its own pace; raises ClientGoneError.

    The last frame says ``target``, also when nothing matched.
    """
    texts = EventTexts()
    told = None
    start, count = client.position, log.removed_count
    removed = log.newest_removed(client.pattern, start) if start < target else None
    if removed is not None:
        client.send(_gap_frame(start, removed))
    while client.position < target:
        chunk = log.read(client.position, limit=_READ_EVENTS, pattern=client.pattern, upto=target)
        if chunk.events:
            for frame, reached in events_frames(chunk.events, chunk.position, texts):
                client.send(frame)
                client.position = told = reached
        texts.forget()
        client.position = chunk.position
    if log.removed_count != count:  # also while it was read
        more = log.newest_removed(client.pattern, start)
        if more != removed and more is not None:
            client.send(_gap_frame(client.position, more))
    if told != target:
        client.send(_frame([], target))


def _gap_frame(position: int, removed_upto: int) -> bytes:
    """Of what follows ``position``, up to ``removed_upto`` some was removed by retention."""
    return text_frame(f'{{"events":[],"sequence":{position},"removed_upto":{removed_upto}}}')


def _frame(texts: Sequence[str], position: int) -> bytes:
    return text_frame(f'{{"events":[{",".join(texts)}],"sequence":{position}}}')
