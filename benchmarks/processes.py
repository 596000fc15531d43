"""Child processes of a benchmark: started on their own cores, their CPU time read to the nanosecond, and ended for certain. Linux only."""

import ctypes
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

STOP_SECONDS = 10.0
WAITED = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)
NICE = re.compile(r"nice (-?\d+)$", re.MULTILINE)
PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


@contextmanager
def preferred(nice: int) -> Iterator[None]:
    """A higher priority for us and all that we start.

    The kernel weighs whole sessions against each other (sched(7), autogroup), and nice values only within one: so the session gets it too.
    """
    os.nice(nice)
    group = Path("/proc/self/autogroup")
    before = NICE.search(_read(group))
    if before:
        group.write_text(str(nice))
    try:
        yield
    finally:
        if before:
            group.write_text(before[1])


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


def wake_ups(pid: int) -> int:
    """How often its threads gave up the processor to wait for something: voluntary context switches, those of ended threads left out."""
    texts = [_read(task / "status") for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(found[1]) for text in texts if (found := WAITED.search(text)))


def pss_bytes(pid: int) -> int:
    """Resident memory, what is shared divided by the number of its users (Pss of proc_pid_smaps(5))."""
    found = PSS.search(_read(Path(f"/proc/{pid}/smaps_rollup")))
    return int(found[1]) * 1024 if found else 0


def _read(path: Path) -> str:
    """Empty where the task has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


@contextmanager
def running(
    command: Sequence[str], said: Path, environment: dict[str, str] | None = None, on: set[int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as the block lasts; what it says goes into `said`. `on` are its cores, where they are not ours."""
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    if on:
        os.sched_setaffinity(process.pid, on)  # it has no child yet
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
