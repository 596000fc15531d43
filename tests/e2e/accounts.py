"""Local users of a mail host for the servers that ask the password database; the machine's own users are not there.

/etc/passwd, /etc/shadow, /etc/group, /etc/pam.d, /var/mail and /var/lib are private to the namespace. A name may hold anything but a
colon and a line feed, also what useradd(8) would refuse; each has an empty mailbox. A PAM service asks pam_unix and answers at once.
"""

import os
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.e2e.netns import Netns

HASH = "$5$syslogauth$82an7qPy1q8hIGfAO/TK.Rgm6.ymaaQ5694f22aElk/"  # of logins.PASSWORD: openssl passwd -5 -salt syslogauth
MAIL_GROUP = 8
FIRST_UID = 1000
SYSTEM = """\
root:x:0:0::/root:/bin/sh
popa3d:x:990:990::/var/lib/popa3d:/bin/false
spop3d:x:991:8::/var/lib/solid-pop3d:/bin/false
nobody:x:65534:65534::/nonexistent:/bin/false
"""
GROUPS = "root:x:0:\nmail:x:8:\npopa3d:x:990:\nnogroup:x:65534:\n"
PAM = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n"


def make(host: Netns, users: Sequence[str], pam_services: Iterable[str] = ()) -> None:
    """These users, beside those that the servers run as. Services without a file of their own are PAM's `other`."""
    etc, mail, state = (host.directory / name for name in ("etc", "mail", "lib"))
    for directory in (etc, etc / "pam.d", mail, state, state / "popa3d", state / "solid-pop3d"):
        directory.mkdir(mode=0o755)
    mail.chmod(0o1777)
    passwd, shadow = SYSTEM, ""
    for user, (uid, home) in zip(users, homes(host, users).items(), strict=True):
        home.mkdir(mode=0o755)
        os.chown(home, uid, MAIL_GROUP)
        mailbox(host, user, uid)
        passwd += f"{user}:x:{uid}:{MAIL_GROUP}::{home}:/bin/sh\n"
        shadow += f"{user}:{HASH}:19000:0:99999:7:::\n"
    (etc / "passwd").write_text(passwd)
    (etc / "group").write_text(GROUPS)
    (etc / "shadow").touch(mode=0o600)
    (etc / "shadow").write_text(shadow)
    for service in ("other", *pam_services):
        (etc / "pam.d" / service).write_text(PAM)
    private = {**{f"/etc/{path.name}": path for path in etc.iterdir()}, "/var/mail": mail, "/var/lib": state}
    for place, path in private.items():
        subprocess.run(host.command("mount", "--bind", path, place), check=True)


def homes(host: Netns, users: Sequence[str]) -> dict[int, Path]:
    """Uid -> home directory, in the order of the users."""
    return {uid: host.directory / f"home{uid}" for uid in range(FIRST_UID, FIRST_UID + len(users))}


def mailbox(host: Netns, user: str, uid: int) -> None:
    """An empty mailbox; none for a name that is too long for a file's."""
    with suppress(OSError):
        path = host.directory / "mail" / user
        path.touch(mode=0o660)
        os.chown(path, uid, MAIL_GROUP)
