"""One child process of the daemon: started by exec, heard over its control socket, restarted when it dies, with a growing pause."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from syslogauth.control import Control
from syslogauth.ledger import Ledger

PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SETTLED_SECONDS = 30.0  # a child that lived this long starts from the first pause again
HUNG_SECONDS = 20.0  # longer than an exporter tries to get the lock of a map
EMPTYING_SECONDS = 60.0
LOOK_SECONDS = 10.0
SILENT_LOOKS = 3  # looks rather than seconds: a machine that was suspended must not end in the death of all that could not beat


class Child:
    """`ready`, `reason` and `last_beat` (monotonic) are what it said last; `told` is called with what else it says, `gave_up`
    when it says that another life of it would be as short (exit code EX_DATAERR).

    `role` is its verb, `name` what logs and metrics call it. `watched`: kill it where it falls silent, for as long as it hangs its
    sockets fill up, and it may hold the table's writer lock.
    """

    def __init__(
        self,
        role: str,
        name: str,
        ledger: Ledger,
        log: structlog.stdlib.BoundLogger,
        *,
        watched: bool = False,
        told: Callable[["Child", dict[str, Any]], None] = lambda child, message: None,
        gave_up: Callable[["Child"], None] = lambda child: None,
    ) -> None:
        self.role = role
        self.name = name
        self.ledger = ledger
        self.log = log
        self.watched = watched
        self.told = told
        self.gave_up = gave_up
        self.ready = False
        self.reason = "not started yet"
        self.up = False
        self.restarts = 0
        self.last_beat = time.monotonic()
        self._control: Control | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[bool] | None = None
        self._stopping = asyncio.Event()
        self._maps = "keep"  # what a stop leaves in them
        self._deadline = 0.0

    def start(self, first: Callable[[], dict[str, Any]], sockets: Sequence[int]) -> None:
        """Keep it running from now on. `first` makes the line that each life of it begins with: the configuration."""
        self._stopping.clear()
        self.last_beat = time.monotonic()
        self._keeping = asyncio.create_task(self._keep(first, sockets))

    async def stop(self, maps: str) -> bool:
        """End it in order, by force after HUNG_SECONDS. True where it ended well, the maps being as they shall be.

        Where they are to be emptied, one that has just died, or failed at it, is started again until EMPTYING_SECONDS are over.
        """
        self._maps = maps
        self._deadline = time.monotonic() + (EMPTYING_SECONDS if maps == "empty" else 0.0)
        self._stopping.set()
        self.tell({"stop": maps})
        if self._keeping is None:
            return True
        while not (await asyncio.wait([self._keeping], timeout=HUNG_SECONDS))[0]:
            self.log.error("did not stop in time; killed", child=self.name)
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        ended_well, self._keeping = self._keeping.result(), None
        return ended_well

    def tell(self, message: dict[str, Any]) -> None:
        """Say it, if it runs; another life of it learns from its first line."""
        if self._control is not None:
            self._send(self._control, message)

    async def _keep(self, first: Callable[[], dict[str, Any]], sockets: Sequence[int]) -> bool:
        deaths = 0
        while True:
            began = time.monotonic()
            try:
                code = await self._run(first, sockets)
            except OSError as error:  # no descriptor or no memory left for another process
                self.log.error("cannot be started", child=self.name, error=str(error))
                code = os.EX_OSERR
            if self._stopping.is_set() and (code == 0 or self._maps == "keep" or time.monotonic() >= self._deadline):
                return code == 0
            deaths = 1 if time.monotonic() - began > SETTLED_SECONDS else deaths + 1
            pause = PAUSES_SECONDS[0 if self._stopping.is_set() else min(deaths, len(PAUSES_SECONDS)) - 1]
            self.restarts += 1
            if code == os.EX_DATAERR:
                self.gave_up(self)
            else:
                self.log.error("died; starting it again", child=self.name, exit_code=code, pause_seconds=pause)
            await self._wait(pause)
            if self._stopping.is_set() and self._maps == "keep":
                return True

    async def _wait(self, seconds: float) -> None:
        """That long, but no longer than to the beginning of a stop; a stop that has begun is not waited for again."""
        if self._stopping.is_set():
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _run(self, first: Callable[[], dict[str, Any]], sockets: Sequence[int]) -> int:
        """One life of it. Its exit code, negative for a signal. Raises OSError where it cannot be started."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            arguments = [self.role, "--control", str(theirs.fileno()), *(word for fd in sockets for word in ("--socket", str(fd)))]
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "syslogauth", *arguments, stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(), *sockets)
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.up, self.last_beat, self.reason = True, time.monotonic(), "starting"
        self._control = control = Control(ours)
        loop.add_reader(ours, self._hear, control)
        try:
            self._send(control, {"process": self.name, **first()})
            if self._stopping.is_set():  # asked while it was being started
                self._send(control, {"stop": self._maps})
            code = await self._end_of(process)
            self._hear(control)
        finally:
            loop.remove_reader(ours)
            loop.remove_writer(ours)
            ours.close()
            self._control, self.up, self.ready, self.reason = None, False, False, "not running"
            self.ledger.end(self.name)
        return code

    async def _end_of(self, process: asyncio.subprocess.Process) -> int:
        silent = 0
        while True:
            beat, ended = self.last_beat, asyncio.create_task(process.wait())
            if (await asyncio.wait([ended], timeout=LOOK_SECONDS if self.watched else None))[0]:
                return ended.result()
            ended.cancel()
            silent = silent + 1 if beat == self.last_beat else 0
            if silent >= SILENT_LOOKS:
                self.log.error("does not answer; killed", child=self.name)
                process.kill()

    def _send(self, control: Control, message: dict[str, Any]) -> None:
        """Send it, the rest as the socket takes it: FreeBSD's socket pairs hold 8 KiB, and a configuration may be longer."""
        if not control.send(message):
            asyncio.get_running_loop().add_writer(control.sock, self._flush, control)

    def _flush(self, control: Control) -> None:
        if control.flush():
            asyncio.get_running_loop().remove_writer(control.sock)

    def _hear(self, control: Control) -> None:
        messages = control.receive()
        if messages is None:
            asyncio.get_running_loop().remove_reader(control.sock)
            return
        for message in messages:
            if "samples" not in message:
                self.told(self, message)
                continue
            self.ready, self.reason = message["ready"], message["reason"]
            self.last_beat = time.monotonic()
            self.ledger.update(self.name, message["samples"])
