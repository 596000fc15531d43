"""The receiving process's loop, in this process, on real sockets and a real table."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from syslogauth import receiver as receiver_module
from syslogauth.control import Control
from syslogauth.core.address import Networks
from syslogauth.core.intake import Intake, Sources
from syslogauth.core.policy import Policy
from syslogauth.listeners.udp import Listener, bind
from syslogauth.receiver import Receiver
from syslogauth.record import Bounds
from syslogauth.table import Table

LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip={}, lip=192.0.2.1, mpid=80"
BOUNDS = Bounds(1800, 86400)


@dataclass
class Running:
    receiver: Receiver
    parent: Control
    directory: Path
    server: tuple[str, int]
    ended: "asyncio.Task[None]"

    def send(self, *addresses: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for address in addresses:
                sender.sendto(LOGIN.format(address).encode(), self.server)

    async def until(self, look: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not look():  # noqa: ASYNC110 - what is looked at tells nobody that it has changed
                await asyncio.sleep(0.01)

    def stored(self) -> dict[str, int]:
        """Address -> count of logins."""
        table = Table(self.directory / "table", 1000, BOUNDS)
        found = {socket.inet_ntoa(entry.address): entry.count for entry in table.entries()}
        table.close()
        return found

    def last_beat(self) -> dict[str, float]:
        """The samples of the last heartbeat, by name and labels."""
        messages = self.parent.receive()
        assert messages
        samples = messages[-1]["samples"]
        return {" ".join((name, *labels)): value for name, rows in samples.items() for labels, value in rows}


@asynccontextmanager
async def running(directory: Path, batching: bool = True) -> AsyncIterator[Running]:
    ours, theirs = socket.socketpair()
    sources = Sources(Networks(("127.0.0.0/8",)), frozenset(("mail",)))
    table = Table(directory / "table", 1000, BOUNDS)
    process = Receiver(Intake(sources, Policy(1800, frozenset(("imap",)))), table, Control(theirs), structlog.get_logger())
    sock = bind("127.0.0.1", 0, 1 << 20)
    server = sock.getsockname()
    listener = Listener(sock, process.held, batching)
    with ours, theirs:
        ended = asyncio.create_task(process.run([listener]))
        try:
            yield Running(process, Control(ours), directory, server, ended)
        finally:
            process.stop()
            await asyncio.wait([ended], timeout=5)


def play(directory: Path, scene: Callable[[Running], Awaitable[None]], batching: bool = True) -> None:
    async def run() -> None:
        async with running(directory, batching) as one:
            await scene(one)
            one.parent.send({"stop": "keep"})
            await asyncio.wait_for(one.ended, 5)

    asyncio.run(run())


@pytest.mark.parametrize("batching", [True, False])
def test_logins_are_committed_counted_and_told(tmp_path: Path, batching: bool) -> None:
    async def scene(one: Running) -> None:
        await one.until(lambda: one.receiver.listeners)
        one.send("198.51.100.1", "198.51.100.2", "198.51.100.1")
        await one.until(lambda: one.receiver.intake.tally.received == 3 and not one.receiver.pending)

    async def run() -> None:
        async with running(tmp_path, batching) as one:
            await scene(one)
            one.parent.send({"stop": "keep"})
            await asyncio.wait_for(one.ended, 5)
            beat = one.last_beat()
            assert {"198.51.100.1": 2, "198.51.100.2": 1} == one.stored()
            assert (3, 3, 0) == (beat["datagrams_received udp"], beat["outcomes grant"], beat["pending_grants"])
            assert (2, int(batching), 1) == (beat["grants new"], beat["receive_batching"], beat["table_writable"])

    asyncio.run(run())


def test_an_ordered_stop_takes_in_what_the_kernel_holds(tmp_path: Path) -> None:
    async def scene(one: Running) -> None:
        await one.until(lambda: one.receiver.listeners)
        one.send(*(f"198.51.100.{n}" for n in range(1, 201)))  # and the stop follows without a look in between

    play(tmp_path, scene)
    table = Table(tmp_path / "table", 1000, BOUNDS)
    assert 200 == table.sizes()["entries"]
    table.close()


def test_the_death_of_the_parent_is_an_ordered_stop(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as one:
            await one.until(lambda: one.receiver.listeners)
            one.send("198.51.100.1")
            one.parent.sock.close()
            await asyncio.wait_for(one.ended, 5)
            assert {"198.51.100.1": 1} == one.stored()

    asyncio.run(run())


def test_a_stop_that_came_with_the_first_line_is_obeyed(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as one:
            one.parent.send({"config": "", "file": ""})
            one.parent.send({"stop": "keep"})
            assert one.receiver.control.first(5) is not None
            await asyncio.wait_for(one.ended, 5)

    asyncio.run(run())


def test_grants_wait_where_the_table_cannot_be_written_and_are_merged_and_committed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "RETRY_SECONDS", 0.05)

    async def scene(one: Running) -> None:
        one.receiver.table.close()  # every commit is a TableError now
        one.send("198.51.100.1", "198.51.100.2")
        await one.until(lambda: one.receiver.table_errors)
        assert (False, 2) == (one.receiver.table_writable, len(one.receiver.pending))
        one.send("198.51.100.1", "198.51.100.3")
        await one.until(lambda: one.receiver.table_errors > 3 and len(one.receiver.pending) == 3)
        assert "the table cannot be written: is the disk full?" == one.receiver._reason()
        one.receiver.table = Table(tmp_path / "table", 1000, BOUNDS)
        await one.until(lambda: one.receiver.table_writable)
        assert {} == one.receiver.pending
        assert (3, 0) == (one.receiver.committed.new, one.receiver.committed.refreshed)
        assert {"198.51.100.1": 2, "198.51.100.2": 1, "198.51.100.3": 1} == {
            socket.inet_ntoa(entry.address): entry.count for entry in one.receiver.table.entries()
        }

    play(tmp_path, scene)


def test_the_sockets_are_not_read_while_the_pending_set_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "PENDING_CAPACITY", 2)
    monkeypatch.setattr(receiver_module, "RETRY_SECONDS", 0.05)

    async def scene(one: Running) -> None:
        one.receiver.table.close()
        one.send("198.51.100.1", "198.51.100.2")
        await one.until(lambda: one.receiver.held() and one.receiver.table_errors)
        one.send("198.51.100.3")
        errors = one.receiver.table_errors
        await one.until(lambda: one.receiver.table_errors > errors + 2)
        assert 2 == one.receiver.intake.tally.received
        one.receiver.table = Table(tmp_path / "table", 1000, BOUNDS)
        await one.until(lambda: one.receiver.committed.new == 3)  # what the kernel kept

    play(tmp_path, scene)
