"""The exporter keeps the table as the configuration says, while it is at work."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import structlog

from syslogauth.control import Control
from syslogauth.exporter import Exporter
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
