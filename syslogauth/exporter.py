"""The exporting process: follows the table, keeps every map, ends what is over.

It polls the table's change log each POLL_SECONDS, which costs a few microseconds, and wakes when the next grant ends: expiry needs no
traffic and no receiver. It learns of change from LMDB alone. Before it takes more than a quarter of a core it publishes more rarely
(duty.py), at the least every 30 s. One exporter at a time: a lock on a file of the state directory. Where the
table cannot be read it says so and tries again; nobody enters the maps then, but who is over leaves them (law 4).
"""

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence

import structlog

from syslogauth.control import BEAT_SECONDS, Control, heartbeat
from syslogauth.duty import Duty
from syslogauth.maps import Map
from syslogauth.metrics import Samples, histogram
from syslogauth.roster import Roster
from syslogauth.table import Table, TableError

POLL_SECONDS = 0.1
SWEEP_SECONDS = 60.0
TIDY_SECONDS = 1.0
TABLE_RETRY_SECONDS = 1.0
LAST_TRIES_SECONDS = 5.0
WAITS_KEPT = 1_000  # new addresses a publication whose wait is measured at most


def emptied(maps: Sequence[Map], monotonic: float) -> bool:
    """Empty the maps, each tried for LAST_TRIES_SECONDS. True where all of them are."""
    for map_ in maps:
        map_.renew()
    done = [last_word(map_, (), monotonic + LAST_TRIES_SECONDS) for map_ in maps]
    return all(done)


def last_word(map_: Map, addresses: Collection[bytes], deadline: float) -> bool:
    """Publish these, trying until the deadline. True where the map says so now, or where there is no map of ours any more."""
    map_.stale = True
    while not map_.keep(addresses, time.monotonic()):
        if map_.foreign:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Exporter:
    """`run()` ends when the parent says so or is gone. `always`: the addresses of policy.always, with their comments; None leaves them."""

    def __init__(
        self,
        table: Table,
        maps: Sequence[Map],
        control: Control,
        log: structlog.stdlib.BoundLogger,
        always: Mapping[bytes, str] | None = None,
        *,
        store_users: bool = True,
    ) -> None:
        self.table = table
        self.always = always
        self.roster = Roster(table)
        self.maps = maps
        for map_ in maps:
            map_.breathe = self._beat
        self.duty = Duty()
        self.control = control
        self.log = log
        self.login_to_export_seconds = histogram("login_to_export_seconds")
        self._named = not store_users  # the table may still hold names that it must not
        self._table_fault = self._untidy = ""
        self._next_beat = self._next_tidying = self._next_sweep = 0.0

    def run(self) -> bool:
        """True where, at its end, the maps are as they shall be."""
        pause = 0.0
        while True:
            messages = self.control.wait(pause)  # first: a stop must be heard also by one that would fail at its first step
            if messages is None:
                return self._finish(empty=False)
            for message in messages:
                if "stop" in message:
                    return self._finish(empty=message["stop"] == "empty")
            self.step(time.time(), time.monotonic())
            pause = self._pause()

    def step(self, now: float, monotonic: float) -> None:
        """One turn: follow the table, write the maps that are due, tidy the table, say how things stand."""
        self._follow(now, monotonic)
        due = [map_ for map_ in self.maps if map_.due(monotonic) and (self.roster.known or not map_.stale)]
        for map_ in due:
            map_.keep(self.roster.live, monotonic)
        if self.roster.entered and not any(map_.stale for map_ in self.maps):
            self._measure_waits()
        del self.roster.entered[WAITS_KEPT:]
        if monotonic >= self._next_tidying:
            self._tidy(now, monotonic)
        self._beat()
        if due:
            self._rest()

    def _rest(self) -> None:
        monotonic = time.monotonic()
        rest_seconds = self.duty.rest_seconds(monotonic, time.process_time())
        for map_ in self.maps:
            map_.postpone(monotonic, rest_seconds)

    def _follow(self, now: float, monotonic: float) -> None:
        """Tell the maps who has entered and left, also where the table could be followed but half way."""
        try:
            changed = self.roster.advance(now, monotonic)
        except (TableError, OSError) as error:
            if not self._table_fault:
                self.log.error("table cannot be read; nobody new enters the maps, and who is over leaves them", error=str(error))
            self._table_fault = str(error)
            changed = self.roster.lapse(now)
        else:
            if self._table_fault:
                self.log.info("table can be read again")
            self._table_fault = ""
        if changed or self.roster.changed:
            for map_ in self.maps:
                map_.note(self.roster.changed)
            self.roster.changed.clear()

    def _tidy(self, now: float, monotonic: float) -> None:
        """Write to the table what nobody waits for: the maps do without it while the disk is full."""
        self._next_tidying = monotonic + TIDY_SECONDS
        try:
            self.roster.settle(now)
            if monotonic >= self._next_sweep:
                self.table.keep_bounds()
                if self.always is not None:
                    self.table.keep_always(self.always)
                if self._named:
                    self.table.forget_users()
                    self._named = False
                self.table.sweep(now)
                self._next_sweep = monotonic + SWEEP_SECONDS
        except (TableError, OSError) as error:
            if not self._untidy:
                self.log.error("table cannot be tidied; the maps are right all the same", error=str(error))
            self._untidy, self._next_tidying = str(error), monotonic + TABLE_RETRY_SECONDS
            return
        if self._untidy:
            self.log.info("table can be tidied again")
        self._untidy = ""

    def _beat(self) -> None:
        """The heartbeat, where it is time for one."""
        if (monotonic := time.monotonic()) >= self._next_beat:
            self._next_beat = monotonic + BEAT_SECONDS
            self.control.send(heartbeat("exporter", not self.reason(), self.reason(), self.samples()))

    def reason(self) -> str:
        """Why the maps may not say what the table says; empty where they do."""
        if self._table_fault:
            return f"table: {self._table_fault}"
        return next((f"export {map_.name}: {map_.reason}" for map_ in self.maps if map_.reason), "")

    def _pause(self) -> float:
        """Until something may have to be done: not at each grant's end while no map may be written."""
        if self._table_fault:
            return TABLE_RETRY_SECONDS
        if self.roster.reading:
            return 0.0
        monotonic = time.monotonic()
        waits = [map_.wait_seconds(monotonic) for map_ in self.maps]
        pause = min([POLL_SECONDS, *(wait for map_, wait in zip(self.maps, waits, strict=True) if map_.stale)])
        if not any(waits):
            pause = min(pause, self.roster.next_due() - time.time())
        return max(0.001, pause)

    def _measure_waits(self) -> None:
        now = time.time()
        entered, self.roster.entered = self.roster.entered, []
        with contextlib.suppress(TableError, OSError):  # _follow() says so, and tries again
            for address in entered:
                if (entry := self.table.get(address)) is not None and entry.kind == "login":
                    self.login_to_export_seconds.observe(max(0.0, now - entry.granted_at))

    def _finish(self, *, empty: bool) -> bool:
        """The last word of the maps: empty, or what the table says now."""
        if empty:
            done = [emptied(self.maps, time.monotonic())]
        else:
            deadline = time.monotonic() + LAST_TRIES_SECONDS
            self.step(time.time(), time.monotonic())
            while self.roster.reading and time.monotonic() < deadline:
                self.step(time.time(), time.monotonic())
            done = [self.roster.known and last_word(map_, self.roster.live, deadline) for map_ in self.maps if map_.stale]
        self.control.send(heartbeat("exporter", False, "stopped", self.samples()))
        self.table.close()
        return all(done)

    def samples(self) -> Samples:
        """Every figure of this process as it stands."""
        samples: Samples = {
            "grants_expired": [((), self.roster.expired)],
            "clock_steps": [((), self.roster.clock_steps)],
            "login_to_export_seconds": [((), self.login_to_export_seconds.state())],
        }
        for map_ in self.maps:
            for name, rows in map_.samples().items():
                samples.setdefault(name, []).extend(rows)
        try:
            sizes = self.table.sizes()
        except (TableError, OSError):
            return samples
        return samples | {
            "table_entries": [((), sizes["entries"])],
            "open_sessions": [((), sizes["sessions"])],
            "table_denies": [((), sizes["denies"])],
            "table_used_bytes": [((), sizes["used_bytes"])],
            "table_map_size_bytes": [((), sizes["map_size_bytes"])],
        }
