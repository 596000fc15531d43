"""Word to the service manager, as sd_notify(3) has it: datagrams of NAME=VALUE lines to the Unix socket that NOTIFY_SOCKET names.

READY=1             the children do their work: the sockets are bound, the maps written
STATUS=...          one line for `systemctl status`: what it does, or why it is not ready
WATCHDOG=1          every child was heard lately; four times in WATCHDOG_USEC, which the manager sets, so that one that is late is no death
RELOADING=1         with MONOTONIC_USEC, for Type=notify-reload (systemd 253); READY=1 ends it
STOPPING=1          an ordered stop has begun

An address that begins with @ is abstract (Linux). Where nobody asks to be told, nothing is said. What cannot be sent is said again at the
next look. A library would be longer than this: sdnotify is of 2017, the others are bindings of libsystemd.
"""

import os
import socket
import time
from collections.abc import MutableMapping

LOOK_SECONDS = 0.5
# A start that lasts longer is called ready all the same, and STATUS says what is wrong: logins are kept while a map cannot be written,
# and neither a start over and over nor mail that waits for us at boot would mend it.
READY_LIMIT_SECONDS = 30.0
FEEDS = 4  # in a watchdog's time


class Notices:
    """What the manager has been told. The variables are taken out of the environment: the children are not to speak for the daemon."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self.address = environment.pop("NOTIFY_SOCKET", "")
        micros = environment.pop("WATCHDOG_USEC", "")
        ours = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.feed_seconds = int(micros) / 1e6 / FEEDS if micros.isdecimal() and ours else 0.0  # 0: no watchdog
        self._ready_by: float | None = None  # READY=1 is owed: when ready, or at this time (monotonic)
        self._status = ""
        self._next_feed = 0.0

    def owe_ready(self, monotonic: float) -> None:
        """The children have just been started: say READY=1 as soon as it is true."""
        self._ready_by = monotonic + READY_LIMIT_SECONDS

    def look(self, unready: str | None, working: str, monotonic: float) -> None:
        """Say what is new. `unready` is the reason, None where there is none; `working` the status where all is well."""
        words = []
        if ready := self._ready_by is not None and (unready is None or monotonic >= self._ready_by):
            words.append("READY=1")
        if (status := working if unready is None else f"not ready: {unready}") != self._status:
            words.append(f"STATUS={' '.join(status.split())}")
        if words and self._say(*words):
            self._status = status
            self._ready_by = None if ready else self._ready_by

    def feed(self, unhealthy: str | None, monotonic: float) -> None:
        """The watchdog, where there is one, unless there is a reason not to."""
        if self.feed_seconds and unhealthy is None and monotonic >= self._next_feed and self._say("WATCHDOG=1"):
            self._next_feed = monotonic + self.feed_seconds

    def reloading(self) -> None:
        """Until the READY=1 that is owed next."""
        self._ready_by = None
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, maps: str) -> None:
        self._ready_by = None
        self._status = f"stopping; maps: {maps}"
        self._say("STOPPING=1", f"STATUS={self._status}")

    def _say(self, *words: str) -> bool:
        if not self.address:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(words).encode(), address)
            except OSError:  # the manager is being replaced, or has no room
                return False
        return True
