"""Two threads write to one socket and the client may not read: bytes stay whole and in order."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from app.live.frames import text_frame
from app.live.socket import BACKLOG_BYTES, BACKLOG_FRAMES, OutboundSocket
from tests.helpers.frames import read_as_client

FRAME = text_frame("x" * 10_000)


@pytest.fixture
def pair() -> Iterator[tuple[OutboundSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with ours, theirs:
        yield OutboundSocket(ours), theirs


def fill(outbound: OutboundSocket) -> int:
    """Offer until no more is taken; gives how many frames were."""
    count = 0
    while outbound.offer(FRAME):
        count += 1
        assert count < 100_000
    return count


def read_all(theirs: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = theirs.recv(65_536)
        assert part, f"the connection ended after {len(data)} of {size} bytes"
        data += part
    return bytes(data)


def test_what_is_offered_arrives(pair: tuple[OutboundSocket, socket.socket]) -> None:
    outbound, theirs = pair
    assert outbound.offer(text_frame("hello"))
    assert not outbound.has_backlog
    assert read_as_client(theirs.recv(100)) == ["hello"]


def test_a_client_that_does_not_read_is_refused_more_and_nobody_waits(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, _ = pair
    taken = fill(outbound)
    assert outbound.has_backlog
    assert taken * len(FRAME) < BACKLOG_BYTES + 2 * 1024 * 1024  # ours and the kernel's
    assert not outbound.offer(FRAME)


def test_many_small_frames_are_bounded_by_their_number(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, _ = pair
    assert outbound.offer(text_frame("x" * 900_000))  # more than the kernel takes
    assert outbound.has_backlog
    small = 0
    while outbound.offer(text_frame("y")):
        small += 1
        assert small < BACKLOG_FRAMES
    assert small == BACKLOG_FRAMES - 1


def test_one_frame_may_wait_whatever_its_size(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, _ = pair
    assert outbound.offer(text_frame("x" * 3 * BACKLOG_BYTES))
    assert not outbound.offer(text_frame("more"))


def test_everything_taken_arrives_whole_and_in_order_once_the_client_reads(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, theirs = pair
    taken = fill(outbound)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(theirs, taken * len(FRAME))))
    reader.start()
    while not outbound.drain(5):
        pass
    reader.join()
    assert read_as_client(received[0]) == ["x" * 10_000] * taken
    assert outbound.offer(FRAME)


def test_frames_of_two_writers_never_mix(pair: tuple[OutboundSocket, socket.socket]) -> None:
    outbound, theirs = pair
    each = 2000
    received: list[bytes] = []
    one, two = text_frame("1" * 5000), text_frame("2" * 50)
    size = each * (len(one) + len(two))
    reader = threading.Thread(target=lambda: received.append(read_all(theirs, size)))
    reader.start()

    def offer_all() -> None:
        for _ in range(each):
            while not outbound.offer(one):
                outbound.drain(5)

    def send_all() -> None:
        for _ in range(each):
            outbound.send(two)
            outbound.drain(5)

    writers = [threading.Thread(target=offer_all), threading.Thread(target=send_all)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    while not outbound.drain(5):
        pass
    reader.join()
    texts = read_as_client(received[0])
    assert sorted(texts) == ["1" * 5000] * each + ["2" * 50] * each


def test_a_backlog_and_the_end_are_told(pair: tuple[OutboundSocket, socket.socket]) -> None:
    outbound, _ = pair
    told: list[bool] = []
    outbound.on_change(lambda: told.append(outbound.is_closed))
    outbound.offer(text_frame("hello"))
    assert told == []
    fill(outbound)
    assert told[0] is False
    outbound.close()
    assert told[-1] is True


def test_a_peer_that_sends_but_does_not_read_is_cut_off(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, _ = pair
    fill(outbound)
    with pytest.raises(OSError, match="does not read"):
        for _ in range(10_000):
            outbound.send(b"x" * 125)
    assert outbound.is_closed


def test_a_closed_socket_takes_everything_and_keeps_nothing(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, theirs = pair
    fill(outbound)
    outbound.close()
    assert outbound.offer(FRAME)
    assert not outbound.has_backlog
    assert outbound.drain(1)
    with pytest.raises(OSError, match="closed"):
        outbound.send(b"x")
    while theirs.recv(65_536):
        pass  # up to the end, which is there


def test_a_reset_by_the_peer_ends_it_without_an_error(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, theirs = pair
    theirs.close()
    assert outbound.offer(FRAME)
    assert outbound.is_closed


def test_closing_leaves_the_descriptor_to_its_owner(
    pair: tuple[OutboundSocket, socket.socket],
) -> None:
    outbound, _ = pair
    before = outbound.fileno()
    outbound.close()
    assert outbound.fileno() == before >= 0
