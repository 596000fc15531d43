"""Invariants: put keeps the later expiry, in whatever order, grouping and repetition the batches come; the table does what a plain model of
deny, revoke and flush does; no expiry is honoured beyond now + the bound of its kind.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syslogauth.core.login import Grant
from syslogauth.record import Bounds, Entry, decode, encode
from syslogauth.roster import Roster
from syslogauth.table import Table

NOW = 1_700_000_000
GRACE, MANUAL = 100, 1000
BOUNDS = Bounds(GRACE, MANUAL)
ADDRESSES = [bytes((192, 0, 2, n)) for n in range(1, 4)] + [bytes((0x20, 1)) + bytes(14)]

addresses = st.sampled_from(ADDRESSES)
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


class Operators(RuleBasedStateMachine):
    """Operators, mail servers and the clock against a table, and a model of three dicts."""

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.table = Table(Path(self.directory) / "table", 100, BOUNDS)
        self.roster = Roster(self.table)
        self.now = NOW
        self.until: dict[bytes, int] = {}
        self.denied: dict[bytes, int] = {}
        self.void: dict[bytes, int] = {}
        self.flushed = 0

    def teardown(self) -> None:
        if hasattr(self, "table"):
            self.table.close()
            shutil.rmtree(self.directory)

    def is_denied(self, address: bytes) -> bool:
        return self.denied.get(address, 0) > self.now

    def put(self, address: bytes, until: int) -> None:
        old = self.until.get(address, 0)
        self.until[address] = max(until, old) if old > self.now else until

    @rule(batch=st.lists(st.tuples(addresses, st.integers(0, 60)), max_size=4))
    def log_in(self, batch: list[tuple[bytes, int]]) -> None:
        """Logins received up to a minute ago, which have waited for their commit."""
        self.table.commit([login(address, self.now - ago) for address, ago in batch], self.now)
        for address, ago in batch:
            at = self.now - ago
            if not self.is_denied(address) and at > max(self.flushed, self.void.get(address, 0)):
                self.put(address, at + GRACE)

    @rule(address=addresses, seconds=st.integers(1, 3 * MANUAL))
    def grant(self, address: bytes, seconds: int) -> None:
        assert self.table.grant(address, seconds, "", self.now) != self.is_denied(address)
        if not self.is_denied(address):
            self.put(address, self.now + min(seconds, MANUAL))

    @rule(address=addresses)
    def revoke(self, address: bytes) -> None:
        self.table.revoke(address, self.now)
        self.until.pop(address, None)
        self.void[address] = self.now

    @rule(address=addresses, seconds=st.one_of(st.none(), st.integers(0, 300)))
    def deny(self, address: bytes, seconds: int | None) -> None:
        self.table.deny(address, None if seconds is None else self.now + seconds, self.now)
        self.denied[address] = 2**40 if seconds is None else self.now + seconds

    @rule()
    def flush(self) -> None:
        self.table.flush(self.now)
        self.until.clear()
        self.flushed = self.now

    @rule(seconds=st.integers(1, 2 * MANUAL))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        self.table.sweep(self.now)

    @rule()
    def settle(self) -> None:
        self.roster.advance(self.now, self.now)
        self.roster.settle(self.now)

    @rule()
    def start_another_exporter(self) -> None:
        self.roster = Roster(self.table)

    @invariant()
    def the_table_and_the_roster_say_what_the_model_says(self) -> None:
        if not hasattr(self, "table"):
            return
        expected = {a: until for a, until in self.until.items() if until > self.now and not self.is_denied(a)}
        assert expected == {a: until for a in ADDRESSES if (until := self.table.live(a, self.now))}
        self.roster.advance(self.now, self.now)
        assert set(expected) == self.roster.live


Operators.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOperators = Operators.TestCase
