"""One child process of the daemon: started by exec, heard over its control socket, restarted when it dies, with a growing pause."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import structlog

from syslogauth.control import Control
from syslogauth.metrics import Ledger

PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SETTLED_SECONDS = 30.0  # a child that lived this long starts from the first pause again
STOP_SECONDS = 10.0


class Child:
    """`ready`, `reason` and `last_beat` (monotonic) are what it said last."""

    def __init__(self, role: str, ledger: Ledger, log: structlog.stdlib.BoundLogger) -> None:
        self.role = role
        self.ledger = ledger
        self.log = log
        self.ready = False
        self.reason = "not started yet"
        self.up = False
        self.restarts = 0
        self.last_beat = time.monotonic()
        self._control: Control | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._maps = "keep"  # what a stop leaves in them

    def start(self, first: dict[str, Any], sockets: Sequence[int]) -> None:
        """Keep it running from now on. `first` is the line with the configuration."""
        self._stopping.clear()
        self._keeping = asyncio.create_task(self._keep(first, sockets))

    async def stop(self, maps: str) -> None:
        """End it in order, and by force after STOP_SECONDS. One that has just died is started once more where `maps` are to be emptied."""
        self._maps = maps
        self._stopping.set()
        if self._control is not None:
            self._control.send({"stop": maps})
        if self._keeping is None:
            return
        done, _ = await asyncio.wait([self._keeping], timeout=STOP_SECONDS)
        if not done:
            self.log.error("did not stop in time; killed", process=self.role)
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            await self._keeping
        self._keeping = None

    async def _keep(self, first: dict[str, Any], sockets: Sequence[int]) -> None:
        deaths = 0
        while not (self._stopping.is_set() and self._maps == "keep"):
            began = time.monotonic()
            code = await self._run(first, sockets)
            if self._stopping.is_set():
                return
            deaths = 1 if time.monotonic() - began > SETTLED_SECONDS else deaths + 1
            pause = PAUSES_SECONDS[min(deaths, len(PAUSES_SECONDS)) - 1]
            self.restarts += 1
            self.log.error("died; starting it again", child=self.role, exit_code=code, pause_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, first: dict[str, Any], sockets: Sequence[int]) -> int:
        """One life of it. Its exit code, negative for a signal."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        arguments = [self.role, "--control", str(theirs.fileno()), *(word for fd in sockets for word in ("--socket", str(fd)))]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "syslogauth", *arguments, stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(), *sockets)
        )
        theirs.close()
        self.up, self.last_beat, self.reason = True, time.monotonic(), "starting"
        self._control = control = Control(ours)
        control.send(first)
        loop.add_reader(ours, self._hear, control)
        try:
            if self._stopping.is_set():  # asked while it was being started
                control.send({"stop": self._maps})
            code = await self._process.wait()
            self._hear(control)
        finally:
            loop.remove_reader(ours)
            ours.close()
            self._control, self.up, self.ready, self.reason = None, False, False, "not running"
            self.ledger.end(self.role)
        return code

    def _hear(self, control: Control) -> None:
        messages = control.receive()
        if messages is None:
            asyncio.get_running_loop().remove_reader(control.sock)
            return
        for message in messages:
            self.ready, self.reason = message["ready"], message["reason"]
            self.last_beat = time.monotonic()
            self.ledger.update(self.role, message["samples"])
