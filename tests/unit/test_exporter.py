"""The exporter keeps the table as the configuration says, while it is at work, and takes no more of a core than it may."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import structlog

from syslogauth.control import Control
from syslogauth.core.login import Grant
from syslogauth.duty import BURST_SECONDS, LONGEST_REST_SECONDS
from syslogauth.exporter import Exporter
from syslogauth.maps import Map, MapSettings
from syslogauth.record import Bounds
from syslogauth.table import Table

FIRST, SECOND = b"\xc0\x00\x02\x19", b"\xc0\x00\x02\x1a"


@pytest.mark.parametrize(
    ("before", "always", "after"),
    [
        ({}, {FIRST: "the copier"}, {FIRST: "the copier"}),
        ({FIRST: "the copier"}, {FIRST: "the scanner", SECOND: ""}, {FIRST: "the scanner", SECOND: ""}),
        ({FIRST: "the copier"}, {}, {}),
        ({FIRST: "the copier"}, None, {FIRST: "the copier"}),
    ],
)
def test_the_addresses_that_may_always_relay_are_those_of_the_configuration(
    tmp_path: Path, before: Mapping[bytes, str], always: Mapping[bytes, str] | None, after: Mapping[bytes, str]
) -> None:
    table = Table(tmp_path / "table", 1000, Bounds(1800, 86400))
    table.keep_always(before)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        exporter = Exporter(table, [], Control(theirs), structlog.get_logger(), always)
        exporter.step(time.time(), time.monotonic())
        assert after == table.always()
        exporter.step(time.time(), time.monotonic() + 1)
        assert set(after) == exporter.roster.live
    table.close()


def test_it_publishes_more_rarely_before_it_takes_more_than_a_quarter_of_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(tmp_path / "table", 1000, Bounds(1800, 86400))
    map_ = Map(MapSettings(tmp_path / "popauth", "hash9", "full", "", 1.0, 0o640), structlog.get_logger())
    cpu_seconds = [100.0]
    monkeypatch.setattr(time, "process_time", lambda: cpu_seconds[0])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        exporter = Exporter(table, [map_], Control(theirs), structlog.get_logger())
        intervals = []
        for number, cost in enumerate((20.0, BURST_SECONDS, 0.5, 1000.0)):
            now = time.time()
            table.commit([Grant(bytes((192, 0, 2, number)), now + 1000, now, "imap", "dovecot", "alice", "mail1", "mail1")], now)
            cpu_seconds[0] += cost
            exporter.step(now, map_._next)
            intervals.append(round(map_.interval_seconds))
    assert [1, 1, 2, LONGEST_REST_SECONDS] == intervals
    table.close()
