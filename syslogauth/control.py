"""How the parent and its children talk: a stream socket pair, one JSON object a line.

    parent -> child   {"process": its name, "config": TOML text, "file": its name, "state_directory": path, "files": {path: text},
                       "own_addresses": [hex, ...],              the first line; the last are for a receiver
                       "pseudonym_key": hex,                     for those who take logins in: see core/policy.py
                       "tls_sockets": [descriptor, ...]}         for streams alone: which of its listening sockets speak TLS
    parent -> child   {"stop": "keep" | "empty"}                 end in order; what the maps shall hold then
    child  -> parent  {"ready": bool, "reason": text, "samples": {metric: [[labels, value], ...]}}     once a second: the heartbeat
    either -> other   {"own_addresses": [hex, ...]}              packed addresses of peers that one worker has seen, for the others
    child  -> parent  {"first_senders": {peer: host}, "refused": [[reason, peer, count, [example]], ...]}   what tidings.py tells the log

The end of the stream is the other side's death: a child whose parent is gone ends by itself, in order, and keeps the maps.
"""

import json
import resource
import select
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from syslogauth.metrics import Samples

BEAT_SECONDS = 1.0
MAX_LINE_BYTES = 8 << 20  # the first line: the configuration with its files, and up to 65536 addresses


@dataclass(slots=True)
class Control:
    """One end. Never blocks longer than asked for. A heartbeat that the other side does not take is dropped; nothing else is."""

    sock: socket.socket
    _received: bytearray = field(default_factory=bytearray)
    _unsent: bytes = b""
    _kept: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sock.setblocking(False)

    def send(self, message: dict[str, Any]) -> bool:
        """Send a line, or queue it behind what is still unsent; a heartbeat that finds the other side stuck is not worth keeping.

        True where nothing is left unsent; else flush() is to be called when the socket can be written to.
        """
        if not (self._unsent and "samples" in message):
            self._unsent += json.dumps(message).encode() + b"\n"
        return self.flush()

    def flush(self) -> bool:
        """Go on sending. True where nothing is left."""
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :] if self._unsent else b""
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = b""
        return not self._unsent

    def receive(self) -> list[dict[str, Any]] | None:
        """The lines that have come; None where the other side is gone."""
        if self._kept:
            kept, self._kept = self._kept, []
            return kept
        try:
            chunk = self.sock.recv(1 << 18)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not chunk or len(self._received) > MAX_LINE_BYTES:
            return None
        self._received += chunk
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        return [json.loads(line) for line in lines]

    def wait(self, seconds: float) -> list[dict[str, Any]] | None:
        """receive(), after waiting up to that long for something to come."""
        if self._kept:
            return self.receive()
        readable, _, _ = select.select([self.sock], [], [], max(0.0, seconds))
        return self.receive() if readable else []

    def first(self, seconds: float) -> dict[str, Any] | None:
        """The first line, if it comes whole in that time. What came with it, a stop perhaps, is kept for the next receive() or wait()."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            messages = self.wait(left)
            if messages is None:
                return None
            if messages:
                self._kept = messages[1:]
                return messages[0]
        return None


def heartbeat(process: str, ready: bool, reason: str, samples: Samples) -> dict[str, Any]:
    """What a child tells its parent; its own CPU time and size are added here."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    samples["process_cpu_seconds"] = [((process,), usage.ru_utime + usage.ru_stime)]
    samples["process_peak_resident_bytes"] = [((process,), usage.ru_maxrss * 1024)]  # KiB on Linux and FreeBSD
    return {"ready": ready, "reason": reason, "samples": samples}
