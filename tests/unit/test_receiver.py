"""The receiving process's loop, in this process, on real sockets and a real table."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from syslogauth import committer
from syslogauth.committer import merged
from syslogauth.control import Control
from syslogauth.core.address import Networks, pack
from syslogauth.core.intake import Intake
from syslogauth.core.login import Closed, Grant, Opened
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.listeners.udp import Listener, Way, bind
from syslogauth.receiver import Receiver
from syslogauth.record import Bounds
from syslogauth.table import Table

LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip={}, lip=192.0.2.1, mpid=80"
SESSION_LOGIN = LOGIN + ", session=<{}AAAAAAAA>"
LOGOUT = "<22>Nov 22 10:19:49 mail1 dovecot: imap(alice)<80><{}AAAAAAAA>: Disconnected: Logged out in=8 out=468"
BOUNDS = Bounds(1800, 86400)
HOLDING = Bounds(1800, 86400, 7200)
POLICY = Policy(1800, frozenset(("imap",)))


@dataclass
class Running:
    receiver: Receiver
    parent: Control
    directory: Path
    server: tuple[str, int]
    ended: "asyncio.Task[None]"

    def send(self, *addresses: str) -> None:
        self.send_lines(*(LOGIN.format(address) for address in addresses))

    def send_lines(self, *lines: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for line in lines:
                sender.sendto(line.encode(), self.server)

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
async def running(directory: Path, way: Way = Way.MANY, policy: Policy = POLICY, bounds: Bounds = BOUNDS) -> AsyncIterator[Running]:
    ours, theirs = socket.socketpair()
    sources = Sources(Networks(("127.0.0.0/8",)), frozenset(("mail",)))
    table = Table(directory / "table", 1000, bounds)
    process = Receiver(Intake(sources, policy), table, Control(theirs), structlog.get_logger())
    sock = bind("127.0.0.1", 0, 1 << 20)
    server = sock.getsockname()
    listener = Listener(sock, way)
    with ours, theirs:
        ended = asyncio.create_task(process.run([listener]))
        try:
            yield Running(process, Control(ours), directory, server, ended)
        finally:
            process.stop()
            await asyncio.wait([ended], timeout=5)


def play(directory: Path, scene: Callable[[Running], Awaitable[None]], way: Way = Way.MANY) -> None:
    async def run() -> None:
        async with running(directory, way) as one:
            await scene(one)
            one.parent.send({"stop": "keep"})
            await asyncio.wait_for(one.ended, 5)

    asyncio.run(run())


def test_where_the_loop_passes_on_each_datagram_it_does_not_sleep_between_them(tmp_path: Path) -> None:
    """With the pauses of the other ways it would take longer than the deadline of until()."""

    async def scene(one: Running) -> None:
        await one.until(lambda: one.receiver.listeners)
        one.send_lines(*["<22>Nov 22 10:09:49 mail1 sendmail[7]: x"] * 1500)
        await one.until(lambda: one.receiver.intake.tally.received == 1500)

    play(tmp_path, scene, Way.PLAIN)


@pytest.mark.parametrize("way", Way)
def test_logins_are_committed_counted_and_told(tmp_path: Path, way: Way) -> None:
    async def scene(one: Running) -> None:
        await one.until(lambda: one.receiver.listeners)
        one.send("198.51.100.1", "198.51.100.2", "198.51.100.1")
        await one.until(lambda: one.receiver.intake.tally.received == 3 and not one.receiver.committer.grants)

    async def run() -> None:
        async with running(tmp_path, way) as one:
            await scene(one)
            one.parent.send({"stop": "keep"})
            await asyncio.wait_for(one.ended, 5)
            beat = one.last_beat()
            assert {"198.51.100.1": 2, "198.51.100.2": 1} == one.stored()
            assert (3, 3, 0) == (beat["datagrams_received udp"], beat["outcomes grant"], beat["pending_grants"])
            assert (2, int(way is not Way.PLAIN), 1) == (beat["grants new"], beat["receive_batching"], beat["table_writable"])

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
    monkeypatch.setattr(committer, "RETRY_SECONDS", 0.05)

    async def scene(one: Running) -> None:
        one.receiver.committer.table.close()  # every commit is a TableError now
        one.send("198.51.100.1", "198.51.100.2")
        await one.until(lambda: one.receiver.committer.errors)
        assert (False, 2) == (one.receiver.committer.writable, len(one.receiver.committer.grants))
        one.send("198.51.100.1", "198.51.100.3")
        await one.until(lambda: one.receiver.committer.errors > 3 and len(one.receiver.committer.grants) == 3)
        assert "the table cannot be written: is the disk full?" == one.receiver.pipeline.reason()
        one.receiver.committer.table = Table(tmp_path / "table", 1000, BOUNDS)
        await one.until(lambda: one.receiver.committer.writable)
        assert {} == one.receiver.committer.grants
        assert (3, 0) == (one.receiver.committer.committed.new, one.receiver.committer.committed.refreshed)
        assert {"198.51.100.1": 2, "198.51.100.2": 1, "198.51.100.3": 1} == {
            socket.inet_ntoa(entry.address): entry.count for entry in one.receiver.committer.table.entries()
        }

    play(tmp_path, scene)


def test_the_sockets_are_not_read_while_the_pending_set_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "CAPACITY", 2)
    monkeypatch.setattr(committer, "RETRY_SECONDS", 0.05)

    async def scene(one: Running) -> None:
        one.receiver.committer.table.close()
        one.send("198.51.100.1", "198.51.100.2")
        await one.until(lambda: one.receiver.committer.full() and one.receiver.committer.errors)
        one.send("198.51.100.3")
        errors = one.receiver.committer.errors
        await one.until(lambda: one.receiver.committer.errors > errors + 2)
        assert 2 == one.receiver.intake.tally.received
        one.receiver.committer.table = Table(tmp_path / "table", 1000, BOUNDS)
        await one.until(lambda: one.receiver.committer.committed.new == 3)  # what the kernel kept

    play(tmp_path, scene)


# addresses of peers, which no worker may grant


def test_the_addresses_of_peers_are_told_once_and_those_of_others_are_learned(tmp_path: Path) -> None:
    heard: list[str] = []

    def hear(one: Running) -> int:
        heard.extend(text for message in one.parent.receive() or () for text in message.get("own_addresses", ()))
        return len(heard)

    async def scene(one: Running) -> None:
        await one.until(lambda: one.receiver.listeners)
        one.parent.send({"own_addresses": ["c6336401", "20010db8000000000000000000000025"]})  # 198.51.100.1, 2001:db8::25
        await one.until(lambda: (pack("198.51.100.1") or b"") in one.receiver.intake.own_addresses)
        one.send("198.51.100.1", "198.51.100.2")
        await one.until(lambda: hear(one))
        assert (1, 1) == tuple(one.receiver.intake.tally.outcomes[name] for name in ("own_address", "grant"))
        one.send("198.51.100.3")
        await one.until(lambda: one.receiver.intake.tally.received == 3)
        one.parent.send({"stop": "keep"})
        await asyncio.wait_for(one.ended, 5)
        hear(one)
        assert ["7f000001"] == heard

    play(tmp_path, scene)
    table = Table(tmp_path / "table", 1000, BOUNDS)
    assert [pack("198.51.100.2"), pack("198.51.100.3")] == sorted(table.addresses())
    table.close()


# sessions that hold a grant


def held(directory: Path) -> list[bool]:
    """Of 198.51.100.1, .2 and .3: whether they are honoured an hour after now, when the grace of their logins is over."""
    table = Table(directory / "table", 1000, HOLDING)
    later = time.time() + 3600
    found = [table.live(bytes((198, 51, 100, n)), later) is not None for n in (1, 2, 3)]
    table.close()
    return found


def play_holding(directory: Path, scene: Callable[[Running], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running(directory, policy=Policy(1800, frozenset(("imap",)), hold_max_seconds=5400.0), bounds=HOLDING) as one:
            await scene(one)
            one.parent.send({"stop": "keep"})
            await asyncio.wait_for(one.ended, 5)

    asyncio.run(run())


def test_sessions_are_committed_with_the_grants_in_the_order_of_arrival(tmp_path: Path) -> None:
    async def scene(one: Running) -> None:
        login = [SESSION_LOGIN.format(f"198.51.100.{n}", n) for n in (1, 2, 3)]
        one.send_lines(login[0], login[1], LOGOUT.format(2), LOGOUT.format(3), login[2])
        await one.until(lambda: one.receiver.intake.tally.received == 5 and not one.receiver.committer.waiting())
        assert [] == one.receiver.intake.sessions

    play_holding(tmp_path, scene)
    assert [True, False, True] == held(tmp_path)


def test_sessions_wait_where_the_table_cannot_be_written_and_are_committed_later_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "RETRY_SECONDS", 0.05)

    async def scene(one: Running) -> None:
        one.receiver.committer.table.close()  # every commit is a TableError now
        one.send_lines(SESSION_LOGIN.format("198.51.100.1", 1), SESSION_LOGIN.format("198.51.100.2", 2))
        await one.until(lambda: one.receiver.committer.errors)
        one.send_lines(LOGOUT.format(2), SESSION_LOGIN.format("198.51.100.3", 3))
        await one.until(lambda: one.receiver.committer.errors > 3 and len(one.receiver.committer.sessions) == 4)
        assert [Opened, Opened, Closed, Opened] == [type(event) for event in one.receiver.committer.sessions]
        assert 7 == dict(one.receiver.samples())["pending_grants"][0][1]
        one.receiver.committer.table = Table(tmp_path / "table", 1000, HOLDING)
        await one.until(lambda: one.receiver.committer.writable)
        assert 0 == one.receiver.committer.waiting()

    play_holding(tmp_path, scene)
    assert [True, False, True] == held(tmp_path)


def test_the_sockets_are_not_read_while_too_many_sessions_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "CAPACITY", 3)
    monkeypatch.setattr(committer, "RETRY_SECONDS", 0.05)

    async def scene(one: Running) -> None:
        one.receiver.committer.table.close()
        one.send_lines(*map(LOGOUT.format, (1, 2, 3)))  # ends alone: they are no grants
        await one.until(lambda: one.receiver.committer.full() and one.receiver.committer.errors)
        one.send_lines(LOGOUT.format(4))
        errors = one.receiver.committer.errors
        await one.until(lambda: one.receiver.committer.errors > errors + 2)
        assert 3 == one.receiver.intake.tally.received
        one.receiver.committer.table = Table(tmp_path / "table", 1000, HOLDING)
        await one.until(lambda: one.receiver.intake.tally.received == 4 and not one.receiver.committer.waiting())

    play_holding(tmp_path, scene)


def test_an_ordered_stop_commits_the_sessions_that_wait(tmp_path: Path) -> None:
    async def scene(one: Running) -> None:
        await one.until(lambda: one.receiver.listeners)
        one.send_lines(*(SESSION_LOGIN.format(f"198.51.100.{n}", n) for n in (1, 2)), LOGOUT.format(1))

    play_holding(tmp_path, scene)
    assert [False, True, False] == held(tmp_path)


@pytest.mark.parametrize(
    ("first_seconds", "second_seconds", "expected"),
    [(1800.0, 1800.0, (1810.0, "second")), (7200.0, 60.0, (7200.0, "first")), (60.0, 7200.0, (7210.0, "second"))],
)
def test_of_two_grants_of_one_address_the_one_that_lasts_longer_waits(
    first_seconds: float, second_seconds: float, expected: tuple[float, str]
) -> None:
    """Rules may give different graces to the users behind one address."""
    address = pack("192.0.2.25") or b""
    first = Grant(address, first_seconds, 0.0, "imap", "dovecot", "first", "", "", count=2)
    second = Grant(address, 10 + second_seconds, 10.0, "imap", "dovecot", "second", "", "")
    found = merged(first, second)
    assert (*expected, 3) == (found.expires_at, found.user, found.count)
