"""The table address -> grant, in LMDB (environment.py). Its databases, beside those of denials.py, holds.py, limits.py, positions.py and
changelog.py:

    grants    packed address (4 or 16 bytes)  -> record, see record.py
    revoked   packed address                  -> time of the revocation, u64: what was granted at or before it is void
    always    packed address                  -> comment, UTF-8: may relay for ever, needs no record (policy.always)
    meta      flushed_at                      -> u64; like `revoked`, for every address
              bounds                          -> see record.py

All u64 are big endian; all times are Unix milliseconds. `put` keeps the later expiry, so that logins repeat, datagrams double and
batches come again in any order with the same result. Denials beat every grant. A mere refresh is not a change.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from syslogauth import changelog, denials, holds, positions
from syslogauth.backup import Row, lines
from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.denials import Network
from syslogauth.environment import SLICE, Environment, TableError, View
from syslogauth.grants import Records, delete
from syslogauth.limits import Limits, build
from syslogauth.merge import merge
from syslogauth.nameless import forget_users
from syslogauth.record import FOR_EVER_MS, MANUAL, U64, Bounds, Entry, decode, ms, texts
from syslogauth.standing import Standing, held_ms, kept_bounds, live_until, standing
from syslogauth.store import Committed, Rules, store
from syslogauth.sweep import flush, settle, sweep

__all__ = ["Committed", "Standing", "Table", "TableError"]


class Table:
    """The open environment. `directory` is made (0700) where it is missing.

    A reader (`readonly`) takes the map size and the bounds from the table itself: those of the daemon. Raises TableError, OSError.
    `metasync`: as in environment.py; receivers do without.
    """

    def __init__(
        self,
        directory: Path | str,
        max_addresses: int = 0,
        bounds: Bounds | None = None,
        readonly: bool = False,
        limits: Limits = Limits(),  # noqa: B008 - it is immutable
        metasync: bool = True,
    ) -> None:
        self.max_addresses = max_addresses
        self.limits = limits
        self.unreadable = 0  # records that entries() has met: damaged ones, or of a newer version
        self.sessions_refused = 0  # there were too many; their grants end by the grace alone
        self._environment = Environment(directory, max_addresses, readonly, metasync)
        with self._environment.begin() as view:
            kept = kept_bounds(view)
        self.bounds = bounds or kept
        if not readonly and not any(kept):
            self.keep_bounds()
        if not readonly and limits.per_user:
            build(self._environment)

    def close(self) -> None:
        self._environment.close()

    # writing

    def keep_bounds(self) -> None:
        """Make our bounds those of every reader: for the daemon, which has the configuration that counts."""
        with self._environment.begin() as view:
            kept = kept_bounds(view)
        if kept.packed() != self.bounds.packed():
            with self._environment.begin(write=True) as view:
                view.put("meta", b"bounds", self.bounds.packed())

    def keep_always(self, addresses: Mapping[bytes, str]) -> None:
        """Make these, with their comments, the addresses that may always relay: for the daemon, as keep_bounds()."""
        wanted = {address: comment.encode("utf-8", "replace") for address, comment in addresses.items()}
        kept = dict(self._environment.scan("always"))
        if wanted == kept:
            return
        with self._environment.begin(write=True) as view:
            for address in kept.keys() - wanted.keys():
                view.delete("always", address)
            for address, comment in wanted.items():
                view.put("always", address, comment)
            self._log(view, list(kept.keys() ^ wanted.keys()))

    def commit(
        self, grants: Iterable[Grant], now: float, sessions: Iterable[Opened | Closed] = (), read_to: Iterable[tuple[str, bytes]] = ()
    ) -> Committed:
        """Store a batch of logins, then of openings and ends of sessions, in one transaction, durable on return (see `metasync`); with
        it the positions in followed files after them (`read_to`). Raises TableError, and then nothing of it is stored.
        """
        grants, rules = list(grants), Rules(self.bounds, self.limits, self.max_addresses)
        with self._environment.begin(write=True) as view:
            committed, refused = store(view, rules, grants, sessions, read_to, ms(now))
        self.sessions_refused += refused
        return committed

    def grant(self, address: bytes, seconds: float, note: str, now: float) -> bool:
        """A manual grant, at most the bound of its kind; False where the address is denied."""
        until = now + min(seconds, self.bounds.manual_seconds)
        with self._environment.begin(write=True) as view:
            if denials.until(view, address) > ms(now):
                return False
            records = Records(view, [address])
            put = MANUAL, ms(until), ms(now), 1, texts("", "", note, "", "")
            live_ms = 0 if held_ms(view, self.bounds, address, ms(now)) > ms(now) else ms(now)
            if not records.renew(address, live_ms, *put):
                records.enter(address, *put)
            records.write()
            self._log(view, [address])
        return True

    def revoke(self, address: bytes, now: float) -> bool:
        """Take the grant away, and void whatever was granted up to `now` and is still on its way. True where there was one."""
        with self._environment.begin(write=True) as view:
            view.put("revoked", address, U64.pack(ms(now)))
            view.delete("held", address)
            existed = delete(view, address)
            self._log(view, [address])
        return existed

    def deny(self, address: bytes, until: float | None, now: float) -> None:
        """Refuse the address until then (None: for ever). A time that is not after `now` lifts the denial."""
        self.deny_network(denials.whole(address), until, now)

    def deny_network(self, network: Network, until: float | None, now: float) -> None:
        """The same for every address of a network."""
        first, last = network[0], denials.last_address(network)
        with self._environment.begin(write=True) as view:
            denials.put(view, network, FOR_EVER_MS if until is None else ms(until), ms(now))
            if first == last:
                return self._log(view, [first])
        inside = denials.inside(self._environment, network)
        while slice_ := list(islice(inside, SLICE)):
            with self._environment.begin(write=True) as view:
                self._log(view, slice_)
        return None

    def flush(self, now: float) -> int:
        """Remove every grant, in slices; void those on their way, and every session. Denials stay. The number removed."""
        with self._environment.begin(write=True) as view:
            holds.forget_all(view)
        return flush(self._environment, ms(now))

    def merge(self, rows: Iterable[Row], now: float) -> Counter[tuple[str, str]]:
        """Take rows of a backup in: see merge.py."""
        return merge(self._environment, self.bounds, self.max_addresses, rows, now)

    def forget_users(self) -> None:
        """Take the names of users out: see nameless.py."""
        forget_users(self._environment)

    def settle(self, addresses: Sequence[bytes], now: float) -> int:
        """Delete those whose time is over, and pull those back that lie beyond the bound of their kind. The number deleted."""
        return settle(self._environment, self.bounds, addresses, now)

    def sweep(self, now: float) -> None:
        """Forget what can no longer matter (sweep.py), and readers that died."""
        self._environment.reader_check()
        sweep(self._environment, self.bounds, now)

    # reading

    def get(self, address: bytes) -> Entry | None:
        with self._environment.begin() as view:
            record = view.get("grants", address)
        return None if record is None else decode(address, record)

    def denied_by(self, address: bytes) -> list[tuple[Network, float]]:
        """What denies the address, and until when, Unix seconds: the address as a network of one, the networks that hold it."""
        with self._environment.begin() as view:
            return [(network, until / 1000) for network, until in denials.of(view, address)]

    def denied_until(self, address: bytes) -> float:
        """Unix seconds of the end of its last denial; 0 where the address was never denied."""
        return max((until for _, until in self.denied_by(address)), default=0)

    def held(self, address: bytes) -> tuple[int, float]:
        """How many sessions hold the address, and until when at most, Unix seconds."""
        with self._environment.begin() as view:
            sessions, held_until = holds.held(view, address)
        return sessions, held_until / 1000

    def honoured(self, addresses: Iterable[bytes], now: float) -> list[Standing]:
        """How each address stands."""
        with self._environment.begin() as view:
            return [standing(view, self.bounds, address, ms(now)) for address in addresses]

    def live(self, address: bytes, now: float) -> float | None:
        """Until when the address may relay, Unix seconds; None where it may not. ValueError where its record is of another version."""
        with self._environment.begin() as view:
            until = live_until(view, self.bounds, address, ms(now))
        return until / 1000 if until else None

    def entries(self) -> Iterator[Entry]:
        """Every record that can be read, live or not, in the order of the addresses; `unreadable` counts the others."""
        for address, record in self._environment.scan("grants"):
            try:
                entry = decode(address, record)
            except ValueError:
                self.unreadable += 1
                continue
            yield entry

    def always(self) -> dict[bytes, str]:
        """The addresses that may always relay, and their comments."""
        return {address: comment.decode("utf-8", "replace") for address, comment in self._environment.scan("always")}

    def addresses(self) -> Iterator[bytes]:
        """Every address that may be live: the `always` ones, then every other with a record."""
        always = self.always()
        yield from always
        yield from (address for address, _ in self._environment.scan("grants") if address not in always)

    def denials(self) -> Iterator[tuple[bytes, float | None]]:
        """Address and Unix seconds of the end (None: for ever) of every denial of an address."""
        return ((first, until) for (first, prefix), until in self.denied() if prefix == 8 * len(first))

    def denied(self) -> Iterator[tuple[Network, float | None]]:
        """The same for every denial, of networks too; an address is a network of one."""
        for network, until_ms in denials.scan(self._environment):
            yield network, None if until_ms == FOR_EVER_MS else until_ms / 1000

    def sequence(self) -> int:
        """The number of the last change."""
        with self._environment.begin() as view:
            return changelog.last(view.txn, view.database("changes"))

    def changes(self, after: int) -> changelog.Changes:
        """What entered or left since sequence number `after`. An address may come twice."""
        with self._environment.begin() as view:
            return changelog.since(view.txn, view.database("changes"), after)

    def position(self, path: str) -> bytes | None:
        """How far a followed file was read, as it was committed."""
        with self._environment.begin() as view:
            return positions.kept(view, path)

    def commits(self) -> int:
        """The number of the last commit of any process: while it stays, nothing has been written. Costs less than a look at the log."""
        return self._environment.commits()

    def backup(self) -> Iterator[bytes]:
        """All of it as it is at this moment, as a text: see backup.py. Raises TableError, OSError."""
        return lines(self._environment)

    def sizes(self) -> dict[str, int]:
        """entries, denies, sessions, used_bytes, map_size_bytes."""
        with self._environment.begin() as view:
            denies = view.count("denies") + view.count("denied_networks")
            counts = {"entries": view.count("grants"), "denies": denies, "sessions": view.count("sessions")}
        used, whole = self._environment.used_bytes()
        return {**counts, "used_bytes": used, "map_size_bytes": whole}

    def _log(self, view: View, addresses: Sequence[bytes]) -> None:
        changelog.append(view.txn, view.database("changes"), addresses)
