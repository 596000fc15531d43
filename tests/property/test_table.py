"""Invariants: put keeps the later expiry, in whatever order, grouping and repetition the batches come; the table does what a plain model of
deny, revoke, flush, sessions, networks and the addresses that may always relay does; no expiry is honoured beyond now + the bound of its
kind; openings and ends of sessions, however doubled and reordered, let nobody relay beyond held_until + grace.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.record import FOR_EVER_MS, Bounds, Entry, decode, encode
from syslogauth.roster import Roster
from syslogauth.table import Table

NOW = 1_700_000_000
GRACE, MANUAL, HOLD = 100, 1000, 400
BOUNDS = Bounds(GRACE, MANUAL, HOLD + GRACE)
ADDRESSES = [bytes((192, 0, 2, n)) for n in range(1, 4)] + [bytes((0x20, 1)) + bytes(14)]
NETWORKS = {  # and who is in it
    (bytes((192, 0, 2, 0)), 30): ADDRESSES[:3],
    (bytes((192, 0, 2, 2)), 31): ADDRESSES[1:3],
    (bytes((0x20, 0)) + bytes(14), 12): ADDRESSES[3:],
}
KEYS = [bytes([n]) * 16 for n in range(3)]
COUNTED = KEYS[2]  # may stand for several sessions at once

addresses = st.sampled_from(ADDRESSES)
keys = st.sampled_from(KEYS)
texts = st.text(max_size=20)
times = st.integers(0, 2**52).map(lambda ms: ms / 1000)


def login(address: bytes, at: float) -> Grant:
    return Grant(address, at + GRACE, at, "imap", "dovecot", "alice", "mail1", "mail1")


def expiries(batches: Iterable[Iterable[Grant]], now: float) -> dict[bytes, tuple[float, float, float]]:
    """What a new table says of each address after these batches."""
    with tempfile.TemporaryDirectory() as directory:
        table = Table(Path(directory) / "table", 100, BOUNDS)
        for batch in batches:
            table.commit(batch, now)
        found = {entry.address: (entry.expires_at, entry.granted_at, entry.refreshed_at) for entry in table.entries()}
        table.close()
        return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.builds(login, addresses, st.integers(NOW - GRACE + 1, NOW)), max_size=4), max_size=4), st.randoms())
def test_batches_in_any_order_grouping_and_repetition_leave_the_same_table(batches: list[list[Grant]], chance: object) -> None:
    logins = list(itertools.chain(*batches))
    expected = {
        address: (max(grant.expires_at for grant in mine), min(grant.granted_at for grant in mine), max(grant.granted_at for grant in mine))
        for address in ADDRESSES
        if (mine := [grant for grant in logins if grant.address == address])
    }
    shuffled = logins + logins[: len(logins) // 2]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for order in (batches, batches + batches, batches[::-1], [shuffled], [[grant] for grant in shuffled]):
        assert expected == expiries(order, NOW)


@given(
    st.builds(Entry, addresses, st.sampled_from(("login", "manual", "held")), times, times, times, st.integers(0, 2**32 - 1), *[texts] * 5)
)
def test_every_entry_comes_back_from_its_record(entry: Entry) -> None:
    assert entry == decode(entry.address, encode(entry))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(addresses, st.integers(0, 10_000)), max_size=8), st.integers(-200, 12_000))
def test_no_expiry_is_honoured_beyond_its_bound(records: list[tuple[bytes, int]], later: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        table = Table(Path(directory) / "table", 100, BOUNDS)
        table.commit([Grant(address, NOW + seconds, NOW, "", "", "", "", "") for address, seconds in records], NOW)
        now = NOW + later
        assert all((table.live(address, now) or 0) <= now + GRACE for address in ADDRESSES)
        table.settle(ADDRESSES, now)
        assert all(now < entry.expires_at <= now + GRACE for entry in table.entries())
        table.close()


def opening(key: bytes, address: bytes, at: float) -> Opened:
    return Opened(key, address, at, at + HOLD, GRACE, key == COUNTED)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.builds(opening, keys, addresses, st.integers(NOW, NOW + 500)), st.builds(Closed, keys, st.integers(NOW, NOW + 900))
            )
        ),
        max_size=6,
    ),
    st.lists(st.integers(NOW, NOW + 1200), max_size=6),
)
def test_no_order_of_openings_and_ends_lets_anybody_relay_beyond_the_last_session_and_its_grace(
    batches: list[list[Opened | Closed]], times: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        table = Table(Path(directory) / "table", 100, BOUNDS)
        most = dict.fromkeys(ADDRESSES, 0.0)
        for batch, now in zip(batches, times, strict=False):
            logins = [login(event.address, event.opened_at) for event in batch if isinstance(event, Opened)]
            table.commit(logins, now, batch)
            for event in batch:
                if isinstance(event, Opened):
                    most[event.address] = max(most[event.address], event.held_until + GRACE)
            assert all((table.live(address, now) or 0) <= min(most[address], now + HOLD + GRACE) for address in ADDRESSES)
        end = max(most.values())
        assert [] == [address for address in ADDRESSES if table.live(address, max(end, NOW))]
        table.sweep(max(end, NOW))
        assert 0 == table.sizes()["sessions"]
        table.close()


@dataclass
class Row:
    """A session as the model knows it."""

    address: bytes
    opened_at: int
    until: int
    sessions: int


class Operators(RuleBasedStateMachine):
    """Operators, mail servers and the clock against a table, and a model of a few dicts."""

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.table = Table(Path(self.directory) / "table", 100, BOUNDS)
        self.roster = Roster(self.table)
        self.now = NOW
        self.until: dict[bytes, int] = {}
        self.denied: dict[bytes | tuple[bytes, int], int] = {}
        self.void: dict[bytes, int] = {}
        self.flushed = 0
        self.rows: dict[bytes, Row] = {}
        self.held: dict[bytes, int] = {}
        self.always: set[bytes] = set()

    def teardown(self) -> None:
        if hasattr(self, "table"):
            self.table.close()
            shutil.rmtree(self.directory)

    def is_denied(self, address: bytes) -> bool:
        networks = [network for network, inside in NETWORKS.items() if address in inside]
        return any(self.denied.get(denied, 0) > self.now for denied in (address, *networks))

    def lives(self, address: bytes) -> bool:
        return address in self.until and max(self.until[address], self.held.get(address, 0)) > self.now

    def voided(self, address: bytes) -> int:
        return max(self.flushed, self.void.get(address, 0))

    def put(self, address: bytes, until: int) -> None:
        self.until[address] = max(until, self.until[address]) if self.lives(address) else until

    # sessions

    def end(self, key: bytes, at: int | None) -> None:
        row = self.rows.pop(key)
        if row.opened_at > self.voided(row.address):
            self.prolong(row, at)
            if not any(other.address == row.address and other.opened_at > self.voided(row.address) for other in self.rows.values()):
                self.held.pop(row.address, None)

    def prolong(self, row: Row, at: int | None) -> None:
        if at is not None and at <= row.until and row.address in self.until:
            self.until[row.address] = max(self.until[row.address], at + GRACE)

    def opened(self, key: bytes, address: bytes, at: int, may_relay: bool) -> None:
        old = self.rows.get(key)
        if old is not None and (old.address != address or old.opened_at <= self.voided(address)):
            if at < old.opened_at:
                return
            self.end(key, at)
            old = None
        if not may_relay or at <= self.voided(address):
            return
        row = Row(address, at, at + HOLD, 1)
        if old is not None and old.until > self.now:
            row = Row(address, max(at, old.opened_at), max(at + HOLD, old.until), old.sessions + (key == COUNTED))
        self.rows[key] = row
        self.held[address] = max(row.until, self.held.get(address, 0))

    def closed(self, key: bytes, at: int) -> None:
        row = self.rows.get(key)
        if row is None or (row.sessions == 1 and at < row.opened_at):
            return
        if row.sessions > 1 and row.opened_at > self.voided(row.address):
            row.sessions -= 1
            self.prolong(row, at)
        else:
            self.end(key, at)

    def settled(self, address: bytes) -> None:
        if not self.lives(address):
            self.until.pop(address, None)

    # what happens

    @rule(batch=st.lists(st.tuples(addresses, st.integers(0, 60)), max_size=4))
    def log_in(self, batch: list[tuple[bytes, int]]) -> None:
        """Logins received up to a minute ago, which have waited for their commit."""
        self.table.commit([login(address, self.now - ago) for address, ago in batch], self.now)
        self.granted(batch)

    def granted(self, batch: list[tuple[bytes, int]]) -> set[bytes]:
        granted = set()
        for address, ago in batch:
            at = self.now - ago
            if not self.is_denied(address) and at > self.voided(address):
                self.put(address, at + GRACE)
                granted.add(address)
        return granted

    @rule(batch=st.lists(st.tuples(addresses, st.integers(0, 60), keys, st.booleans()), max_size=4))
    def connect_and_disconnect(self, batch: list[tuple[bytes, int, bytes, bool]]) -> None:
        """Logins that open a session, and ends of sessions."""
        begun = [(address, ago) for address, ago, _, opens in batch if opens]
        events: list[Opened | Closed] = [
            opening(key, address, self.now - ago) if opens else Closed(key, self.now - ago) for address, ago, key, opens in batch
        ]
        self.table.commit([login(address, self.now - ago) for address, ago in begun], self.now, events)
        granted = self.granted(begun)
        for address, ago, key, opens in batch:
            if opens:
                self.opened(key, address, self.now - ago, address in granted or (self.lives(address) and not self.is_denied(address)))
            else:
                self.closed(key, self.now - ago)

    @rule(address=addresses, seconds=st.integers(1, 3 * MANUAL))
    def grant(self, address: bytes, seconds: int) -> None:
        assert self.table.grant(address, seconds, "", self.now) != self.is_denied(address)
        if not self.is_denied(address):
            self.put(address, self.now + min(seconds, MANUAL))

    @rule(address=addresses)
    def revoke(self, address: bytes) -> None:
        self.table.revoke(address, self.now)
        self.until.pop(address, None)
        self.held.pop(address, None)
        self.void[address] = self.now

    @rule(address=addresses, seconds=st.one_of(st.none(), st.integers(0, 300)))
    def deny(self, address: bytes, seconds: int | None) -> None:
        self.table.deny(address, None if seconds is None else self.now + seconds, self.now)
        self.denied[address] = 2**40 if seconds is None else self.now + seconds

    @rule(network=st.sampled_from(list(NETWORKS)), seconds=st.one_of(st.none(), st.integers(0, 300)))
    def deny_network(self, network: tuple[bytes, int], seconds: int | None) -> None:
        self.table.deny_network(network, None if seconds is None else self.now + seconds, self.now)
        self.denied[network] = 2**40 if seconds is None else self.now + seconds

    @rule(always=st.sets(addresses, max_size=2))
    def configure(self, always: set[bytes]) -> None:
        self.table.keep_always(dict.fromkeys(always, "office"))
        self.always = always

    @rule()
    def flush(self) -> None:
        self.table.flush(self.now)
        for known in (self.until, self.held, self.rows):
            known.clear()
        self.flushed = self.now

    @rule(seconds=st.one_of(st.integers(1, GRACE + HOLD), st.integers(1, 2 * MANUAL)))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        self.table.sweep(self.now)
        for key in [key for key, row in self.rows.items() if row.until <= self.now]:
            self.end(key, None)
        for address in self.always:
            self.settled(address)

    @rule()
    def settle(self) -> None:
        self.roster.advance(self.now, self.now)
        seen = set(self.roster.unsettled)
        self.roster.settle(self.now)
        for address in ADDRESSES:
            if address not in self.always or address in seen:  # nobody looks for the end of the records of who may always relay
                self.settled(address)

    @rule()
    def start_another_exporter(self) -> None:
        self.roster = Roster(self.table)

    @invariant()
    def the_table_and_the_roster_say_what_the_model_says(self) -> None:
        if not hasattr(self, "table"):
            return
        expected = {
            address: FOR_EVER_MS / 1000 if address in self.always else max(self.until[address], self.held.get(address, 0))
            for address in ADDRESSES
            if (address in self.always or self.lives(address)) and not self.is_denied(address)
        }
        assert expected == {a: until for a in ADDRESSES if (until := self.table.live(a, self.now))}
        self.roster.advance(self.now, self.now)
        assert set(expected) == self.roster.live
        assert len(self.rows) == self.table.sizes()["sessions"]


Operators.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestOperators = Operators.TestCase
