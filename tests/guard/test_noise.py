"""What noise may cost: nothing is made of it, no step of Python is taken for it, and a system call reads many of it.

Invariant: what a batch of noise costs in byte code and in memory does not depend on how many datagrams it has, nor on how long they are.
"""

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks.corpus import corpus
from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.listeners.recvmmsg import SLOTS, reader_of
from syslogauth.listeners.udp import bind
from tests.deadline import wait_until
from tests.needs import missing, need
from tests.processes import PROC
from tests.running import Site

NOW = 1_700_000_000.0
PEER = ("127.0.0.1", 514)
NOISE = [entry.datagram() for entry in corpus(0.0, SLOTS)]
LONG = [b"<22>Nov 22 10:28:45 mail1 postfix/qmgr[7]: " + b"x" * 8000 for _ in range(SLOTS)]
WAITING = 10 * SLOTS
READ = re.compile(r"^.*recvmmsg.* = (-?(?:0x)?[0-9a-f]+)(?: .*)?$", re.MULTILINE)


def intake() -> Intake:
    return Intake(Sources(Networks(("127.0.0.0/8",)), frozenset(("mail",))), Policy(1800.0, frozenset(("imap", "pop3"))))


def batch(datagrams: Sequence[bytes]) -> Batch:
    return Batch.of((datagram, PEER) for datagram in datagrams)


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def byte_codes(act: Callable[[], object]) -> int:
    """How many instructions of byte code it executes."""
    executed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal executed
        frame.f_trace_opcodes = True
        executed += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return executed


def peak_bytes(act: Callable[[], object]) -> int:
    """How much more memory there was at the worst than before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_no_step_of_python_is_taken_for_noise() -> None:
    fed, few, many = intake(), batch(NOISE[:2]), batch(NOISE)
    fed.feed(many, NOW)
    steps = [byte_codes(lambda which=which: fed.feed(which, NOW)) for which in (few, many)]  # type: ignore[misc]
    assert steps[0] > 0
    assert steps[0] == steps[1]


def test_a_login_takes_steps() -> None:
    login = b"<22>Nov 22 10:28:45 mail1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80"
    noise, with_login = (byte_codes(lambda which=which: intake().feed(which, NOW)) for which in (batch(NOISE), batch([*NOISE[1:], login])))  # type: ignore[misc]
    assert noise < with_login


def test_no_noise_is_copied_and_nothing_is_made_of_it() -> None:
    """At the worst moment there is no more memory for a whole batch than for two datagrams, and less than one datagram takes."""
    fed, few, many = intake(), batch(LONG[:2]), batch(LONG)
    fed.feed(many, NOW)
    with without_collector():
        peaks = [peak_bytes(lambda which=which: fed.feed(which, NOW)) for which in (few, many)]  # type: ignore[misc]
    assert peaks[1] - peaks[0] < SLOTS, "a byte a datagram"
    assert peaks[1] < len(LONG[0])


def test_noise_leaves_nothing_behind() -> None:
    """Of 128,000 datagrams there are fewer blocks of memory than a hundred: what the counters and the caches have grown by."""
    fed, noise = intake(), batch(NOISE)
    fed.feed(noise, NOW)
    with without_collector():
        before = sys.getallocatedblocks()
        for _ in range(1000):
            fed.feed(noise, NOW)
        assert sys.getallocatedblocks() - before < 100


@pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg of Linux is missing")
def test_a_read_takes_all_that_waits_up_to_its_slots() -> None:
    with bind("127.0.0.1", 0, 4 << 20) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        reader, found = reader_of(sock, many=True), []
        for _ in range(WAITING // (2 * SLOTS)):
            for datagram in NOISE * 2:
                sender.sendto(datagram, sock.getsockname())
            while (read := reader.read()) is not None:
                found.append(len(read))
    assert [SLOTS] * 10 == found


def test_a_running_receiver_reads_1280_waiting_datagrams_with_ten_system_calls(tmp_path: Path) -> None:
    strace = need("strace")
    need("root")  # for a receive buffer that holds them
    site, calls = Site(tmp_path / "site"), tmp_path / "calls"
    site.start()
    try:
        receiver = site.child("receiver")
        tracer = subprocess.Popen(
            [strace, "-f", "-e", "trace=recvmmsg", "-e", "raw=recvmmsg", "-o", calls, "-p", str(receiver)], stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: state(receiver, "TracerPid") != "0" or tracer.poll() is not None, "strace to trace the receiver")
            if tracer.poll() is not None:
                missing("strace that may trace other processes")
            os.kill(receiver, signal.SIGSTOP)
            wait_until(lambda: state(receiver, "State").startswith(("t", "T")), "the receiver to stand still")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for datagram in NOISE * (WAITING // SLOTS):
                    sender.sendto(datagram, site.udp)
            os.kill(receiver, signal.SIGCONT)
            wait_until(lambda: sum(max(0, count) for count in reads(calls)) == WAITING, f"{WAITING} datagrams to be read")
        finally:
            tracer.terminate()
            tracer.wait(10)
    finally:
        site.appliance.stop()
    assert [SLOTS] * 10 == [count for count in reads(calls) if count > 0]


def state(pid: int, field: str) -> str:
    rows = dict(row.split(":", 1) for row in (PROC / str(pid) / "status").read_text().splitlines())
    return rows[field].strip()


def reads(calls: Path) -> list[int]:
    """What each recvmmsg() that strace saw has returned."""
    return [int(count, 0) for count in READ.findall(calls.read_text())] if calls.exists() else []
