"""Child processes of a benchmark: started on their own cores, their CPU time read to the nanosecond, and ended for certain. Linux only."""

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

STOP_SECONDS = 10.0


@cache
def cores() -> tuple[int, set[int]]:
    """The core of the sender, and those of everything that is measured: apart from it where there are two. As they were at first."""
    first, *rest = sorted(os.sched_getaffinity(0))
    return first, set(rest or [first])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process since it began, threads that have ended included (clock_getcpuclockid(3))."""
    clock = ctypes.c_int()
    if (error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))) != 0:
        raise ProcessLookupError(error, f"process {pid} is gone")
    return time.clock_gettime(clock.value)


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


@contextmanager
def running(command: Sequence[str], said: Path, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as the block lasts; what it says goes into `said`."""
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(done: Callable[[], bool], what: str, seconds: float, pause: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)
