"""Frames that the hub builds itself must be what a WebSocket client expects."""

from __future__ import annotations

import json

import pytest

from app.live.frames import json_frame, text_frame
from tests.helpers.frames import read_as_client


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
def test_a_client_reads_a_text_of_any_size(size: int) -> None:
    assert read_as_client(text_frame("x" * size)) == ["x" * size]


def test_frames_written_one_after_the_other_are_separate_messages() -> None:
    assert read_as_client(text_frame("one") + text_frame("") + text_frame("zwölf €")) == [
        "one", "", "zwölf €",
    ]  # fmt: skip


def test_the_length_counts_bytes_and_not_characters() -> None:
    text = "€" * 100
    frame = text_frame(text)
    assert len(frame) == 4 + 300
    assert read_as_client(frame) == [text]


def test_a_json_frame_is_compact_json() -> None:
    (text,) = read_as_client(json_frame({"kind": "rows", "content": '<li title="ä">'}))
    assert text == '{"kind":"rows","content":"<li title=\\"ä\\">"}'
    assert json.loads(text)["content"] == '<li title="ä">'
