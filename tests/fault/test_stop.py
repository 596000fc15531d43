"""Invariant: after an ordered stop the maps let nobody relay, whatever held it up for a while."""

import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from syslogauth.child import HUNG_SECONDS
from syslogauth.record import VERSION
from tests import live_map
from tests.appliance import Appliance, configuration, free_port
from tests.deadline import wait_until
from tests.processes import alive, children, command_line

LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80"
A, B, C = "198.51.100.1", "198.51.100.2", "198.51.100.3"
HELD_SECONDS = 8.0  # longer than an exporter tries for the lock before it gives up


class Site:
    """An appliance with a map, and a sender of logins."""

    def __init__(self, directory: Path, grace_seconds: int = 1800) -> None:
        self.directory = directory
        self.udp = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        metrics = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        places = {"udp": f"127.0.0.1:{self.udp[1]}", "metrics": f"127.0.0.1:{metrics[1]}"}
        config = directory / "syslogauth.toml"
        config.write_text(configuration(directory, **places, grace_seconds=grace_seconds))
        self.map = directory / "popauth.db"
        self.appliance = Appliance(config, metrics)

    def start(self) -> None:
        self.appliance.start()
        self.appliance.wait_ready()

    def log_in(self, *addresses: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for address in addresses:
                sender.sendto(LOGIN.format(address=address).encode(), self.udp)

    def holds(self, *addresses: str) -> None:
        wait_until(lambda: live_map.keys(self.map) == set(addresses), f"the map to hold exactly {addresses}")

    def exporter(self) -> int:
        """The process id of the running exporter."""
        (pid,) = [child for child in children(self.appliance.parent()) if "exporter" in command_line(child)]
        return pid

    def stop(self, seconds: float, number: int = signal.SIGTERM) -> int:
        """Ask the parent to stop and wait that long for its end; the exit code."""
        assert self.appliance.running
        self.appliance.running.send_signal(number)
        return self.appliance.running.wait(seconds)


@contextmanager
def running(directory: Path, grace_seconds: int = 1800) -> Iterator[Site]:
    site = Site(directory, grace_seconds)
    site.start()
    try:
        yield site
    finally:
        started = site.appliance.running
        if started and started.poll() is None:
            orphans = children(started.pid)
            started.kill()
            started.wait()
            for orphan in filter(alive, orphans):
                os.kill(orphan, signal.SIGKILL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as started:
        yield started


def test_a_stop_waits_for_a_reader_that_holds_the_map(site: Site) -> None:
    """As a sendmail does that was stopped within a look-up."""
    site.log_in(A, B)
    site.holds(A, B)
    reader = site.map.open("rb")
    release = threading.Timer(HELD_SECONDS, reader.close)
    fcntl.flock(reader, fcntl.LOCK_SH)
    began = time.monotonic()
    release.start()
    try:
        code = site.stop(20)
        assert HELD_SECONDS <= time.monotonic() - began
    finally:
        release.join()
    assert (0, frozenset()) == (code, live_map.keys(site.map))


def test_an_exporter_that_hangs_is_killed_and_another_empties_the_map(site: Site) -> None:
    site.log_in(A)
    site.holds(A)
    exporter = site.exporter()
    os.kill(exporter, signal.SIGSTOP)
    assert 0 == site.stop(HUNG_SECONDS + 9)
    assert not alive(exporter)
    assert frozenset() == live_map.keys(site.map)
    assert 1 == site.appliance.said().count("did not stop in time; killed")


def make_of_another_version(table: Path, address: str) -> None:
    """As a downgrade finds it: the first byte of the record is another."""
    with lmdb.open(str(table), max_dbs=5, map_size=1 << 27, **({"lib_version": 0} if lmdb.__version__ >= "2" else {})) as environment:
        grants = environment.open_db(b"grants")
        with environment.begin(write=True, db=grants) as txn:
            key = socket.inet_aton(address)
            record = txn.get(key)
            assert record
            assert VERSION == record[0]
            txn.put(key, bytes((VERSION + 1,)) + record[1:])


def test_a_record_of_another_version_stops_neither_the_daemon_nor_its_stop(tmp_path: Path) -> None:
    with running(tmp_path, grace_seconds=8) as site:
        site.log_in(A, B)
        site.holds(A, B)
        assert 0 == site.stop(15, signal.SIGUSR1)
        make_of_another_version(tmp_path / "state" / "table", A)
        site.start()
        site.holds(B)
        site.holds()
        site.log_in(C)
        site.holds(C)
        assert "died" not in site.appliance.said()
        assert 0 == site.stop(15)
        assert frozenset() == live_map.keys(site.map)
        site.start()
        site.log_in(A)  # overwrites it
        wait_until(lambda: A in live_map.keys(site.map), "the login to count")
        assert 0 == site.stop(15)
    assert frozenset() == live_map.keys(site.map)
