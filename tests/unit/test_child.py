"""A child as its parent keeps it: a real receiver, started from this process."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from syslogauth import child as child_module
from syslogauth.child import Child
from syslogauth.ledger import Ledger
from syslogauth.listeners.udp import bind


def play(directory: Path, scene: Callable[[Child, socket.socket], Awaitable[None]]) -> None:
    async def run() -> None:
        said: list[object] = []
        child = Child("receiver", "receiver7", Ledger(), structlog.get_logger(), watched=True, told=lambda _, message: said.append(message))
        first = {"config": "", "file": "x.toml", "state_directory": str(directory), "files": {}, "own_addresses": [], "pseudonym_key": ""}
        with bind("127.0.0.1", 0, 65536) as sock:
            child.start(lambda: first, [sock.fileno()])
            try:
                await scene(child, sock)
            finally:
                assert await child.stop("keep")

    asyncio.run(run())


async def until(look: Callable[[], object], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110 - what is looked at tells nobody that it has changed
            await asyncio.sleep(0.02)


def test_a_child_that_falls_silent_is_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "LOOK_SECONDS", 1.5)

    async def scene(child: Child, sock: socket.socket) -> None:
        await until(lambda: child.ready)
        assert child._process
        silent = child._process.pid
        os.kill(silent, signal.SIGSTOP)
        began = time.monotonic()
        await until(lambda: child.restarts == 1)
        assert time.monotonic() - began >= 2 * 1.5
        await until(lambda: child.ready)
        assert silent != child._process.pid

    play(tmp_path, scene)


def test_figures_go_under_the_childs_name_and_what_else_it_says_is_passed_on(tmp_path: Path) -> None:
    async def scene(child: Child, sock: socket.socket) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<22>?", sock.getsockname())
        await until(lambda: child.ledger.value("datagrams_received", ("udp",)))
        assert 0 < child.ledger.value("process_cpu_seconds", ("receiver7",))

    play(tmp_path, scene)
