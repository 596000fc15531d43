"""Invariants of what the exporter keeps of a million addresses: the packed set is a set, the agenda gives everybody back at his time."""

from hypothesis import given
from hypothesis import strategies as st

from syslogauth import addresses as packed
from syslogauth.addresses import Addresses
from syslogauth.agenda import Agenda

# Few bytes make addresses that are found across two others.
addresses = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16),
    st.lists(st.sampled_from([0, 1]), min_size=4, max_size=4).map(bytes),
    st.lists(st.sampled_from([0, 1]), min_size=16, max_size=16).map(bytes),
)


@given(steps=st.lists(st.tuples(st.booleans(), addresses), max_size=300), shards=st.sampled_from([1, 3, 4096]))
def test_a_packed_set_is_a_set(steps: list[tuple[bool, bytes]], shards: int) -> None:
    before, packed.SHARDS = packed.SHARDS, shards
    try:
        expected: set[bytes] = set()
        found = Addresses()
        for enters, address in steps:
            (expected.add if enters else expected.discard)(address)
            (found.add if enters else found.discard)(address)
            assert len(expected) == len(found)
        assert expected == found
        assert sorted(expected) == sorted(found)
        assert all((address in expected) == (address in found) for _, address in steps)
    finally:
        packed.SHARDS = before


times = st.integers(0, 6000)


@given(
    steps=st.lists(st.tuples(st.lists(st.tuples(times, addresses), max_size=20), times), max_size=12),
    most=st.sampled_from([1, 7, 1000]),
)
def test_an_agenda_gives_everybody_back_at_his_time_and_nobody_twice(steps: list[tuple[list[tuple[int, bytes]], int]], most: int) -> None:
    agenda = Agenda()
    waiting: list[tuple[int, bytes]] = []
    for added, now_ms in steps:
        for at_ms, address in added:
            agenda.add(at_ms, address)
            waiting.append((at_ms, address))
        assert min((at_ms for at_ms, _ in waiting), default=None) == agenda.next_ms()
        waiting.sort()
        due = [look for look in waiting if look[0] <= now_ms][:most]
        assert due == agenda.pop(now_ms, most)
        waiting = waiting[len(due) :]
        assert len(waiting) == len(agenda)
