"""What deploy/ ships, tried with the real programs: the .mc files, the map's creation, the forwarding configurations."""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth.exports import hash9
from syslogauth.exports.sendmail_hash import identify
from tests.appliance import REPOSITORY, clean_environment
from tests.deadline import wait_until
from tests.e2e.netns import Netns, mail_host
from tests.e2e.sendmail import CF
from tests.e2e.syslogds import PEERS_DIRECTORY, UNPACKED
from tests.needs import need

DEPLOY = REPOSITORY / "deploy"
NOBODY = 65534
LISTED, ABSENT = "192.0.2.25", "192.0.2.26"
MAP_IN_MC = "/etc/mail/popauth"
RULES = """\
SLocal_check_rcpt
R$*\t$: $(popauth $&{client_addr} $: <?> $)
R<?>\t$@ NoPopAuth
R$*<OK>\t$# OK
"""
SITE = """\
divert(0)dnl
OSTYPE(`linux')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""
OK = "Local_check_rcpt returns: $# OK"
NOT_LISTED = "Local_check_rcpt returns: NoPopAuth"
TEMPFAIL = 'Local_check_rcpt returns: $# error $@ 4 . 7 . 1 $: "451 Try again, popauth lookup failed"'
FORWARDED_TO = ("127.0.0.1", 5140)
SAID = "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, session=<x>"


@pytest.fixture(scope="module")
def host() -> Iterator[Netns]:
    need("root")
    with mail_host({LISTED: "mail1.example.org"}) as namespace:
        yield namespace


@pytest.fixture
def map_path(host: Netns) -> Iterator[Path]:
    """Where a map is to be, without `.db`, in a directory that sendmail trusts."""
    directory = host.directory / "mail"
    directory.mkdir(mode=0o755)
    yield directory / "popauth"
    shutil.rmtree(directory)


def build_cf(name: str, map_path: Path) -> Path:
    """sendmail.cf of an .mc that ends in the shipped lines, as the manual says; only the map's place is another."""
    need("m4")
    if not CF.is_dir():
        need("sendmail-cf")
    shipped = (DEPLOY / "sendmail" / name).read_text()
    assert 1 == shipped.count(MAP_IN_MC + "\n")
    mc, cf = map_path.with_name("sendmail.mc"), map_path.with_name("sendmail.cf")
    mc.write_text(SITE + shipped.replace(MAP_IN_MC + "\n", f"{map_path}\n"))
    made = subprocess.run(["m4", f"-D_CF_DIR_={CF}/", CF / "m4/cf.m4", mc], check=True, capture_output=True, text=True)
    cf.write_text(made.stdout)
    return cf


def answers(host: Netns, cf: Path, address: str) -> tuple[str, str]:
    """What `sendmail -bt` says of the address: the ruleset's last word, and the map's."""
    asked = f".D{{client_addr}}{address}\nLocal_check_rcpt x\n/map popauth {address}\n/quit\n"
    done = subprocess.run(
        host.command(need("sendmail"), "-C", cf, "-bt"), input=asked, check=False, capture_output=True, text=True, timeout=60
    )
    ruleset = re.findall(r"^(?:> )?(Local_check_rcpt +returns: .*)$", done.stdout, re.MULTILINE)
    looked_up = re.findall(r"^(?:> )?map_lookup: popauth \(\S+\) (.*)$", done.stdout, re.MULTILINE)
    assert (1, 1) == (len(ruleset), len(looked_up)), done.stdout + done.stderr
    return ruleset[0].rstrip(), looked_up[0].rstrip()


def create_as_the_manual_says(map_path: Path) -> Path:
    """Run the line of README.md, for a user that this machine has."""
    (line,) = re.findall(r"^install -o .*popauth\.db$", (DEPLOY / "sendmail/README.md").read_text(), re.MULTILINE)
    live = map_path.with_name("popauth.db")
    words = line.replace("-o syslogauth", f"-o {NOBODY}").replace(f"{MAP_IN_MC}.db", str(live)).split()
    subprocess.run(words, check=True)
    return live


@pytest.mark.parametrize("name", ["popauth.mc", "popauth-tempfail.mc"])
def test_the_rules_are_the_customers_with_their_tabs(name: str, map_path: Path) -> None:
    rules = (DEPLOY / "sendmail" / name).read_text().partition("LOCAL_RULESETS\n")[2]
    assert rules.startswith(RULES)
    assert RULES in build_cf(name, map_path).read_text()


@pytest.mark.parametrize("name", ["popauth.mc", "popauth-tempfail.mc"])
def test_sendmail_answers_as_documented(name: str, host: Netns, map_path: Path) -> None:
    cf = build_cf(name, map_path)
    map_path.with_name("popauth.db").write_bytes(hash9.render([LISTED.encode()]))
    assert (OK, "returns OK<OK> (0)") == answers(host, cf, LISTED)
    assert (NOT_LISTED, "no match (0)") == answers(host, cf, ABSENT)


@pytest.mark.parametrize(("name", "expected"), [("popauth.mc", NOT_LISTED), ("popauth-tempfail.mc", TEMPFAIL)])
@pytest.mark.parametrize("broken", [None, b"", hash9.render([LISTED.encode()])[:100]], ids=["missing", "no bytes", "torn"])
def test_a_broken_map_is_550_or_451_as_documented(broken: bytes | None, name: str, expected: str, host: Netns, map_path: Path) -> None:
    cf = build_cf(name, map_path)
    if broken is not None:
        map_path.with_name("popauth.db").write_bytes(broken)
    ruleset, looked_up = answers(host, cf, LISTED)
    assert expected == ruleset
    assert looked_up in {"no match (69)", "no match (75)"}


def test_a_map_made_as_the_manual_says_is_filled_by_the_daemons_user_and_read_by_sendmail(host: Netns, map_path: Path) -> None:
    cf, live = build_cf("popauth.mc", map_path), create_as_the_manual_says(map_path)
    made = live.stat()
    state = host.directory / "state"
    state.mkdir(mode=0o750)
    os.chown(state, NOBODY, NOBODY)
    config = host.directory / "syslogauth.toml"
    config.write_text(f'state_directory = "{state}"\n[[export]]\npath = "{map_path}"\n')
    try:
        for words in (("grant", LISTED), ("export",)):
            subprocess.run(
                [sys.executable, "-m", "syslogauth", *words, "--config", config], check=True, cwd="/", env=clean_environment(), timeout=60
            )
    finally:
        shutil.rmtree(state)
    found = live.stat()
    assert (made.st_ino, NOBODY, 0, 0o640) == (found.st_ino, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    assert "hash9" == identify(live.read_bytes())
    assert (OK, "returns OK<OK> (0)") == answers(host, cf, LISTED)


def test_makemap_by_root_refuses_the_map_and_lists_it_under_the_lock(map_path: Path) -> None:
    makemap, flock = need("makemap"), need("flock")
    need("root")
    live = create_as_the_manual_says(map_path)
    live.write_bytes(hash9.render([LISTED.encode()]))
    refused = subprocess.run([makemap, "hash", map_path], input="192.0.2.9\tOK\n", capture_output=True, text=True, check=False)
    assert 0 != refused.returncode
    assert "Permission denied" in refused.stderr
    listed = subprocess.run([flock, "-s", live, makemap, "-u", "hash", map_path], capture_output=True, text=True, check=True)
    assert f"{LISTED}\tOK\n" == listed.stdout


def received(host: Netns, listener: socket.socket) -> bytes:
    """The first datagram that carries what logger(1) is given, which is said again until it arrives."""
    listener.settimeout(0.5)
    need("logger")

    def look() -> bytes:
        subprocess.run(host.command("logger", "-p", "mail.info", "-t", "dovecot", SAID), check=True, timeout=10)
        subprocess.run(host.command("logger", "-p", "user.info", "-t", "other", SAID), check=True, timeout=10)
        try:
            return listener.recv(8192)
        except TimeoutError:
            return b""

    return wait_until(look, "a forwarded datagram", 20)


@pytest.fixture
def listener(host: Netns) -> Iterator[socket.socket]:
    """A socket where the shipped configurations send to."""

    def bind() -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(FORWARDED_TO)
        return bound

    with host.inside(bind) as bound:
        yield bound


@pytest.fixture
def directory(host: Netns) -> Iterator[Path]:
    made = host.directory / "syslogd"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def test_rsyslogd_accepts_the_configuration() -> None:
    shipped = DEPLOY / "rsyslog/60-syslogauth.conf"
    checked = subprocess.run([need("rsyslogd"), "-N1", "-f", shipped], capture_output=True, text=True, check=False)
    assert 0 == checked.returncode, checked.stderr
    assert not re.search("error|warning|invalid", checked.stderr, re.IGNORECASE), checked.stderr


def test_rsyslogd_refuses_a_broken_one(tmp_path: Path) -> None:
    broken = tmp_path / "rsyslog.conf"
    broken.write_text((DEPLOY / "rsyslog/60-syslogauth.conf").read_text().replace('protocol="udp"', 'protokol="udp"'))
    checked = subprocess.run([need("rsyslogd"), "-N1", "-f", broken], capture_output=True, text=True, check=False)
    assert "protokol" in checked.stderr


@pytest.mark.parametrize("form", ["action", "line"])
def test_rsyslogd_sends_mail_and_nothing_else(form: str, host: Netns, directory: Path, listener: socket.socket) -> None:
    shipped = (DEPLOY / "rsyslog/60-syslogauth.conf").read_text()
    if form == "line":
        (line,) = re.findall(r"^#(mail\.info @127.*)$", shipped, re.MULTILINE)
        shipped = f"{line}\n"
    configuration = directory / "rsyslog.conf"
    configuration.write_text(f'global(workDirectory="{directory}")\nmodule(load="imuxsock")\n{shipped}')
    daemon = host.start("rsyslogd", need("rsyslogd"), "-n", "-f", configuration, "-i", directory / "pid")
    try:
        datagram = received(host, listener)
    finally:
        end(host, daemon, directory / "pid")
    assert re.fullmatch(rb"<22>\w{3} [ \d]\d [\d:]{8} mail1 dovecot: " + re.escape(SAID).encode(), datagram), datagram


def syslog_ng(configuration: Path, directory: Path) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of the unpacked syslog-ng, with this configuration and the shipped one in it."""
    unpacked = UNPACKED["syslog-ng"]
    program = str(unpacked) if unpacked.exists() else need("syslog-ng")
    libraries = PEERS_DIRECTORY / "usr/lib/syslog-ng"
    configuration.write_text(f"""\
@version: 3.38
source s_src {{ unix-dgram("/dev/log"); }};
@include "{DEPLOY / "rsyslog/syslog-ng.conf"}"
""")
    options = ["--no-caps", f"--module-path={next(libraries.glob('[0-9]*'), libraries)}", f"--cfgfile={configuration}"]
    files = [f"--{option}={directory / name}" for option, name in {"pidfile": "pid", "control": "c", "persist-file": "p"}.items()]
    return [program, *options, *files], {"LD_LIBRARY_PATH": str(libraries)}


def test_syslog_ng_accepts_the_configuration(tmp_path: Path) -> None:
    command, environment = syslog_ng(tmp_path / "syslog-ng.conf", tmp_path)
    checked = subprocess.run([*command, "--syntax-only"], capture_output=True, text=True, check=False, env=os.environ | environment)
    assert (0, "") == (checked.returncode, checked.stderr)


def test_syslog_ng_sends_mail_and_nothing_else(host: Netns, directory: Path, listener: socket.socket) -> None:
    command, environment = syslog_ng(directory / "syslog-ng.conf", directory)
    daemon = host.start("syslog-ng", *command, "--foreground", environment=environment)
    try:
        datagram = received(host, listener)
    finally:
        end(host, daemon, directory / "pid")
    assert re.fullmatch(rb"<22>\w{3} [ \d]\d [\d:]{8} mail1 dovecot: " + re.escape(SAID).encode() + rb"\n", datagram), datagram


def end(host: Netns, daemon: subprocess.Popen[bytes], pidfile: Path) -> None:
    """Stop a syslog daemon, and take its socket away for the next."""
    pid = wait_until(lambda: pidfile.exists() and pidfile.read_text().strip(), "the pid file")
    subprocess.run(host.command("kill", pid), check=True)
    daemon.wait(20)
    Path(f"/proc/{host.pid}/root/dev/log").unlink(missing_ok=True)


def test_the_lines_for_syslog_conf_have_tabs() -> None:
    text = (DEPLOY / "syslog.conf.snippet").read_text()
    active = [line for line in text.splitlines() if line and not line.startswith("#")]
    offered = re.findall(r"^#(?=\w+\.\w+\s)(.*@.*)$", text, re.MULTILINE)
    assert ["mail.info\t@127.0.0.1:5140"] == active
    assert len(offered) >= 5
    assert [] == [line for line in offered if not re.fullmatch(r"(mail|local0|local6|daemon)\.info\t@(\[[0-9a-f:]+\]|[\d.]+)(:\d+)?", line)]
