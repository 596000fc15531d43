"""Invariant: a full disk loses nothing that was stored, keeps waiting what could not be, keeps the old map, and leaves no trace once there
is room again.

The daemon and its commands run in a mount namespace of their own, where the state directory, or the map's, is a small tmpfs.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from syslogauth.exports import hash9
from tests.appliance import Appliance, configuration, free_port
from tests.deadline import wait_until
from tests.needs import missing, need

LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<{}>, method=PLAIN, rip={}, lip=192.0.2.1, mpid=80"
LONG_NAME = "u" * 190  # of an account for each /24: one at more than 256 addresses would be taken for a stolen one


class SmallDisk:
    """A tmpfs that only the processes of its namespace see; this one reaches it through /proc/PID/root of the process that keeps it."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self.directory = directory
        directory.mkdir()
        mount = f"mount -t tmpfs -o size={size_bytes},mode=0755 tmpfs {directory} && echo mounted && exec cat"
        self.keeper = subprocess.Popen(
            [need("unshare"), "-m", "--propagation", "private", "sh", "-c", mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.keeper.stdout
        if self.keeper.stdout.readline() != b"mounted\n":
            self.close()
            missing("the privilege to mount a tmpfs")
        self.prefix = [need("nsenter"), "-m", "-t", str(self.keeper.pid)]
        self.seen = Path(f"/proc/{self.keeper.pid}/root") / directory.relative_to("/")

    def fill(self) -> None:
        """Until not one byte more has room."""
        filling = os.open(self.seen / "filling", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (65536, 4096, 1):
                while True:
                    try:
                        os.write(filling, bytes(size))
                    except OSError:
                        break
        finally:
            os.close(filling)

    def free(self) -> None:
        (self.seen / "filling").unlink()

    def close(self) -> None:
        assert self.keeper.stdin
        assert self.keeper.stdout
        self.keeper.stdin.close()
        self.keeper.wait(5)
        self.keeper.stdout.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if sys.platform != "linux":
        missing("mount namespaces")
    need("root")
    disk = SmallDisk(tmp_path / "small", 4 << 20)
    yield disk
    disk.close()


class Site:
    def __init__(self, directory: Path, disk: SmallDisk, *, full: str) -> None:
        """`full`: what lies on the small disk, `state` or `map`."""
        self.udp = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.metrics = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        text = configuration(directory, udp=f"127.0.0.1:{self.udp[1]}", metrics=f"127.0.0.1:{self.metrics[1]}", grace_seconds=1800).replace(
            "[policy]", "[policy]\nmax_addresses = 100000"
        )
        self.map = directory / "popauth.db"
        if full == "state":
            text = text.replace(f"{directory}/state", f"{disk.directory}/state")
        else:
            text = text.replace(f"{directory}/popauth", f"{disk.directory}/popauth")
            self.map = disk.seen / "popauth.db"
        (directory / "syslogauth.toml").write_text(text)
        self.text = text
        self.appliance = Appliance(directory / "syslogauth.toml", self.metrics, disk.prefix)

    def log_in(self, *addresses: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for address in addresses:
                sender.sendto(LOGIN.format(f"{address.rpartition('.')[0]}.{LONG_NAME}", address).encode(), self.udp)

    def figure(self, name: str) -> float:
        _, page = self.appliance.get("/metrics")
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        return next((sample.value for sample in samples if sample.name == f"syslogauth_{name}"), 0.0)

    def keys(self) -> frozenset[str]:
        return frozenset(key.decode() for key in hash9.read(self.map.read_bytes()))

    def stop(self) -> None:
        """An ordered stop; nsenter has become the parent by exec."""
        assert self.appliance.running
        self.appliance.running.terminate()
        self.appliance.running.wait(25)


def addresses(network: int, count: int) -> list[str]:
    return [f"198.{network}.{n // 250}.{n % 250 + 1}" for n in range(count)]


def test_grants_wait_while_the_state_directory_is_full_and_none_is_lost(tmp_path: Path, disk: SmallDisk) -> None:
    site = Site(tmp_path, disk, full="state")
    first, late = addresses(18, 500), addresses(19, 800)
    site.appliance.start()
    try:
        site.appliance.wait_ready()
        site.log_in(*first)
        wait_until(lambda: site.keys() == set(first), "the first logins in the map")
        disk.fill()
        for at in range(0, len(late), 100):
            site.log_in(*late[at : at + 100])
        wait_until(lambda: site.figure("table_errors_total") >= 2, "commits to fail")
        wait_until(lambda: site.figure("datagrams_received_total") == len(first) + len(late), "every login to be received")
        assert 0 == site.figure("table_writable")
        assert 0 < site.figure("pending_grants") <= len(late)
        status, reason = site.appliance.get("/-/ready")
        assert (503, "receiver: the table cannot be written: is the disk full?\n") == (status, reason)
        assert 1 == site.appliance.said().count("table not writable; grants wait")
        assert set(first) <= {entry["address"] for entry in site.appliance.listed()}
        assert site.appliance.allows(first[0])
        disk.free()
        everybody = set(first) | set(late)
        wait_until(lambda: site.keys() == everybody, "all of them in the map")
        assert everybody == {entry["address"] for entry in site.appliance.listed()}
        assert "table writable again" in site.appliance.said()
        wait_until(site.appliance.ready, "the daemon to be ready again")
        assert (1, 0, 0) == (site.figure("table_writable"), site.figure("pending_grants"), site.figure("process_restarts_total"))
    finally:
        site.stop()


def test_grants_end_while_the_state_directory_is_full(tmp_path: Path, disk: SmallDisk) -> None:
    site = Site(tmp_path, disk, full="state")
    (tmp_path / "syslogauth.toml").write_text(site.text.replace("grace_seconds = 1800", "grace_seconds = 4"))
    many = addresses(18, 800)
    site.appliance.start()
    try:
        site.appliance.wait_ready()
        site.log_in(*many)
        wait_until(lambda: site.keys() == set(many), "the logins in the map")
        disk.fill()
        wait_until(lambda: site.keys() == frozenset(), "the map to be empty")
        assert not site.appliance.allows(many[0])
        disk.free()
        wait_until(lambda: site.figure("table_entries") == 0, "the table to be tidied")
        assert 0 == site.figure("process_restarts_total")
    finally:
        site.stop()


def test_a_start_on_a_full_disk_serves_what_is_stored(tmp_path: Path, disk: SmallDisk) -> None:
    site = Site(tmp_path, disk, full="state")
    site.appliance.start()
    try:
        site.appliance.wait_ready()
        site.log_in("198.18.0.1")
        wait_until(lambda: site.keys() == {"198.18.0.1"}, "the login in the map")
        site.stop()
        disk.fill()
        site.appliance.start()
        wait_until(lambda: site.keys() == {"198.18.0.1"}, "the map to be whole after the restart")
        assert "Traceback" not in site.appliance.said()
    finally:
        site.stop()


def test_a_full_disk_keeps_the_old_map_and_room_makes_it_whole(tmp_path: Path, disk: SmallDisk) -> None:
    site = Site(tmp_path, disk, full="map")
    first, late = addresses(18, 50), addresses(19, 5000)
    site.appliance.start()
    try:
        site.appliance.wait_ready()
        site.log_in(*first)
        wait_until(lambda: site.keys() == set(first), "the first logins in the map")
        disk.fill()
        for at in range(0, len(late), 100):
            site.log_in(*late[at : at + 100])
        wait_until(lambda: 503 == site.appliance.get("/-/ready")[0], "the failure to be told")
        assert "No space left on device" in site.appliance.get("/-/ready")[1]
        assert set(first) <= site.keys()
        assert "export failed; the map stays as it was" in site.appliance.said()
        disk.free()
        wait_until(lambda: site.keys() == set(first) | set(late), "all of them in the map", 20)
        wait_until(site.appliance.ready, "the daemon to be ready again")
        assert "export works again" in site.appliance.said()
    finally:
        site.stop()
