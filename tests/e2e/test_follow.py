"""Invariant: whatever real rsyslogd and logrotate do to a log under load, and whenever who follows it is killed, every login in it counts
once: none is lost, none twice.

rsyslogd reads a socket of its own and writes a file of its own. Each login is of another address, so that the table tells them apart.
logrotate's copytruncate loses by itself what is written between its copying and its truncating: the load pauses for it, and the daemon
stands still instead, so that what has been copied away was not read.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.deadline import wait_until
from tests.needs import need
from tests.processes import alive, children
from tests.running import A, Site

FIRST = IPv4Address("198.18.0.0")
LOGIN = (
    "<22>Nov 22 10:09:49 dovecot: imap-login: Login: user=<user{number}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid={number}, "
    "session=<Yw62FttgdcTA{number}>"
)
NOISE = "<22>Nov 22 10:09:49 postfix/qmgr[7]: 4Q{number}: from=<user{number}@example.org>, size={number}, nrcpt=1 (queue active)"
BURST, BURSTS_PER_SECOND = 40, 100  # one login in ten messages


class MailHost:
    """rsyslogd with a log, what rotates it, and a daemon that follows it."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o700)  # logrotate asks for it
        self.directory = directory
        self.log = directory / "maillog"
        self.log.touch(0o600)
        self.sent = 0
        self.site = Site(directory / "site")
        self.site.configure(self.site.text.replace("[listen]\n", f'[listen]\nfile = ["{self.log}"]\n'))
        self.syslogd = self._start_syslogd()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        wait_until(lambda: self.socket.connect_ex(str(directory / "dev-log")) == 0, "rsyslogd to read its socket")

    def _start_syslogd(self) -> subprocess.Popen[bytes]:
        configuration = self.directory / "rsyslog.conf"
        configuration.write_text(f"""
global(workDirectory="{self.directory}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{self.directory}/dev-log" CreatePath="off" RateLimit.Interval="0")
mail.info action(type="omfile" file="{self.log}" template="RSYSLOG_TraditionalFileFormat")
""")
        return subprocess.Popen([need("rsyslogd"), "-n", "-f", configuration, "-i", self.directory / "pid"])

    @contextmanager
    def load(self) -> Iterator[None]:
        """Thousands of messages a second until the block is left. A Unix socket makes the sender wait: nothing is lost on the way."""
        enough = threading.Event()

        def send() -> None:
            while not enough.wait(1 / BURSTS_PER_SECOND):
                self.send(BURST // 10)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()

    def goes_on(self) -> None:
        """Wait until what the load has sent so far has been read. logrotate overwrites old generations where compression comes and goes."""
        wait_until(lambda: self.sent, "the load to begin")
        last = str(FIRST + self.sent - 1)
        wait_until(lambda: self.site.appliance.allows(last), "what was sent to be read")

    def send(self, logins: int) -> None:
        for number in range(self.sent, self.sent + logins):
            self.socket.send(LOGIN.format(number=number, address=FIRST + number).encode())
            for _ in range(9):
                self.socket.send(NOISE.format(number=number).encode())
        self.sent += logins

    def rotate(self, how: str) -> None:
        configuration = self.directory / "logrotate.conf"
        configuration.write_text(f"{self.log} {{\nrotate 99\n{how}\n}}\n")
        configuration.chmod(0o600)
        subprocess.run([need("logrotate"), "-f", "-s", self.directory / "logrotate.state", configuration], check=True, timeout=30)

    def written(self) -> None:
        """Wait until rsyslogd has written all that was sent."""
        last = b" %s: from=" % f"4Q{self.sent - 1}".encode()
        wait_until(lambda: self.log.read_bytes().count(last) == 9, "rsyslogd to write the last message")

    def logins(self) -> dict[str, int]:
        """Address -> how many logins of it were counted."""
        return {entry["address"]: entry["count"] for entry in self.site.appliance.listed()}

    def counts_each_once(self) -> None:
        expected = {str(FIRST + number): 1 for number in range(self.sent)}
        wait_until(lambda: len(self.logins()) >= self.sent, "every login to be in the table", 20)
        assert expected == self.logins()

    def close(self) -> None:
        self.socket.close()
        self.syslogd.kill()
        self.syslogd.wait(10)
        self.site.appliance.stop()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[MailHost]:
    need("logrotate")
    host = MailHost(tmp_path)
    yield host
    host.close()


def kill(site: Site) -> None:
    """kill -9 of the process that reads files; the parent starts it again."""
    victim = site.child("streams")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: site.child("streams") not in (0, victim), "another streams process")


def restart(site: Site) -> None:
    """kill -9 of the parent; its children end by themselves, and somebody starts it anew."""
    orphans = children(site.appliance.parent())
    site.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, orphans)), "the parent's orphans to end by themselves")
    site.start()


def test_renamed_logs_are_read_to_the_end_under_load_through_kills(host: MailHost) -> None:
    hup = f"postrotate\nkill -HUP {host.syslogd.pid}\nendscript"
    rotations: tuple[tuple[str, Callable[[Site], object]], ...] = (
        ("create\nnocompress", Site.keys),
        ("create\ncompress", kill),
        ("nocreate\ncompress\ndelaycompress", Site.keys),
        ("create\ncompress", restart),
        ("create\nnocompress", kill),
    )
    host.site.start()
    with host.load():
        for how, then in rotations:
            host.goes_on()
            host.rotate(f"{how}\n{hup}")
            then(host.site)
    host.counts_each_once()
    assert host.site.figures()[f"file_readable {host.log}"] == 1


def test_truncated_logs_are_read_to_the_end_in_their_copies(host: MailHost) -> None:
    host.site.start()
    for how, killed in (("copytruncate\nnocompress", False), ("copytruncate\nnocompress", True), ("copytruncate\ncompress", True)):
        with host.load():
            host.goes_on()
        reader = wait_until(lambda: host.site.child("streams"), "the streams process, after its death too")
        os.kill(reader, signal.SIGSTOP)
        host.send(100)
        host.written()
        host.rotate(how)
        host.send(50)
        if killed:
            os.kill(reader, signal.SIGKILL)
        os.kill(reader, signal.SIGCONT)
    host.counts_each_once()


def test_a_single_host_that_cannot_forward_lets_who_has_logged_in_relay(tmp_path: Path) -> None:
    log = tmp_path / "maillog"
    shutil.copy(__file__, log)  # what no server has written
    site = Site(tmp_path / "site")
    site.configure(
        site.text.replace("[listen]\n", f'[listen]\nfile = ["{log}"]\n').replace(f'udp = ["127.0.0.1:{site.udp[1]}"]', "udp = []")
    )
    site.start()
    try:
        stamp = time.strftime("%b %e %H:%M:%S")
        with log.open("a") as maillog:
            maillog.write(f"{stamp} mail1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip={A}, lip=192.0.2.1, mpid=80\n")
        wait_until(lambda: site.appliance.allows(A), "the address to be let through")
        site.holds(A)
        lines = len(log.read_text().splitlines())
        wait_until(lambda: site.figures()["datagrams_received_total file"] == lines, "every line to be counted")
        figures = site.figures()
        assert lines == sum(count for name, count in figures.items() if name.startswith("outcomes_total"))
        assert 1 == figures["outcomes_total grant"]
        assert 0 == figures[f"file_unread_bytes {log}"]
        assert f"peer_last_login_timestamp_seconds {log}" in figures
    finally:
        site.appliance.stop()
