"""Cyrus 3.6 of Debian 12: imapd and pop3d under its master, each with a twin that speaks TLS from the first byte.

It logs through syslog(3) as `cyrus/SERVICE[pid]`, facility mail, as it comes from Debian; the services are those of its cyrus.conf. Its
passwords are in an sasldb of the test's. A process serves one client after the other; IPv4 and IPv6 have processes of their own.
"""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.deadline import wait_until
from tests.e2e.certificate import self_signed
from tests.e2e.logins import PASSWORD
from tests.e2e.netns import HOSTNAME, Netns
from tests.e2e.syslogds import PEERS_DIRECTORY
from tests.needs import missing, need

PORTS = {"imap": 143, "pop3": 110, "imaps": 993, "pop3s": 995}

INSTALLED = Path("/usr/lib/cyrus/bin")  # what cyrus-common brings
UNPACKED = PEERS_DIRECTORY / "usr/lib/cyrus/bin"

# username_tolower: without it, a name may hold `User logged in` as the server itself writes it.
IMAPD_CONF = """
configdirectory: {directory}/config
defaultpartition: default
partition-default: {directory}/mail
servername: {hostname}
syslog_prefix: cyrus
autocreate_quota: 0
username_tolower: no
popminpoll: 0
failedloginpause: 0
allowplaintext: yes
allowapop: yes
allowanonymouslogin: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {directory}/sasldb
sasl_mech_list: PLAIN CRAM-MD5 SCRAM-SHA-256 ANONYMOUS
tls_server_cert: {certificate}
tls_server_key: {certificate}
"""

CYRUS_CONF = """
START {{
  recover cmd="{installed}/ctl_cyrusdb -C {directory}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{unpacked}/imapd -C {directory}/imapd.conf" listen="143"
  imaps cmd="{unpacked}/imapd -s -C {directory}/imapd.conf" listen="993"
  pop3 cmd="{unpacked}/pop3d -C {directory}/imapd.conf" listen="110"
  pop3s cmd="{unpacked}/pop3d -s -C {directory}/imapd.conf" listen="995"
}}
EVENTS {{
}}
"""


def start(host: Netns, users: Iterable[str]) -> None:
    """Start all four services, for these users, and wait until they take connections. All have one password (logins.PASSWORD)."""
    programs = {"installed": INSTALLED, "unpacked": UNPACKED}
    for program in (INSTALLED / "master", INSTALLED / "ctl_cyrusdb", UNPACKED / "imapd", UNPACKED / "pop3d"):
        if not program.exists():
            missing(f"Cyrus's {program.name}")
    directory = host.directory / "cyrus"
    for part in ("", "config", "config/db", "config/log", "config/msg", "config/socket", "mail"):
        (directory / part).mkdir(mode=0o755)
    make_users(directory / "sasldb", users)
    certificate = self_signed(directory)
    for name, text in (("imapd.conf", IMAPD_CONF), ("cyrus.conf", CYRUS_CONF)):
        (directory / name).write_text(text.format(directory=directory, hostname=HOSTNAME, certificate=certificate, **programs))
    for path in (directory, *directory.rglob("*")):
        shutil.chown(path, "cyrus", "mail")
    files = {"-C": "imapd.conf", "-M": "cyrus.conf", "-p": "pid"}
    host.start("cyrus", INSTALLED / "master", "-D", *(word for option, name in files.items() for word in (option, directory / name)))
    wait_until(lambda: all(host.listens(("127.0.0.1", port)) for port in PORTS.values()), "Cyrus's ports")


def make_users(sasldb: Path, users: Iterable[str]) -> None:
    """libsasl2's sasldb: a Berkeley DB hash of `user NUL realm NUL userPassword` -> the password itself; the realm is the host's name."""
    rows = [(b"\0".join((user.encode(), HOSTNAME.encode(), b"userPassword")), PASSWORD.encode()) for user in users]
    lines = "".join(f" {key.hex()}\n {value.hex()}\n" for key, value in rows)
    dump = f"VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n{lines}DATA=END\n"
    subprocess.run([need("db5.3_load"), sasldb], input=dump, text=True, check=True, capture_output=True, timeout=30)
