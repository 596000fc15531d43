"""The processes of this machine as /proc shows them (Linux): who is whose child, what it was started with, whether it still lives."""

from pathlib import Path

PROC = Path("/proc")


def children(pid: int) -> list[int]:
    """The living children of a process, oldest first; none where it is gone itself."""
    try:
        text = (PROC / str(pid) / "task" / str(pid) / "children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [child for child in map(int, text.split()) if alive(child)]


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; empty where it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        status = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
