"""A program on a terminal of its own, of a given size: what it writes there, what is typed, and what it leaves of the terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
HOME = b"\x1b[H"  # what each picture of a full screen begins with


class Terminal:
    """Ends the program with its `with` block. `written` is everything so far."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], rows: int = 24, columns: int = 80) -> None:
        self.master, self.slave = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.written = b""
        unset = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        self.program = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env={"TERM": "xterm-256color", **unset}, start_new_session=True
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None) -> None:
        if self.program.poll() is None:
            self.program.kill()
        self.program.wait()
        os.close(self.master)
        os.close(self.slave)

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def read(self) -> bytes:
        """Take in what is there, for a moment; everything so far."""
        while select.select([self.master], [], [], 0.02)[0]:
            self.written += os.read(self.master, 65536)
        return self.written

    def ended(self, seconds: float = 10.0) -> int:
        """The exit code; what is written until then is read."""
        deadline = time.monotonic() + seconds
        while self.program.poll() is None:
            assert time.monotonic() < deadline, f"it has not ended; it wrote {self.written!r}"
            self.read()
        self.read()
        return self.program.returncode

    def as_it_was(self) -> bool:
        """Whether the terminal's modes are those of the start."""
        return self.before == termios.tcgetattr(self.slave)


def lines(written: bytes) -> list[str]:
    """What a person sees of it, a line each, without colours and moves of the cursor."""
    return [line.rstrip() for line in CONTROL.sub(b"", written).decode().replace("\r", "").split("\n")]


def pictures(written: bytes) -> list[list[str]]:
    """Each picture of a full screen, whole ones only."""
    return [lines(picture) for picture in written.split(HOME)[2:-1]]
