"""Several receiving processes on one port: one table, one sum of figures, and what becomes of the datagrams when one of them dies.

Invariant: every datagram that was sent is received by exactly one of them, or counted as dropped.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.appliance import clean_environment
from tests.deadline import wait_until
from tests.processes import PROC
from tests.running import LOGIN, A, Site, log_in

FIRST = IPv4Address("198.18.0.0")  # RFC 2544's network, of 131072 addresses
PORTS = 64  # syslogds, each on a port of its own: that all of them reach one worker of two has the odds of 1 to 2**63
BATCHES_PER_SECOND = 50
NOISE = "<22>Nov 22 10:09:49 mail1 postfix/smtpd[77]: connect from client.example.net[192.0.2.66]"


def with_workers(site: Site, count: int) -> str:
    return site.text.replace("[listen]", f"[listen]\nworkers = {count}")


@contextmanager
def syslogds(server: tuple[str, int], host: str = "127.0.0.1", count: int = PORTS) -> Iterator[list[socket.socket]]:
    """So many sockets of one host, connected to the server."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for sock in sockets:
            sock.bind((host, 0))
            sock.connect(server)
        yield sockets


def login(number: int) -> bytes:
    """Of a user and an address of its own."""
    return LOGIN.format(service="imap", user=f"user{number}", address=FIRST + number).encode()


@dataclass
class Load:
    """A login of a new address from each syslogd in turn, at an even pace, until it is stopped."""

    server: tuple[str, int]
    sent_at: list[float] = field(default_factory=list)  # by the number of the login, monotonic
    _enough: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with syslogds(self.server) as sockets:
            while not self._enough.wait(1 / BATCHES_PER_SECOND):
                for sock in sockets:
                    sock.send(login(len(self.sent_at)))
                    self.sent_at.append(time.monotonic())

    def __enter__(self) -> "Load":
        self._thread = threading.Thread(target=self.run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def past(self, more: int) -> None:
        """Return when so many more have been sent."""
        goal = len(self.sent_at) + more
        wait_until(lambda: len(self.sent_at) >= goal, "the load to go on")


def granted(site: Site) -> set[int]:
    """The numbers of the logins that are in the table."""
    return {int(IPv4Address(entry["address"])) - int(FIRST) for entry in site.appliance.listed()}


def accounted(site: Site) -> tuple[float, float]:
    """What was received or dropped, and the sum of the outcomes and of what was dropped."""
    figures = site.figures()
    dropped = figures["datagrams_dropped_total kernel"]
    outcomes = sum(value for name, value in figures.items() if name.startswith("outcomes_total"))
    return figures.get("datagrams_received_total udp", 0) + dropped, outcomes + dropped


def sockets_on(port: int) -> int:
    lines = (PROC / "net" / "udp").read_text().splitlines()
    return sum(line.split()[1].endswith(f":{port:04X}") for line in lines)


def beat(site: Site) -> None:
    """Return when every process has told its figures anew; each heartbeat costs CPU time, which is one of them."""

    def seconds() -> list[float]:
        return [value for name, value in site.figures().items() if name.startswith("process_cpu_seconds")]

    before = seconds()
    wait_until(lambda: all(new > old for old, new in zip(before, seconds(), strict=True)), "a heartbeat of every process")


def up(site: Site) -> dict[str, float]:
    return {name.removeprefix("process_up "): value for name, value in site.figures().items() if name.startswith("process_up")}


@pytest.mark.parametrize("count", [2, 3])
def test_every_datagram_is_received_by_one_of_them_and_has_one_outcome(site: Site, count: int) -> None:
    site.configure(with_workers(site, count))
    site.start()
    names = [f"receiver{number}" for number in range(1, count + 1)]
    assert dict.fromkeys([*names, "exporter"], 1.0) == up(site)
    assert count == len(site.appliance.workers()) == sockets_on(site.udp[1])
    lines = [login(number) for number in range(PORTS)] + [NOISE.encode()] * 5 * PORTS
    with syslogds(site.udp) as sockets:
        for number, line in enumerate(lines):
            sockets[number % PORTS].send(line)
    sent = len(lines)
    wait_until(lambda: accounted(site) == (sent, sent), f"{sent} datagrams to be accounted for, not {accounted(site)}")
    wait_until(lambda: site.figures()["grants_total new"] == PORTS, "the grants to be counted")
    figures = site.figures()
    assert (PORTS, 5 * PORTS) == (figures["outcomes_total grant"], figures["outcomes_total not_login"])
    assert (1, 1) == (figures["table_writable"], figures["receive_batching"])
    assert [True] * count == [figures[f"process_cpu_seconds_total {name}"] > 0 for name in names]
    assert 1 == sum(name.startswith("receive_buffer_bytes") for name in figures)
    assert set(range(PORTS)) == granted(site)
    site.holds(*(str(FIRST + number) for number in range(PORTS)))


def test_one_that_stands_still_holds_up_its_own_syslogds_alone_and_is_unhealthy(site: Site) -> None:
    site.configure(with_workers(site, 2))
    site.start()
    still = site.appliance.workers()[1]
    os.kill(still, signal.SIGSTOP)
    with syslogds(site.udp) as sockets:
        for number, sock in enumerate(sockets):
            sock.send(login(number))
    wait_until(lambda: granted(site), "the other's logins")
    wait_until(lambda: 503 == site.appliance.get("/-/healthy")[0], "the missing heartbeat to be noticed", 15)
    assert site.appliance.get("/-/healthy")[1].startswith("receiver2: no heartbeat for 1")
    assert 0 < len(granted(site)) < PORTS
    os.kill(still, signal.SIGCONT)
    wait_until(lambda: set(range(PORTS)) == granted(site), "what waited in the kernel")
    wait_until(lambda: 200 == site.appliance.get("/-/healthy")[0], "the daemon to be healthy again")
    assert [0.0, 0.0] == [site.figures()[f"process_restarts_total receiver{number}"] for number in (1, 2)]


def test_the_death_of_one_under_load_costs_what_it_had_in_hand_and_the_others_go_on(site: Site) -> None:
    site.configure(with_workers(site, 3))
    site.start()
    before = site.appliance.workers()
    with Load(site.udp) as load:
        load.past(2000)
        killed_at = time.monotonic()
        os.kill(before[1], signal.SIGKILL)
        wait_until(lambda: site.figures()["process_restarts_total receiver2"] == 1, "the restart to be counted")
        site.appliance.wait_ready()
        load.past(500)
    sent = len(load.sent_at)
    wait_until(lambda: max(granted(site)) == sent - 1, "the last login")
    beat(site)
    missing = set(range(sent)) - granted(site)
    # in hand: read, and pending or in a commit at the moment of its death; at a gap of 10 ms that is one batch of the load, or two
    assert [] == sorted(number for number in missing if not killed_at - 1 < load.sent_at[number] < killed_at + 0.1)
    assert len(missing) <= 2 * PORTS
    received, outcomes = accounted(site)
    assert received == outcomes
    uncounted = sent - received  # what it had received since its last heartbeat, a second before at most
    assert len(missing) <= uncounted <= 1.5 * BATCHES_PER_SECOND * PORTS
    after = site.appliance.workers()
    assert (before[0], before[2]) == tuple(sorted(set(before) & set(after)))
    assert 3 == len(after)
    assert "table not writable" not in site.appliance.said()


def test_a_reload_with_more_or_fewer_of_them_loses_nothing(site: Site) -> None:
    site.start()
    with Load(site.udp) as load:
        load.past(500)
        for count, names in ((2, {"receiver1", "receiver2"}), (1, {"receiver"}), (3, {"receiver1", "receiver2", "receiver3"})):
            site.appliance.adopt(with_workers(site, count))
            assert names | {"exporter"} == up(site).keys()
            assert count == len(site.appliance.workers())
            load.past(500)
    sent = len(load.sent_at)
    wait_until(lambda: accounted(site) == (sent, sent), "every datagram to be accounted for")
    assert set(range(sent)) == granted(site)
    figures = site.figures()
    assert 0 == figures["datagrams_dropped_total kernel"] == sum(v for name, v in figures.items() if name.startswith("process_restarts"))
    assert 0 == site.signal(signal.SIGTERM)
    assert frozenset() == site.keys()
    assert 0 == sockets_on(site.udp[1])


def test_the_restarts_of_one_stay_counted_through_reloads(site: Site) -> None:
    site.configure(with_workers(site, 2))
    site.start()
    os.kill(site.appliance.workers()[0], signal.SIGKILL)
    wait_until(lambda: site.figures()["process_restarts_total receiver1"] == 1, "the restart to be counted")
    site.appliance.adopt(site.text)
    assert (1, 0) == tuple(site.figures()[f"process_restarts_total {name}"] for name in ("receiver1", "receiver"))
    site.appliance.adopt(with_workers(site, 2))
    assert 1 == site.figures()["process_restarts_total receiver1"]


# what one of them learns, all know (policy.never_own)

WEBMAIL = "127.0.0.9"


def refused(site: Site) -> float:
    """How many logins from own addresses there were, once it is told of all that were sent."""
    return site.figures().get("outcomes_total own_address", 0)


def webmail_logs_in(site: Site) -> bool:
    """A login from the webmail's address, told by each of 64 other syslogds; True where all were refused."""
    before, (received, _) = refused(site), accounted(site)
    with syslogds(site.udp, "127.0.0.8") as sockets:
        for sock in sockets:
            sock.send(LOGIN.format(service="imap", user="alice", address=WEBMAIL).encode())
    wait_until(lambda: accounted(site) == (received + PORTS, received + PORTS), "the logins to be counted")
    return refused(site) == before + PORTS


def test_a_peer_that_sends_to_one_of_them_is_an_own_address_to_all_also_after_their_deaths_and_a_reload(site: Site) -> None:
    text = with_workers(site, 3).replace("[policy]", "[policy]\nnever_networks = []")
    site.configure(text)
    site.start()
    assert not webmail_logs_in(site)
    received, _ = accounted(site)
    with syslogds(site.udp, WEBMAIL, count=1) as (sock,):
        sock.send(NOISE.encode())
    wait_until(lambda: accounted(site)[0] == received + 1, "the webmail's datagram to be counted")
    wait_until(lambda: webmail_logs_in(site), "all of them to know")
    for worker in site.appliance.workers():
        os.kill(worker, signal.SIGKILL)
    names = [f"process_restarts_total receiver{number}" for number in (1, 2, 3)]
    wait_until(lambda: [1, 1, 1] == [site.figures()[name] for name in names], "the restarts to be counted")
    site.appliance.wait_ready()
    assert webmail_logs_in(site)
    site.appliance.adopt(text.replace("workers = 3", "workers = 2"))
    assert webmail_logs_in(site)
    site.appliance.adopt(text.replace("[listen]", '[listen]\npeers = ["127.0.0.8/32"]'))  # nor is it a peer now
    assert not webmail_logs_in(site)


# who else has the port


@pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (2, 1), (2, 2)])
def test_a_second_syslogauth_on_the_port_is_refused_with_a_line(site: Site, tmp_path: Path, ours: int, theirs: int) -> None:
    site.configure(with_workers(site, ours))
    site.start()
    second = Site(tmp_path / "second")
    second.configure(with_workers(second, theirs).replace(f":{second.udp[1]}", f":{site.udp[1]}"))
    second.appliance.start()
    assert second.appliance.running
    assert 69 == second.appliance.running.wait(20)
    line = f"syslogauth: listen.udp: 127.0.0.1:{site.udp[1]}: Address already in use; stop what has it, or name another"
    assert line == second.appliance.said().splitlines()[-1]
    log_in(site.udp, A)
    site.holds(A)


@pytest.mark.parametrize(("handed", "expected"), [(1, 1), (2, 2)])
def test_sockets_of_a_service_manager_are_shared_out_and_too_few_are_told(site: Site, handed: int, expected: int) -> None:
    site.configure(with_workers(site, 2))
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(handed)]
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(sockets[0].getsockname() if sock is not sockets[0] else ("127.0.0.1", 0))
        site.udp = sockets[0].getsockname()
        start_with(site, sockets)
    with syslogds(site.udp) as syslogd:
        for number, sock in enumerate(syslogd):
            sock.send(login(number))
    site.appliance.wait_ready()
    assert expected == len(site.appliance.workers())
    wait_until(lambda: set(range(PORTS)) == granted(site), "every login")
    assert (expected < 2) == ("fewer sockets were handed over than listen.workers" in site.appliance.said())
    site.appliance.adopt(with_workers(site, 1))
    with syslogds(site.udp) as syslogd:
        for number, sock in enumerate(syslogd):
            sock.send(login(PORTS + number))
    wait_until(lambda: set(range(2 * PORTS)) == granted(site), "every login by the one that is left")


def start_with(site: Site, sockets: Sequence[socket.socket]) -> None:
    """Start the parent as systemd does, with these sockets from descriptor 3 on."""
    program = (
        "import fcntl, os, sys; fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split()];"
        "[os.dup2(fd, number) for number, fd in enumerate(fds, 3)];"
        "os.environ |= {'LISTEN_FDS': str(len(fds)), 'LISTEN_PID': str(os.getpid())};"
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    fds = [sock.fileno() for sock in sockets]
    with (site.directory / "appliance.out").open("ab") as said:
        site.appliance.running = subprocess.Popen(
            [sys.executable, "-c", program, " ".join(map(str, fds)), *site.appliance.command("run")[1:]],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=clean_environment(),
        )
