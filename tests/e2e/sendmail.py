"""The customer's sendmail: a cf that m4 makes from an .mc with exactly the rules of the manual, the daemon, and a client that asks it.

The daemon listens on port 25 of every address of a mail host's private network, through one socket of both families. It relays for the
clients that the map lists, by check_rcpt alone: it knows no local host name but its own and has no access database. It takes no notice of
the load, and asks no ident.
sendmail always relays for 127.0.0.1 and ::1, so a client needs another address. It would do so for every address of its own interfaces
too, and the clients' are among these here: hence DontProbeInterfaces.
"""

import re
import socket
import subprocess
from pathlib import Path

from tests.deadline import wait_until
from tests.e2e.netns import HOSTNAME, Netns
from tests.needs import need

CF = Path("/usr/share/sendmail/cf")  # Debian's sendmail-cf
PORT = 25
RECIPIENT = "somebody@elsewhere.example"
LOOKED_UP = re.compile(rb"map_lookup: popauth \((?P<key>[^)]*)\) (?:returns (?P<value>.*) \(0\)|no match \(0\))")
REPLY_END = re.compile(rb"^\d{3} .*\r\n\Z", re.MULTILINE)

MC = """\
divert(-1)
define(`_CF_DIR_', `{cf}/')
include(`{cf}/m4/cf.m4')
VERSIONID(`syslogauth test')
OSTYPE(`linux')
define(`confDOMAIN_NAME', `{hostname}')
define(`confPID_FILE', `{directory}/sendmail.pid')
define(`QUEUE_DIR', `{directory}/queue')
define(`STATUS_FILE', `{directory}/statistics')
define(`ALIAS_FILE', `')
define(`confCT_FILE', `-o {directory}/none')
define(`confCR_FILE', `-o {directory}/none')
define(`confHOSTS_FILE', `/etc/hosts')
define(`confTO_IDENT', `0')
define(`confREFUSE_LA', `1000')
define(`confQUEUE_LA', `1000')
define(`confDELAY_LA', `0')
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')
define(`confTRUSTED_USER', `root')
define(`confDONT_PROBE_INTERFACES', `True')
{relay}
FEATURE(`no_default_msa')
FEATURE(`nocanonify')
FEATURE(`accept_unresolvable_domains')
DAEMON_OPTIONS(`Name=MTA, Family=inet6, Addr=::, Port={port}')
MAILER(`local')
MAILER(`smtp')
LOCAL_CONFIG
Kpopauth hash -a<OK> {map_path}
LOCAL_RULESETS
SLocal_check_rcpt
R$*\t$: $(popauth $&{{client_addr}} $: <?> $)
R<?>\t$@ NoPopAuth
R$*<OK>\t$# OK
"""

RELAY = """\
define(`SMART_HOST', `esmtp:[{address}]')
define(`ESMTP_MAILER_ARGS', `TCP $h {port}')"""


def build_cf(directory: Path, map_path: Path, relay_to: tuple[str, int] | None = None) -> Path:
    """Write sendmail.mc and sendmail.cf in `directory`, which is made. `map_path` is the K line's, without `.db`.

    All mail that is accepted goes to `relay_to`, an address of the private network and a port; without it, to nobody that exists.
    """
    need("m4")
    if not CF.is_dir():
        need("sendmail-cf")
    directory.mkdir(mode=0o755, exist_ok=True)
    (directory / "queue").mkdir(mode=0o700, exist_ok=True)
    (directory / "statistics").touch()
    relay = RELAY.format(address=relay_to[0], port=relay_to[1]) if relay_to else ""
    mc, cf = directory / "sendmail.mc", directory / "sendmail.cf"
    mc.write_text(MC.format(cf=CF, hostname=HOSTNAME, directory=directory, relay=relay, port=PORT, map_path=map_path))
    cf.write_bytes(subprocess.run(["m4", mc], check=True, capture_output=True).stdout)
    return cf


def start(host: Netns, map_path: Path, relay_to: tuple[str, int] | None = None) -> Path:
    """Start the daemon in the mail host, wait until it takes connections, and return its cf."""
    program = need("sendmail")
    cf = build_cf(host.directory / "sendmail", map_path, relay_to)
    # -bD stays in the foreground; -q1s tries again soon what the sink did not take at once.
    host.start("sendmail", program, "-bD", "-q1s", "-C", cf)
    wait_until(lambda: host.listens(("127.0.0.1", PORT)), "sendmail's SMTP port", 30)
    return cf


class AddressTest:
    """`sendmail -bt` in the mail host, kept open: it looks keys up as the daemon does, lock, check of the mtime and reopening included."""

    def __init__(self, host: Netns, map_path: Path) -> None:
        program = need("sendmail")
        cf = build_cf(host.directory / "sendmail", map_path)
        self.process = subprocess.Popen(
            host.command(program, "-C", cf, "-bt"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> "AddressTest":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def get(self, key: bytes) -> bytes | None:
        """What the K line makes of the key, `OK<OK>` for one that is listed; None where there is none."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"/map popauth %s\n" % key)
        self.process.stdin.flush()
        for line in self.process.stdout:
            if answer := LOOKED_UP.search(line):
                assert answer["key"] == key, line
                return answer["value"]
        raise AssertionError("sendmail -bt has ended")


class Session:
    """An SMTP session from one address of the private network, after HELO."""

    def __init__(self, host: Netns, source: str, server: str) -> None:
        self.socket = host.connect(source, (server, PORT), 30)
        self.greeting = self.reply()
        self.command("EHLO client.example")

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reply(self) -> str:
        """The reply of the server, all its lines; what there is of it where the server ends the connection."""
        said = b""
        while not REPLY_END.search(said) and (more := self.socket.recv(4096)):
            said += more
        return said.decode("ascii", "replace").rstrip()

    def command(self, line: str) -> str:
        """Send one command and return the reply."""
        self.socket.sendall(f"{line}\r\n".encode())
        return self.reply()

    def rcpt(self, recipient: str = RECIPIENT) -> str:
        """The reply to RCPT in a transaction of its own."""
        self.command("RSET")
        self.command("MAIL FROM:<sender@elsewhere.example>")
        return self.command(f"RCPT TO:<{recipient}>")

    def send(self, text: str, recipient: str = RECIPIENT) -> str:
        """Send a whole message; the first reply that is no success, else the reply to its last line."""
        for said in (self.rcpt(recipient), self.command("DATA")):
            if not said.startswith(("2", "3")):
                return said
        return self.command(f"{text}\r\n.")

    def close(self) -> None:
        """End the session as a client does."""
        try:
            self.command("QUIT")
        except OSError:
            pass
        finally:
            self.socket.close()


def rcpt(host: Netns, source: str, server: str, recipient: str = RECIPIENT) -> int:
    """The code that answers RCPT in a session of its own: 250 relayed, 550 refused, 0 where the server hung up."""
    with Session(host, source, server) as session:
        return int(session.rcpt(recipient)[:3] or 0)


def syslog_socket(host: Netns) -> socket.socket:
    """The private /dev/log, for a test that reads the log itself instead of starting a syslog daemon."""
    path = f"/proc/{host.pid}/root/dev/log"
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(path)
    Path(path).chmod(0o666)
    return log
