"""The table's health: does it open, is every page and record of it sound, how much room is left, are there readers that died.

A whole reading is given READING_SECONDS, in a process of its own (examine.py), and is not waited for any longer.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import AS_ROOT, RESTART, START, Answer, Site, ask

SUBJECT = "table"
READING_SECONDS = 20.0
NEARLY_FULL = 0.8
RESTORE = "stop syslogauth, move the directory `table` away, syslogauth restore (or start it empty: the users log in again)"


def check(site: Site) -> Iterator[Finding]:
    table = site.state_directory / "table"
    if not os.path.lexists(table) and os.access(site.state_directory, os.X_OK):
        yield warn(SUBJECT, f"{table} does not exist yet", START)
        return
    answer = ask([sys.executable, "-m", "syslogauth.doctor.examine", site.state_directory], seconds=READING_SECONDS)
    yield from judge(answer, site.state_directory, as_root=os.geteuid() == 0)


def judge(answer: Answer, state_directory: Path, *, as_root: bool) -> Iterator[Finding]:
    """By what examine.py said. `as_root`: it could go on as the owner of the state directory."""
    said: dict[str, Any] = {}
    for line in answer.text.splitlines():
        if line.startswith("{"):
            said |= json.loads(line)
    if answer.code is not None and answer.code < 0:
        yield fail(SUBJECT, f"its file is torn: reading it ended with signal {-answer.code}", RESTORE)
        return
    if "fault" in said:
        text = f"cannot be opened: {said['fault']}"
        if os.strerror(errno.EACCES) not in said["fault"]:
            yield fail(SUBJECT, text, RESTORE)
        elif as_root:
            yield fail(SUBJECT, f"its files are not the owner's of {state_directory}: {said['fault']}", give_back(state_directory))
        else:
            yield warn(SUBJECT, f"not looked at: {text}", AS_ROOT)
        return
    if "entries" not in said:
        yield fail(SUBJECT, f"cannot be read: {answer.text.strip()[-200:]}", RESTORE)
        return
    yield from sized(said)
    if "problems" not in said:
        mend = "stop syslogauth, then: python -m lmdb verify -e STATE_DIRECTORY/table"
        yield warn(SUBJECT, f"too large to read all of it in {READING_SECONDS:.0f} s: not looked at as a whole", mend)
    elif said["problems"]:
        yield fail(SUBJECT, f"is damaged: {'; '.join(said['problems'])}", RESTORE)
    else:
        yield ok(SUBJECT, f"{said['entries']} addresses, every page and record sound (LMDB {said['engine']}, {said['seconds']:.1f} s)")


def give_back(state_directory: Path) -> str:
    """All that lies in it belongs to whom it belongs to itself."""
    return f'chown -R "$(stat -c %u {state_directory})" {state_directory}'


def sized(said: Mapping[str, Any]) -> Iterator[Finding]:
    used, whole = said["used_bytes"], said["map_size_bytes"]
    text = f"{used >> 20} of {whole >> 20} MiB used ({used / whole:.0%})"
    if used > NEARLY_FULL * whole:
        yield warn(SUBJECT, f"{text}: new addresses are refused when it is full", f"a larger policy.max_addresses, and {RESTART}")
    else:
        yield ok(SUBJECT, text)
    if said["stale_readers"]:
        yield ok(SUBJECT, f"{said['stale_readers']} readers had died; what they held back is free again")
