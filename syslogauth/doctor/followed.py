"""The log files that are followed (listen.file): are they there, may the daemon's user read them, does anybody write them."""

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import ANSWER_SECONDS, AS_ROOT, RESTART, Site
from syslogauth.ownership import owner_of

SUBJECT = "file"
ROOTS = ("root", "wheel", "0")  # whose members may do more than read logs: nobody is told to join them


def check(site: Site) -> Iterator[Finding]:
    for path in site.files:
        try:
            found = path.stat()
        except FileNotFoundError:
            yield fail(f"{SUBJECT} {path}", "does not exist", "listen.file: name the file that this host's syslogd writes mail to")
            continue
        user, group = owner_of(site.state_directory)
        readable = may_read(path, user, group)
        if readable and site.each("file_readable", "file").get(str(path)) == 0:
            text = f"{_name(user)} may read it, and its daemon cannot: it keeps the groups that it was started with"
            yield fail(f"{SUBJECT} {path}", text, RESTART)
            continue
        yield judge(
            path, readable, _name(user), group_of(found.st_gid), site.now - found.st_mtime, site.silent_after_seconds, freebsd=site.freebsd
        )


def may_read(path: Path, user: int, group: int) -> bool | None:
    """Whether that user may, ways to it and access lists included; None where only root could tell."""
    if os.geteuid() not in (0, user):
        return None
    if os.geteuid() == user:
        return os.access(path, os.R_OK)
    try:
        name = pwd.getpwuid(user).pw_name
        groups = os.getgrouplist(name, group)
    except KeyError:
        groups = [group]
    test = ["/bin/sh", "-c", 'test -r "$1"', "sh", str(path)]
    tried = subprocess.run(test, timeout=ANSWER_SECONDS, check=False, cwd="/", user=user, group=group, extra_groups=groups)
    return tried.returncode == 0


def judge(
    path: Path, readable: bool | None, user: str, group: str, idle_seconds: float, silent_after_seconds: float, *, freebsd: bool
) -> Finding:
    """`user`: the daemon's; `group`: the file's; `idle_seconds`: since it was written to."""
    subject = f"{SUBJECT} {path}"
    if readable is None:
        return warn(subject, f"whether {user} may read it was not looked at", AS_ROOT)
    if not readable and group in ROOTS:
        own = f'chgrp "$(id -gn {user})" {path} && chmod g+r {path}'
        kept = "and so at each rotation (newsyslog.conf: root:syslogauth; logrotate: create 0640 root syslogauth)"
        return fail(subject, f"{user}, as whom the daemon runs, may not read it", f"{own}, {kept}; let its group pass the way")
    if not readable:
        join = f"pw groupmod {group} -m {user}" if freebsd else f"usermod -aG {group} {user}"
        return fail(
            subject,
            f"{user}, as whom the daemon runs, may not read it",
            f"{join}, let the group read it and pass the way, and {RESTART}",
        )
    if idle_seconds > silent_after_seconds:
        return warn(
            subject,
            f"nobody has written to it for {idle_seconds / 60:.0f} min",
            "logger -p mail.info test; then look at this host's syslogd",
        )
    return ok(subject, f"{user} may read it; written to {max(0.0, idle_seconds):.0f} s ago")


def group_of(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
