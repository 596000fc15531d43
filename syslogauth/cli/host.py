"""What this host is, for `init`: its system and service manager, its syslogds, its POP and IMAP servers, its sendmail, its address.

Everything is known by files below a root directory, `/` or that of a tree which is being made ready; nothing is started. What cannot be
read counts as not there.
"""

import contextlib
import os
import pwd
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from syslogauth import where
from syslogauth.core.formats import FORMATS
from syslogauth.exports.sendmail_hash import detect

USER = "syslogauth"
SYSLOGDS = {  # as its own words in `init` -> where Debian, Fedora and the BSDs have it
    "rsyslog": ("usr/sbin/rsyslogd", "usr/local/sbin/rsyslogd"),
    "syslog-ng": ("usr/sbin/syslog-ng", "usr/local/sbin/syslog-ng"),
    "syslogd": ("usr/sbin/syslogd", "sbin/syslogd"),
}
SERVERS = {  # a name of `syslogauth formats` -> programs that no other server has
    "dovecot": ("usr/sbin/dovecot", "usr/local/sbin/dovecot"),
    "courier": (
        "usr/lib/courier/courier/courierpop3d",
        "usr/lib/courier/imapd",
        "usr/local/libexec/courier-imap",
        "usr/sbin/courierlogger",
    ),
    "cyrus": ("usr/lib/cyrus/bin/imapd", "usr/lib/cyrus-imapd/imapd", "usr/local/cyrus/libexec/imapd", "usr/local/cyrus/bin/imapd"),
    "uw": ("usr/sbin/ipop3d", "usr/local/libexec/ipop3d"),
    "qpopper": ("usr/sbin/in.qpopper", "usr/local/libexec/qpopper"),
    "vpopmail": ("home/vpopmail/bin/vchkpw", "usr/local/vpopmail/bin/vchkpw"),
    "popa3d": ("usr/sbin/popa3d", "usr/local/libexec/popa3d"),
    "solid-pop3d": ("usr/sbin/solid-pop3d", "usr/local/libexec/spop3d"),
    "teapop": ("usr/sbin/teapop", "usr/local/libexec/teapop"),
    "tpop3d": ("usr/sbin/tpop3d", "usr/local/sbin/tpop3d"),
    "perdition": ("usr/sbin/perdition", "usr/local/sbin/perdition"),
    "dbmail": ("usr/sbin/dbmail-imapd", "usr/local/sbin/dbmail-imapd"),
    "zimbra": ("opt/zimbra/bin/zmcontrol",),
}
SYSTEMD = ("usr/lib/systemd/systemd", "lib/systemd/systemd")
NOTIFY_RELOAD = 253  # the systemd that has Type=notify-reload


@dataclass(frozen=True, slots=True)
class Host:
    """`platform` as sys.platform has it."""

    root: Path = Path("/")
    platform: str = sys.platform

    def at(self, path: str | Path) -> Path:
        return self.root / str(path).lstrip("/")

    def has(self, *paths: str) -> bool:
        return any(self.at(path).exists() for path in paths)

    @property
    def freebsd(self) -> bool:
        return self.platform.startswith("freebsd")

    @property
    def configuration_file(self) -> str:
        """Where the commands look on a host of this kind."""
        return where.FILE if self.platform == sys.platform else f"{'/usr/local' * self.freebsd}/etc/syslogauth.toml"

    @property
    def state_directory(self) -> str:
        return "/var/lib/syslogauth" if self.platform == "linux" else "/var/db/syslogauth"

    @property
    def services(self) -> str:
        """`systemd`, `rc.d`, or nothing that is known here."""
        return "rc.d" if self.freebsd else "systemd" if self.has(*SYSTEMD) else ""

    @property
    def reloads_by_notice(self) -> bool:
        """Whether its systemd has Type=notify-reload: by the name of its own library."""
        places = ("usr/lib/systemd", "usr/lib64/systemd", "usr/lib/*/systemd", "lib/systemd", "lib/*/systemd")
        libraries = [path.name for place in places for path in self.root.glob(f"{place}/libsystemd-core-*.so")]
        return any(int(found[1]) >= NOTIFY_RELOAD for name in libraries if (found := re.search(r"core-(\d+)", name)))

    @property
    def syslogds(self) -> tuple[str, ...]:
        return tuple(name for name, programs in SYSLOGDS.items() if self.has(*programs))

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(name for name, programs in SERVERS.items() if self.has(*programs))

    @property
    def facilities(self) -> tuple[str, ...]:
        """What the servers here log to, mail first."""
        elsewhere = {form.facility for form in FORMATS if form.name in self.servers and not self._logs_to_mail(form.name)}
        return ("mail", *sorted(elsewhere - {"mail"}))

    def _logs_to_mail(self, server: str) -> bool:
        return (server == "qpopper" and not self.freebsd) or (server == "cyrus" and self.has("etc/debian_version"))

    @property
    def sendmail(self) -> bool:
        return self.has("etc/mail/sendmail.cf", "etc/mail/freebsd.mc", "usr/libexec/sendmail/sendmail")

    def map_format(self, map_file: Path) -> str:
        """hash9, hash2 or what else its sendmail reads; below another root it is not asked itself."""
        program = "/usr/sbin/sendmail" if self.root == Path("/") else os.devnull
        return detect(self.at(map_file), self.at("etc/mail"), program, self.platform)

    def user(self, name: str = USER) -> tuple[int, int] | None:
        """User id and group id; None where there is no such user."""
        if self.root == Path("/"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return entry.pw_uid, entry.pw_gid
            return None
        with contextlib.suppress(OSError):
            for line in self.at("etc/passwd").read_text().splitlines():
                words = line.split(":")
                if words[0] == name and len(words) > 3:
                    return int(words[2]), int(words[3])
        return None


def address(host: Host) -> str:
    """The address that this host sends from, for others to send to; empty where it has no route. Nothing is sent (RFC 5737, RFC 3849)."""
    if host.root != Path("/"):
        return ""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((elsewhere, 9))
            return str(asking.getsockname()[0])
    return ""
