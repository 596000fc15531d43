"""Where things lie: the state directory, its file system, its owner; what the map does at a stop; who can reach the metrics."""

import ipaddress
import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import RESTART, Site, ask
from syslogauth.settings import Endpoint

STATE, METRICS, STOP = "state directory", "metrics", "stop"
NETWORKED = re.compile(r"nfs\d*|cifs|smb\d?|smbfs|afs|ceph|gluster\w*|lustre|9p|fuse(?:\..*|blk)?|fusefs(?:\..*)?|beegfs|ocfs2|gfs2")
LEAST_FREE_BYTES = 64 << 20


def check(site: Site) -> Iterator[Finding]:
    yield metrics(site.metrics)
    if site.on_stop == "keep":
        text = "policy.on_stop = keep: a stopped daemon leaves its last addresses in the map, for ever"
        yield warn(STOP, text, 'policy.on_stop = "empty" (a restart by the service files keeps the map all the same)')
    directory = site.state_directory
    try:
        found = directory.stat()
    except FileNotFoundError:
        yield fail(STATE, f"{directory} does not exist", f"install -d -o syslogauth -g 0 -m 0750 {directory}")
        return
    yield from owned(directory, found.st_mode, found.st_uid)
    yield file_system(directory.resolve(), mounts(site))
    space = os.statvfs(directory)
    yield free(directory, space.f_bavail * space.f_frsize)


def metrics(listen: Endpoint | None) -> Finding:
    if listen is None:
        return ok(METRICS, "are not served")
    address = ipaddress.ip_address(listen.host)
    mend = f'metrics.listen = "127.0.0.1:{listen.port}", and {RESTART}'
    if address.is_unspecified:
        return warn(METRICS, f"{listen}: on every address of this host, for whoever reaches it", mend)
    if address.is_global:
        return fail(METRICS, f"{listen} is a public address: everybody reads who your mail servers are", mend)
    return ok(METRICS, f"{listen} is {'this host alone' if address.is_loopback else 'no public address'}")


def owned(directory: Path, mode: int, owner: int) -> Iterator[Finding]:
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    faults = []
    if owner == 0:
        faults.append(warn(STATE, f"{directory} is root's, so that the daemon runs as root", f"chown -R syslogauth:0 {directory}"))
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = f"{directory} is writable by others ({stat.S_IMODE(mode):04o}), who could let any address relay"
        faults.append(fail(STATE, text, f"chmod 0750 {directory}"))
    elif mode & (stat.S_IROTH | stat.S_IXOTH):
        faults.append(
            warn(STATE, f"{directory} is open to all ({stat.S_IMODE(mode):04o}), and holds user names", f"chmod 0750 {directory}")
        )
    yield from faults or [ok(STATE, f"{directory} is {name}'s, {stat.S_IMODE(mode):04o}")]


def mounts(site: Site) -> list[tuple[str, str]]:
    """(mount point, type of the file system) of all that is mounted."""
    if site.platform == "linux":
        lines = site.text("/proc/self/mountinfo").splitlines()
        rows = [(line.split(" - ")[0].split(), line.split(" - ")[-1].split()) for line in lines if " - " in line]
        return [(_unescaped(before[4]), after[0]) for before, after in rows]
    return [(words[1], words[2]) for line in ask(["mount", "-p"]).text.splitlines() if len(words := line.split()) > 2]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def file_system(directory: Path, mounted: Sequence[tuple[str, str]]) -> Finding:
    holding = [(Path(point), kind) for point, kind in mounted if directory.is_relative_to(point)]
    if not holding:
        return warn(STATE, f"the file system of {directory} is not known")
    longest = max(len(point.parts) for point, _ in holding)
    kind = [kind for point, kind in holding if len(point.parts) == longest][-1]  # what was mounted over the others
    move = f"state_directory on a local disk: syslogauth backup, stop it, move {directory}, start it"
    if NETWORKED.fullmatch(kind):
        return fail(STATE, f"{directory} lies on {kind}, where the table's locks and memory map do not hold", move)
    if kind in ("tmpfs", "ramfs", "mfs"):
        return warn(STATE, f"{directory} lies on {kind}: after a boot nobody may relay until he logs in", move)
    return ok(STATE, f"{directory} lies on {kind}")


def free(directory: Path, bytes_: int) -> Finding:
    if bytes_ < LEAST_FREE_BYTES:
        return fail(
            STATE, f"{bytes_ >> 20} MiB left on its file system: logins wait in memory when it is full", f"df -h {directory}, and make room"
        )
    return ok(STATE, f"{bytes_ >> 20} MiB free on its file system")
