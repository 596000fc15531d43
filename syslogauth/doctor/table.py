"""The table's health: does it open, is every page and record of it sound, how much room is left, are there readers that died.

A whole reading is given READING_SECONDS, in a process of its own (examine.py), and is not waited for any longer.
"""

import errno
import json
import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import AS_ROOT, RESTART, START, STOP, Answer, Site, ask

SUBJECT = "table"
READING_SECONDS = 20.0
NEARLY_FULL = 0.8
TORN = (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT)  # what reading pages that are not there, or not what they should be, ends with
AGAIN = "syslogauth doctor, once more, when the host is less busy"


def check(site: Site) -> Iterator[Finding]:
    table = site.state_directory / "table"
    if not os.path.lexists(table) and os.access(site.state_directory, os.X_OK):
        yield warn(SUBJECT, f"{table} does not exist yet", START)
        return
    answer = ask([sys.executable, "-P", "-m", "syslogauth.doctor.examine", site.state_directory], seconds=READING_SECONDS)
    yield from judge(answer, site.state_directory, as_root=os.geteuid() == 0, max_addresses=site.max_addresses)


def judge(answer: Answer, state_directory: Path, *, as_root: bool, max_addresses: float = math.inf) -> Iterator[Finding]:
    """By what examine.py said. `as_root`: it could go on as the owner of the state directory."""
    said: dict[str, Any] = {}
    for line in answer.text.splitlines():
        if line.startswith("{"):
            said |= json.loads(line)
    if answer.code is not None and answer.code < 0:
        if -answer.code in TORN:
            yield fail(SUBJECT, f"its file is torn: reading it ended with signal {-answer.code}", anew(state_directory))
        else:  # by whoever ends what takes too much memory, perhaps
            yield warn(SUBJECT, f"not looked at: somebody ended the reading of it with signal {-answer.code}", AGAIN)
        return
    if "fault" in said:
        text = f"cannot be opened: {said['fault']}"
        if os.strerror(errno.EACCES) not in said["fault"]:
            yield fail(SUBJECT, text, anew(state_directory))
        elif as_root:
            yield fail(SUBJECT, f"its files are not the owner's of {state_directory}: {said['fault']}", give_back(state_directory))
        else:
            yield warn(SUBJECT, f"not looked at: {text}", AS_ROOT)
        return
    if "entries" not in said and answer.code is None:
        yield warn(SUBJECT, f"not looked at: it could not be opened within {READING_SECONDS:.0f} s", AGAIN)
        return
    if "entries" not in said:
        yield fail(SUBJECT, f"cannot be read: {answer.text.strip()[-200:]}", anew(state_directory))
        return
    yield from sized(said)
    yield from counted(said["entries"], max_addresses)
    if "problems" not in said:
        mend = f"{STOP} && {sys.executable} -P -m lmdb verify -e {state_directory}/table; {START}"
        yield warn(SUBJECT, f"too large to read all of it in {READING_SECONDS:.0f} s: not looked at as a whole", mend)
    elif said["problems"]:
        yield fail(SUBJECT, f"is damaged: {'; '.join(said['problems'])}", anew(state_directory))
    else:
        yield ok(SUBJECT, f"{said['entries']} addresses, every page and record sound (LMDB {said['engine']}, {said['seconds']:.1f} s)")


def give_back(state_directory: Path) -> str:
    """All that lies in it belongs to whom it belongs to itself."""
    return f"chown -R \"$(ls -dn {state_directory} | awk '{{print $3}}')\" {state_directory}"


def anew(state_directory: Path) -> str:
    """Without a backup the users log in again."""
    table = state_directory / "table"
    return f"{STOP}; mv {table} {table}.damaged; {START}; then, where there is a backup: syslogauth restore FILE"


def sized(said: Mapping[str, Any]) -> Iterator[Finding]:
    used, whole = said["used_bytes"], said["map_size_bytes"]
    text = f"{used >> 20} of {whole >> 20} MiB used ({used / whole:.0%})"
    if used > NEARLY_FULL * whole:
        yield warn(SUBJECT, f"{text}: new addresses are refused when it is full", f"a larger policy.max_addresses, and {RESTART}")
    else:
        yield ok(SUBJECT, text)
    if said["stale_readers"]:
        yield ok(SUBJECT, f"{said['stale_readers']} readers had died; what they held back is free again")


def counted(entries: int, max_addresses: float) -> Iterator[Finding]:
    """The file has room for several times as many."""
    if entries > NEARLY_FULL * max_addresses:
        text = f"{entries} of {max_addresses} addresses: new ones are refused when it is full"
        yield warn(SUBJECT, text, f"a larger policy.max_addresses, and {RESTART}")
