"""The map's file as sendmail's safefile() sees it (libsmutil/safefile.c, run as root), as our publisher needs it, and whether somebody
keeps it: its time, and its keys against the table.

safefile(): no directory on the way may be writable by group or others, unless DontBlameSendmail says MapInUnsafeDirPath,
GroupWritableDirPathSafe (for group), or TrustStickyBit (for sticky ones); root reads the file as its owner, as TrustedUser, as group 0 or
as anybody, whatever root could read otherwise. The publisher writes in place, as the state directory's owner, and takes no links.
"""

import os
import pwd
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syslogauth.doctor import cf, daemon, sendmail
from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import AS_ROOT, RESTART, START, Site, WatchedMap, ask

SUBJECT = "map"
TOUCHED_SECONDS = 30  # the exporter moves the mtime so often, whatever changes
OLD_SECONDS = 150
AHEAD_SECONDS = 60
NOBODY_WRITES = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory: its mode with its type, its owner, its group, its hard links."""

    path: Path
    mode: int
    owner: int
    group: int
    links: int = 1

    @classmethod
    def of(cls, path: Path) -> "Place":
        found = path.lstat()
        return cls(path, found.st_mode, found.st_uid, found.st_gid, found.st_nlink)


def check(site: Site) -> Iterator[Finding]:
    keeper = site.state_directory.stat().st_uid if site.state_directory.is_dir() else -1
    known = cf.read(site.text(sendmail.CF))
    trusted = _user(known.options.get("trusteduser", ""))
    for watched in site.maps:
        subject = f"{SUBJECT} {watched.path}"
        if not os.path.lexists(watched.path):
            make = f"install -o {_name(keeper)} -g 0 -m {watched.mode:04o} /dev/null {watched.path}"
            yield fail(subject, "does not exist", make)
            continue
        file = Place.of(watched.path)
        faults = [
            *directories([Place.of(folder) for folder in _way(watched.path)], known.allowances),
            *modes(file, watched.mode, keeper, trusted),
        ]
        yield from (Finding(found.level, subject, found.text, found.mend) for found in faults)
        if not faults:
            yield ok(subject, f"{_name(file.owner)}:{file.group} {stat.S_IMODE(file.mode):04o}, and no way to it is open to others")
        if any("link" in found.text or "no regular" in found.text for found in faults):
            continue
        yield age(subject, site.now - watched.path.stat().st_mtime, daemon.runs(site.state_directory), watched)
    yield from _agrees(site)


def _way(path: Path) -> list[Path]:
    """Every directory that leads to a file, as it is written and as links lead there."""
    return list(dict.fromkeys((*path.parents, *path.parent.resolve().parents, path.parent.resolve())))


def directories(way: Sequence[Place], allowances: frozenset[str]) -> Iterator[Finding]:
    if "mapinunsafedirpath" in allowances:
        return
    for folder in way:
        if stat.S_ISLNK(folder.mode):
            continue
        open_to = folder.mode & NOBODY_WRITES
        if open_to & stat.S_IWGRP and not open_to & stat.S_IWOTH and "groupwritabledirpathsafe" in allowances:
            continue
        if open_to and not (folder.mode & stat.S_ISVTX and "truststickybit" in allowances):
            who = "everybody" if open_to & stat.S_IWOTH else "its group"
            yield fail(
                SUBJECT,
                f"{folder.path} is writable by {who}: sendmail calls the map unsafe and does not read it",
                f"chmod go-w {folder.path}",
            )


def modes(file: Place, wanted_mode: int, keeper: int, trusted: int) -> Iterator[Finding]:
    """`keeper`: who writes it, the state directory's owner, -1 where there is none; `trusted`: sendmail's TrustedUser, -1 for none."""
    if stat.S_ISLNK(file.mode):
        yield fail(
            SUBJECT,
            "is a symbolic link, which syslogauth does not write through",
            f"rm {file.path}, and name the file itself in export.path",
        )
        return
    if not stat.S_ISREG(file.mode):
        yield fail(SUBJECT, "is no regular file", f"mv {file.path} {file.path}.away")
        return
    if file.links > 1:
        others = f"find {file.path.parent} -xdev -samefile {file.path} ! -path {file.path} -delete"
        yield fail(SUBJECT, f"has {file.links} hard links, and syslogauth writes to none of them", others)
    if keeper not in (-1, file.owner):
        yield fail(SUBJECT, f"belongs to {_name(file.owner)}, and {_name(keeper)} is to write it", f"chown {_name(keeper)}:0 {file.path}")
    if file.mode & NOBODY_WRITES:
        who = "everybody" if file.mode & stat.S_IWOTH else f"group {file.group}"
        yield fail(SUBJECT, f"is writable by {who}, who could let any address relay", f"chmod {wanted_mode:04o} {file.path}")
    elif stat.S_IMODE(file.mode) & ~wanted_mode:
        text = f"has mode {stat.S_IMODE(file.mode):04o}: whoever can read it can hold its lock, and mail waits"
        yield warn(SUBJECT, text, f"chmod {wanted_mode:04o} {file.path}")
    readable = file.owner in (0, trusted) or (file.group == 0 and file.mode & stat.S_IRGRP) or file.mode & stat.S_IROTH
    if not readable:
        bits = f"{_name(file.owner)}:{file.group} {stat.S_IMODE(file.mode):04o}"
        text = f"is {bits}: sendmail, as root, reads it as its owner, as group 0 or as anybody, in no other way"
        yield fail(SUBJECT, text, f"chgrp 0 {file.path} && chmod 0640 {file.path}")


def age(subject: str, seconds: float, keeper_runs: bool | None, watched: WatchedMap) -> Finding:
    """`seconds` since it was touched. Nobody takes addresses out of a map that nobody keeps."""
    if seconds < -AHEAD_SECONDS:
        return warn(
            subject,
            f"its time is {-seconds:.0f} s ahead of the clock: sessions that are open see no change until then",
            f"touch {watched.path}",
        )
    if seconds <= OLD_SECONDS:
        return ok(subject, f"touched {max(0.0, seconds):.0f} s ago")
    if keeper_runs is False:
        holds = sendmail.keys_of(watched.path)[0] if os.access(watched.path, os.R_OK) else set()
        text = f"touched {seconds:.0f} s ago, and nobody keeps it" + (f": {len(holds)} addresses may relay for ever" if holds else "")
        return (fail if holds else warn)(subject, text, START)
    return fail(
        subject,
        f"touched {seconds:.0f} s ago; a running exporter does so every {TOUCHED_SECONDS} s",
        f"{RESTART}, and look at its log",
    )


def _agrees(site: Site) -> Iterator[Finding]:
    """What `export --check` says, in a process of its own: it goes on as the owner of the state directory."""
    argv = [sys.executable, "-P", "-m", "syslogauth", "export", "--check"]
    said = ask([*argv, *(("--config", site.config_file) if site.config_file else ())], seconds=60.0)
    words = "; ".join(line.strip() for line in said.text.strip().splitlines()[:4]) or "says nothing"
    if said.code == os.EX_OK:
        yield ok("map and table", words)
    elif said.code is None:
        yield warn("map and table", "not held against each other within a minute", "syslogauth export --check")
    elif said.code in (os.EX_UNAVAILABLE, os.EX_NOPERM):
        yield warn("map and table", f"not looked at: {words}", AS_ROOT if os.geteuid() else "see what is said of the table")
    else:
        yield fail("map and table", words, START if daemon.runs(site.state_directory) is False else "syslogauth export")


def _user(text: str) -> int:
    try:
        return int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except KeyError:
        return -1


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name if user >= 0 else "syslogauth"
    except KeyError:
        return str(user)
