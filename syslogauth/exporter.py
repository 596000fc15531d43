"""The exporting process: follows the table, keeps every map, ends what is over.

It polls the table's change log each POLL_SECONDS, which costs a few microseconds, and wakes when the next grant ends: expiry needs no
traffic and no receiver. It learns of change from LMDB alone. One exporter at a time: a lock on a file of the state directory. Where the
table cannot be read it says so, keeps the maps as they are, and tries again.
"""

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from syslogauth.control import BEAT_SECONDS, Control, heartbeat
from syslogauth.maps import Map
from syslogauth.metrics import Samples, histogram
from syslogauth.roster import Roster
from syslogauth.table import Table, TableError

POLL_SECONDS = 0.1
SWEEP_SECONDS = 60.0
TABLE_RETRY_SECONDS = 1.0
LAST_TRIES_SECONDS = 5.0
WAITS_KEPT = 10_000  # new addresses a publication whose wait is measured at most


def lock(state_directory: Path) -> int | None:
    """The lock of the one exporter, held until the descriptor is closed; None where another has it."""
    file = os.open(state_directory / "exporter.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


class Exporter:
    """`run()` ends when the parent says so or is gone."""

    def __init__(self, table: Table, maps: Sequence[Map], control: Control, log: structlog.stdlib.BoundLogger) -> None:
        self.table = table
        self.roster = Roster(table)
        self.maps = maps
        self.control = control
        self.log = log
        self.login_to_export_seconds = histogram("login_to_export_seconds")
        self._table_fault = self._untidy = ""
        self._next_beat = self._next_tidying = self._next_sweep = 0.0

    def run(self) -> None:
        while True:
            self.step(time.time(), time.monotonic())
            messages = self.control.wait(self._pause())
            if messages is None:
                return self._finish(empty=False)
            for message in messages:
                if "stop" in message:
                    return self._finish(empty=message["stop"] == "empty")

    def step(self, now: float, monotonic: float) -> None:
        """One turn: follow the table, write the maps that are due, tidy the table, say how things stand."""
        changed = self._follow(now, monotonic)
        for map_ in self.maps:
            map_.stale = map_.stale or changed
            if map_.due(monotonic) and not (self._table_fault and map_.stale):
                map_.keep(self.roster.live, monotonic)
        if self.roster.entered and not any(map_.stale for map_ in self.maps):
            self._measure_waits()
        del self.roster.entered[WAITS_KEPT:]
        if monotonic >= self._next_tidying:
            self._tidy(now, monotonic)
        if monotonic >= self._next_beat:
            self._next_beat = monotonic + BEAT_SECONDS
            self.control.send(heartbeat("exporter", not self.reason(), self.reason(), self.samples()))

    def _follow(self, now: float, monotonic: float) -> bool:
        try:
            changed = self.roster.advance(now, monotonic)
        except (TableError, OSError) as error:
            if not self._table_fault:
                self.log.error("table cannot be read; the maps stay as they are", error=str(error))
            self._table_fault = str(error)
            return False
        if self._table_fault:
            self.log.info("table can be read again")
        self._table_fault = ""
        return changed

    def _tidy(self, now: float, monotonic: float) -> None:
        """Write to the table what nobody waits for: the maps do without it while the disk is full."""
        try:
            self.roster.settle(now)
            if monotonic >= self._next_sweep:
                self.table.keep_bounds()
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

    def reason(self) -> str:
        """Why the maps may not say what the table says; empty where they do."""
        if self._table_fault:
            return f"table: {self._table_fault}"
        return next((f"export {map_.name}: {map_.reason}" for map_ in self.maps if map_.reason), "")

    def _pause(self) -> float:
        if self._table_fault:
            return TABLE_RETRY_SECONDS
        return min(POLL_SECONDS, max(0.001, self.roster.next_due() - time.time()))

    def _measure_waits(self) -> None:
        now = time.time()
        entered, self.roster.entered = self.roster.entered, []
        for address in entered:
            if (entry := self.table.get(address)) is not None and entry.kind == "login":
                self.login_to_export_seconds.observe(max(0.0, now - entry.granted_at))

    def _finish(self, *, empty: bool) -> None:
        """The last word of the maps: empty, or what the table says now. Tried for LAST_TRIES_SECONDS."""
        deadline = time.monotonic() + LAST_TRIES_SECONDS
        if not empty:
            self.step(time.time(), time.monotonic())
        for map_ in self.maps:
            if empty or (map_.stale and not self._table_fault):
                map_.stale = True
                while not map_.keep(set() if empty else self.roster.live, time.monotonic()):
                    if time.monotonic() >= deadline:
                        break
                    time.sleep(POLL_SECONDS)
        self.control.send(heartbeat("exporter", False, "stopped", self.samples()))
        self.table.close()

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
            "table_denies": [((), sizes["denies"])],
            "table_used_bytes": [((), sizes["used_bytes"])],
            "table_map_size_bytes": [((), sizes["map_size_bytes"])],
        }
