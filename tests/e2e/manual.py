"""The shell blocks of a page of deploy/, run as they stand on a host of the test's own: as root, with the system's paths, in order.

The host is that of netns.py, where /etc, /var and /usr/local are overlays that end with it. systemd does not run there: `systemctl` is a
few lines that do with the daemon what deploy/systemd's unit says (a restart is SIGUSR1 and a start), and keep a list of the rest.

A block says what it is behind its fence: `sh` and `sh new` run; `sh freebsd` and `sh elsewhere` do not, and are read by `sh -n`.
"""

import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.appliance import REPOSITORY
from tests.e2e.netns import Netns, mail_host
from tests.e2e.sendmail import CF
from tests.needs import need

BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
RUN = ("sh", "sh new")
READ = ("sh freebsd", "sh elsewhere")
LAYERS = ("/etc", "/var", "/usr/local")
LOGIN = (
    "{stamp} mail1 dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80, TLS, session=<s{number}>"
)
READY = """\
import socket, sys, time
for _ in range(300):
    try:
        with socket.create_connection(("127.0.0.1", 9514), 1) as asked:
            asked.sendall(b"GET /-/ready HTTP/1.0\\r\\n\\r\\n")
            if b" 200 " in asked.recv(64):
                sys.exit(0)
    except OSError:
        pass
    time.sleep(0.05)
sys.exit(1)
"""
SYSTEMCTL = """\
#!/bin/sh
# systemctl for the tests: see manual.py
run={directory}
start() {{
    [ -f $run/pid ] && return
    setsid syslogauth run </dev/null >>$run/syslogauth.out 2>&1 &
    echo $! >$run/pid
    {python} $run/ready.py || {{ echo "the daemon is not ready" >&2; exit 1; }}
}}
end() {{
    [ -f $run/pid ] || return 0
    kill -$1 $(cat $run/pid)
    while kill -0 $(cat $run/pid) 2>/dev/null && ! grep -q '^State:.Z' /proc/$(cat $run/pid)/status; do sleep 0.05; done
    rm $run/pid
}}
echo "$*" >>$run/systemctl.log
case "$*" in
    "start syslogauth.service" | "enable --now syslogauth.service") start ;;
    "stop syslogauth.service" | "disable --now syslogauth.service") end TERM ;;
    "restart syslogauth.service") end USR1; start ;;
    "reload syslogauth.service") syslogauth check-config >/dev/null && kill -HUP $(cat $run/pid) ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Block:
    """`section` is the heading that it stands under."""

    page: str
    line: int
    section: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        before = text[: match.start()]
        section = re.findall(r"^## (.*)$", before, re.MULTILINE)
        inside = textwrap.dedent(match[3]) if match[1] else match[3]
        found.append(Block(page.name, before.count("\n") + 1, section[-1] if section else "", match[2].strip(), inside))
    return found


@dataclass(frozen=True, slots=True)
class Host:
    """A host without syslogauth, but with its program, a sendmail.cf with the shipped rules, and a log of logins."""

    namespace: Netns
    directory: Path

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run it as root's shell would: the first command that fails ends it."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            self.namespace.command("sh", "-eu", "-c", text),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env=environment,
            cwd="/",
        )

    def said(self, text: str) -> str:
        """What it prints; it must end well."""
        done = self.run(text)
        assert 0 == done.returncode, f"{text}\n{done.stdout}{done.stderr}{self.daemon()}"
        return done.stdout

    def daemon(self) -> str:
        """What the daemon has said."""
        log = self.directory / "syslogauth.out"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""


@contextmanager
def administered_host(addresses: dict[str, str], logins: list[tuple[str, str]]) -> Iterator[Host]:
    """`logins`: (user, address), newest last, in /var/log/mail.log, but for the first, which is in mail.log.1."""
    for tool in ("m4", "makemap", "flock", "systemd-sysusers", "setsid"):
        need(tool)
    if not CF.is_dir():
        need("sendmail-cf")
    with mail_host(addresses) as namespace:
        directory = namespace.directory / "host"
        directory.mkdir()
        host = Host(namespace, directory)
        program = f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -P -m syslogauth "$@"\n'
        files = {
            "usr/local/bin/syslogauth": program,
            "usr/local/bin/systemctl": SYSTEMCTL.format(directory=directory, python=sys.executable),
            "usr/local/lib/syslogauth/bin/pip": f'#!/bin/sh\necho pip "$@" >>{directory}/systemctl.log\n',
            "etc/mail/sendmail.mc": f"include(`{CF}/m4/cf.m4')dnl\ndivert(0)dnl\nOSTYPE(`linux')dnl\n"
            "MAILER(`local')dnl\nMAILER(`smtp')dnl\n" + (REPOSITORY / "deploy/sendmail/popauth.mc").read_text(),
            "etc/rsyslog.d/60-syslogauth.conf": (REPOSITORY / "deploy/rsyslog/60-syslogauth.conf").read_text(),
            "var/log/mail.log.1": log_lines(logins[:1], 300),
            "var/log/mail.log": log_lines(logins[1:], 100),
        }
        for name, text in files.items():
            path = directory / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if "/bin/" in name else 0o644)
        (directory / "ready.py").write_text(READY)
        host.said(_layers(directory) + f"cp -r {directory}/files/. /\ncp {namespace.directory}/private/* /etc/ 2>/dev/null || :\n")
        host.said(f"m4 -D_CF_DIR_={CF}/ /etc/mail/sendmail.mc >/etc/mail/sendmail.cf; grep -q '^Kpopauth' /etc/mail/sendmail.cf")
        yield host


def _layers(directory: Path) -> str:
    """The overlays, also over whatever keeps other users from this Python."""
    closed = {
        str(folder)
        for place in (Path(sys.executable), Path(sys.base_prefix), REPOSITORY)
        for folder in (place, *place.parents, *place.resolve().parents)
        if not folder.stat().st_mode & 0o001
    }
    steps = [f"mkdir {directory}/layers", f"mount -t tmpfs -o mode=755 none {directory}/layers"]
    for number, place in enumerate((*LAYERS, *sorted(closed))):
        upper, work = f"{directory}/layers/{number}", f"{directory}/layers/{number}.work"
        steps.append(f"mkdir {upper} {work}")
        steps.append(f"mount -t overlay -o lowerdir={place},upperdir={upper},workdir={work} none {place}")
        if place in closed:
            steps.append(f"chmod a+x {place}")
    return "\n".join(steps) + "\n"


def log_lines(logins: list[tuple[str, str]], seconds_ago: int) -> str:
    """Lines as rsyslogd writes them into a file, one a second."""
    begin = time.time() - seconds_ago
    lines = []
    for number, (user, address) in enumerate(logins):
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(begin + number))
        lines.append(LOGIN.format(stamp=stamp, user=user, address=address, number=number) + "\n")
    return "".join(lines)


def syntax_faults(found: list[Block]) -> list[str]:
    """What `sh -n` says of blocks that are not run here."""
    shell = shutil.which("dash") or "sh"
    said = ((block, subprocess.run([shell, "-n", "-c", block.text], capture_output=True, text=True, check=False)) for block in found)
    return [f"{block}: {done.stderr}" for block, done in said if done.returncode]
