"""Invariant: whichever process is killed with kill -9, at whatever moment, every grant that was in the table before is in it afterwards,
with no earlier expiry, and the map holds all of them within 2 s of the restart.

The load is real UDP: each burst brings one address that was never seen and renews others, so that every moment has a commit near it,
and every second a publication. SYSLOGAUTH_KILLS says how many kills (20; half of them of one receiver, half of one of three),
SYSLOGAUTH_SEED when (a failure names its own).
"""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from syslogauth.exports import hash9
from tests import live_map
from tests.appliance import Appliance, configuration, free_port
from tests.deadline import wait_until
from tests.processes import alive, children, command_line

KILLS = int(os.environ.get("SYSLOGAUTH_KILLS", "20"))
SEED = int(os.environ.get("SYSLOGAUTH_SEED") or time.time())
VICTIMS = ("parent", "receiver", "exporter")

BURST = 20
BURSTS_PER_SECOND = 100
FIRST = IPv4Address("198.18.0.0")  # RFC 2544's network, of 131072 addresses
LOGIN = (
    "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<user{number}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80, "
    "session=<Yw62FttgdcTAAAIZ>"
)

WHOLE_SECONDS = 2.0  # from the restart to the whole map


@contextmanager
def logins(server: tuple[str, int]) -> Iterator[None]:
    """The load, at an even pace until the block is left, from as many sockets as a burst has datagrams.

    What arrives while nobody holds the port is lost, and was never committed.
    """
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    enough = threading.Event()

    def send() -> None:
        known = 0
        with ExitStack() as stack:
            senders = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(BURST)]
            while not enough.wait(1 / BURSTS_PER_SECOND):
                for place, number in enumerate([known, *(chance.randint(0, known) for _ in range(BURST - 1))]):
                    senders[(known + place) % BURST].sendto(LOGIN.format(number=number, address=FIRST + number).encode(), server)
                known += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def committed(appliance: Appliance) -> dict[str, float]:
    """What is in the table: address -> expiry in seconds."""
    return {entry["address"]: entry["expires_at"] for entry in appliance.listed()}


def holds(path: Path, addresses: frozenset[str]) -> bytes:
    """The image of the map once it holds these addresses; nothing while it lacks one, or is as torn as a killed writer has left it."""
    image = live_map.image(path)
    try:
        return image if addresses <= {key.decode() for key in hash9.read(image)} else b""
    except ValueError:
        return b""


def processes(appliance: Appliance) -> dict[str, list[int]]:
    """The running processes by name, those of one name oldest first."""
    parent = appliance.parent()
    running = children(parent)
    return {"parent": [parent], **{name: [child for child in running if name in command_line(child)] for name in VICTIMS[1:]}}


def count_of(running: Mapping[str, list[int]]) -> list[int]:
    return [len(running[name]) for name in VICTIMS]


def restart(appliance: Appliance, victim: str, before: Mapping[str, list[int]]) -> float:
    """Wait until the victim, the oldest of its name, runs again, a parent that was started anew here; when, by the monotonic clock."""
    if victim != "parent":
        gone = before[victim][0]
        wait_until(lambda: not alive(gone) and count_of(processes(appliance)) == count_of(before), f"another {victim}", 15)
        return time.monotonic()
    assert appliance.running
    appliance.running.wait(5)
    orphans = [*before["receiver"], *before["exporter"]]
    wait_until(lambda: not any(map(alive, orphans)), f"the parent's orphans to end by themselves: {before}", 5)
    appliance.start()
    return time.monotonic()


@pytest.mark.parametrize(("receivers", "victims"), [(1, VICTIMS), (3, ("receiver",))])
def test_no_committed_grant_is_lost_and_the_map_is_whole_after_each_kill(tmp_path: Path, receivers: int, victims: tuple[str, ...]) -> None:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    server = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
    metrics = ("127.0.0.1", free_port(socket.SOCK_STREAM))
    config = tmp_path / "syslogauth.toml"
    text = configuration(tmp_path, udp=f"127.0.0.1:{server[1]}", metrics=f"127.0.0.1:{metrics[1]}")
    config.write_text(text.replace("[listen]", f"[listen]\nworkers = {receivers}"))
    popauth = tmp_path / "popauth.db"
    appliance = Appliance(config, metrics)
    appliance.start()
    try:
        appliance.wait_ready()
        with logins(server):
            before = wait_until(lambda: committed(appliance), "the first login in the table")
            for number in range(KILLS // 2):
                victim = victims[number % len(victims)]
                wait_until(lambda: count_of(processes(appliance)) == [1, receivers, 1], "all the processes to run")
                running = processes(appliance)
                threading.Event().wait(chance.uniform(0, 1.5))  # the random moment: kills hit commits and publications alike
                os.kill(running[victim][0], signal.SIGKILL)

                restarted = restart(appliance, victim, running)
                kept = frozenset(before)
                late = f"the whole map after kill {number}, of the {victim} (SYSLOGAUTH_SEED={SEED})"
                image = wait_until(lambda: holds(popauth, kept), late, restarted + WHOLE_SECONDS - time.monotonic())  # noqa: B023
                assert all(hash9.get(image, address.encode()) == b"OK" for address in kept)
                after = wait_until(lambda: newer(committed(appliance), before), "logins to be granted again")  # noqa: B023
                lost = {address: expiry for address, expiry in before.items() if after.get(address, 0) < expiry}
                assert not lost, f"lost by kill {number}, of the {victim} (SYSLOGAUTH_SEED={SEED})"
                before = after
        # asked anew each time: the last datagrams may be committed only now
        wait_until(lambda: live_map.keys(popauth) == frozenset(committed(appliance)), "the map to hold exactly what the table holds")
    finally:
        appliance.stop()


def newer(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """The table, once it holds a later grant than any before; else nothing."""
    return now if max(now.values(), default=0) > max(before.values()) else {}
