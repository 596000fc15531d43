"""Courier's IMAP and POP3 servers of Debian 12, over TLS too, each as its init script starts it: couriertcpd under courierlogger.

The programs write to standard error. courierlogger, one a service, sends what it reads to syslog(3), facility mail, under the name of the
service and without a process id. It reads 511 bytes at a time: the rest of a longer line becomes a line of its own.
What Courier has compiled in as its paths, /etc/courier and /run/courier, is private to the processes started here.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.deadline import wait_until
from tests.e2e.certificate import self_signed
from tests.e2e.logins import PASSWORD
from tests.e2e.netns import Netns
from tests.e2e.syslogds import PEERS_DIRECTORY
from tests.needs import missing, need

PORTS = {"imapd": 143, "pop3d": 110, "imapd-ssl": 993, "pop3d-ssl": 995}
CUT_AT = 511 - len("INFO: ")  # bytes of a line's text that courierlogger sends
REST_AT_MOST = 511  # bytes of the line that it makes of the rest
NOBODY = 65534

LIBRARY = Path("/usr/lib/courier")
AUTHDAEMOND = LIBRARY / "courier-authlib/authdaemond"
MAKEDAT = LIBRARY / "courier-authlib/makedatprog"
UNPACKED = PEERS_DIRECTORY / "usr"
PROGRAMS = {
    "imapd": (UNPACKED / "lib/courier/courier/imaplogin", UNPACKED / "bin/imapd"),
    "pop3d": (UNPACKED / "lib/courier/courier/courierpop3login", UNPACKED / "lib/courier/courier/courierpop3d"),
}

PRIVATE = """
mkdir -p /run/courier
mount --bind "$1/etc" /etc/courier && mount --bind "$1/run" /run/courier && shift && exec "$@"
"""

AUTHDAEMONRC = """
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=5
authdaemonvar=/run/courier/authdaemon
"""

# What the files imapd, imapd-ssl, pop3d and pop3d-ssl of /etc/courier hold
ENVIRONMENT = {
    "IMAP_CAPABILITY": "IMAP4rev1 AUTH=CRAM-MD5 AUTH=PLAIN",
    "IMAP_CAPABILITY_TLS": "IMAP4rev1 AUTH=PLAIN",
    "IMAP_MAILBOX_SANITY_CHECK": "0",
    "POP3AUTH": "PLAIN LOGIN CRAM-MD5",
    "POP3AUTH_TLS": "LOGIN PLAIN",
    "TLS_VERIFYPEER": "NONE",
}
ENVIRONMENT_TLS = {"imapd": {"IMAP_TLS": "1"}, "pop3d": {"POP3_TLS": "1"}}


def start(host: Netns, users: Iterable[str]) -> None:
    """Start all four services, for these users, and wait until they take connections. All have one password (logins.PASSWORD)."""
    logger, tcpd, tls = (need(tool) for tool in ("courierlogger", "couriertcpd", "couriertls"))
    for program in (AUTHDAEMOND, MAKEDAT, *PROGRAMS["imapd"], *PROGRAMS["pop3d"]):
        if not program.exists():
            missing(program.name)
    directory = host.directory / "courier"
    for part in ("", "etc", "run", "run/authdaemon", "mail"):
        (directory / part).mkdir(mode=0o755)
    make_users(directory, users)
    certificate = self_signed(directory)
    (directory / "etc/authdaemonrc").write_text(AUTHDAEMONRC)

    def run(name: str, *argv: str | Path, more: Mapping[str, str] | None = None) -> None:
        environment = {**ENVIRONMENT, "COURIERTLS": tls, "TLS_CERTFILE": str(certificate), **(more or {})}
        host.start(name, "unshare", "--mount", "sh", "-ec", PRIVATE, "sh", directory, *argv, environment=environment)

    run("authdaemond", "sh", "-c", 'set -a; . /etc/courier/authdaemonrc; exec "$@"', "sh", logger, "-name=authdaemond", AUTHDAEMOND)
    wait_until((directory / "run/authdaemon/socket").is_socket, "authdaemond's socket")
    for service, port in PORTS.items():
        protocol, _, over_tls = service.partition("-")
        limits = ["-address=0", "-maxprocs=200", "-maxperip=20", "-nodnslookup", "-noidentlookup"]
        tls_first = [tls, "-server", "-tcpd", "-user=courier"] if over_tls else []
        more = ENVIRONMENT_TLS[protocol] if over_tls else None
        run(service, logger, f"-name={service}", tcpd, *limits, str(port), *tls_first, *PROGRAMS[protocol], "Maildir", more=more)
    wait_until(lambda: all(host.listens(("127.0.0.1", port)) for port in PORTS.values()), "Courier's ports")


def make_users(directory: Path, users: Iterable[str]) -> None:
    """userdb(8) and its shadow: a database of Courier's own from lines `name <tab> field=value|..`, up to a line with a dot."""
    hashed = _said(need("openssl"), "passwd", "-6", PASSWORD)
    hmac_md5 = _said(need("userdbpw"), "-hmac-md5", asked=f"{PASSWORD}\n{PASSWORD}\n")
    home = directory / "mail"
    for folder in (home, home / "Maildir", *(home / "Maildir" / name for name in ("cur", "new", "tmp"))):
        folder.mkdir(exist_ok=True)
        os.chown(folder, NOBODY, NOBODY)
    account = f"uid={NOBODY}|gid={NOBODY}|home={home}|mail={home}/Maildir"
    for name, fields in (("userdb.dat", account), ("userdbshadow.dat", f"systempw={hashed}|hmac-md5pw={hmac_md5}")):
        lines = "".join(f"{user}\t{fields}\n" for user in users)
        _said(str(MAKEDAT), "-", str(directory / "etc/new"), str(directory / "etc" / name), asked=f"{lines}.\n")


def _said(*command: str, asked: str = "") -> str:
    return subprocess.run(command, input=asked, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
