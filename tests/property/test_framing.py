"""Invariant: however a stream is cut into reads, the same frames come out of it, and no more is kept than one message."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from syslogauth.core.framing import CUT_AT, Framing

PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        (b"\n", b"\0", b"\n\n", b" ", b"1 ", b"5 ", b"0 ", b"9999999 ", b"12345678", b"<22>x: y", b"5 <22>\n5 <22>a", b"8193 ", b"20000 ")
    ),
    st.sampled_from((CUT_AT - 1, CUT_AT, CUT_AT + 1, 20_000)).map(lambda length: b"x" * length),
    st.binary(min_size=1, max_size=50).map(lambda text: b"%d %b" % (len(text), text)),
    st.binary(max_size=50).map(lambda text: text + b"\n"),
)
STREAMS = st.lists(PIECES, max_size=20).map(b"".join)


def read(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bool | None, bool]:
    framing, found = Framing(), list[bytes]()
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for begin, end in pairwise(edges):
        found += framing.feed(stream[begin:end])
        assert len(framing._rest) <= CUT_AT + len(b"9999999 ") or framing.broken
    return found, framing.counted, framing.broken


@given(STREAMS, st.lists(st.integers(0, 1 << 20), max_size=30))
def test_the_same_frames_come_however_the_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    assert read(stream, []) == read(stream, cuts)


@given(STREAMS)
def test_the_same_frames_come_byte_by_byte(stream: bytes) -> None:
    stream = stream[:2000]
    assert read(stream, []) == read(stream, list(range(len(stream))))


@given(st.lists(st.binary(min_size=1, max_size=100)), st.lists(st.integers(0, 1 << 20), max_size=30))
def test_what_is_counted_comes_out_as_it_was_whatever_is_in_it(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(b"%d %b" % (len(message), message) for message in messages)
    assert (messages, False) == (read(stream, cuts)[0], read(stream, cuts)[2])


@given(st.lists(st.binary(min_size=1, max_size=100).map(lambda text: b"<" + text.replace(b"\n", b"").replace(b"\0", b""))), st.booleans())
def test_what_is_delimited_comes_out_as_it_was(messages: list[bytes], by_nul: bool) -> None:
    delimiter = b"\0" if by_nul else b"\n"
    assert messages == read(b"".join(message + delimiter for message in messages), [])[0]


@given(st.binary(), st.integers(0, 1))
def test_no_frame_is_empty_or_longer_than_what_is_refused(stream: bytes, counted: int) -> None:
    for frame in read((b"<", b"7 ")[counted] + stream * 40, [])[0]:
        assert 0 < len(frame) <= CUT_AT
