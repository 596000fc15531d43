"""Invariant: how a log file is read in blocks shows in nothing: its lines are those between its line feeds, and those of a batch too."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syslogauth.core.batch import Batch
from syslogauth.listeners import tail


class Pieces(io.BytesIO):
    """What comes from a pipe: read1() gives one piece at a time, however much is asked for."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__(b"".join(pieces))
        self.lengths = [len(piece) for piece in pieces if piece]

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self.lengths.pop(0)) if self.lengths else b""


pieces = st.lists(st.one_of(st.binary(max_size=6), st.sampled_from([b"a\nb", b"\n", b"\n\n", b"c"])), max_size=8)


@given(pieces=pieces)
def test_the_lines_are_those_between_the_line_feeds(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    found = [line for block, _ in tail._from(Pieces(pieces), None) for line in block.removesuffix(b"\n").split(b"\n")]
    assert (content.removesuffix(b"\n").split(b"\n") if content else []) == found


@given(pieces=pieces)
def test_a_batch_has_the_same_lines(pieces: list[bytes]) -> None:
    for block, _ in tail._from(Pieces(pieces), None):
        batch = Batch.of_lines(block)
        assert block.removesuffix(b"\n").split(b"\n") == [batch.datagram(number) for number in range(len(batch))]


def test_a_line_that_is_far_too_long_comes_in_pieces_and_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_LINE_BYTES", 8)
    assert [b"aaaaaaaaaa", b"bb\n", b"c"] == [block for block, _ in tail._from(Pieces([b"aaaaa", b"aaaaa", b"bb\nc"]), None)]
