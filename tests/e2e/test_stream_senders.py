"""What rsyslogd and syslog-ng send over TCP and TLS arrives in the table of the running daemon, in each of their framings.

One rsyslogd and one syslog-ng have a way for each address: whose login has come shows which way works.
"""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.appliance import REPOSITORY, free_port
from tests.authority import Authority, Pair
from tests.deadline import wait_until
from tests.e2e.syslogds import PEERS_DIRECTORY, UNPACKED
from tests.needs import missing, need
from tests.running import Site

LINE = "<22>Nov 22 10:09:49 dovecot: imap-login: Login: user=<alice>, method=PLAIN, rip={}, lip=192.0.2.1, mpid=80, TLS"
UW_LINE = "<22>Nov 22 10:09:49 imapd[80]: Login user=alice host=client.example.net [{}]"
NETWORK = "198.51.100."
DEPLOY = REPOSITORY / "deploy/rsyslog"
DRIVERS = Path("/usr/lib/x86_64-linux-gnu/rsyslog")

RSYSLOG_WAYS = {  # the address that goes this way -> its action
    "1": 'port="{tcp}"',
    "2": 'port="{tcp}" TCP_Framing="octet-counted"',
    "3": 'port="{tcp}" TCP_FrameDelimiter="0"',
    "4": 'port="{tcp}" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"',
    "5": 'port="{tls}" {gtls}',
    "6": 'port="{tls}" TCP_Framing="octet-counted" {gtls}',
    "7": 'port="{tls}" TCP_Framing="octet-counted" {ossl}',
}
SYSLOG_NG_WAYS = {
    "21": 'network("127.0.0.1" port({tcp}) transport("tcp") persist-name("21"))',
    "22": 'syslog("127.0.0.1" port({tcp}) transport("tcp") persist-name("22"))',
    "23": 'network("127.0.0.1" port({tls}) transport("tls") {secure} persist-name("23"))',
    "24": 'syslog("127.0.0.1" port({tls}) transport("tls") {secure} persist-name("24"))',
}


@dataclass
class Receiving:
    site: Site
    tcp: int
    tls: int
    authority: Authority
    peer: Pair

    def counts(self) -> dict[str, float]:
        return self.site.figures()


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    directory = tmp_path_factory.mktemp("receiving")
    authority = Authority.make(directory)
    ours = authority.issue("ours", "log.example.org", "127.0.0.1")
    peer = authority.issue("mail1", "mail1.example.org")
    site = Site(directory / "site")
    tcp, tls = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    site.text = (
        site.text.replace(f'udp = ["127.0.0.1:{site.udp[1]}"]', f'udp = []\ntcp = ["127.0.0.1:{tcp}"]\ntls = ["127.0.0.1:{tls}"]')
        + f'[tls]\ncertificate = "{ours.certificate}"\nkey = "{ours.key}"\nclient_ca = "{authority.own.certificate}"\n'
        + '[[tls.peer]]\nname = "mail1"\nsubjects = ["mail1.example.org"]\n'
    )
    site.configure(site.text)
    site.start()
    try:
        yield Receiving(site, tcp, tls, authority, peer)
    finally:
        site.appliance.stop()


@contextmanager
def daemon(directory: Path, *command: str | Path, libraries: Path | None = None) -> Iterator[Path]:
    """It runs, and reads the socket that is given."""
    log = directory / "log"
    environment = {**os.environ, **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})}
    with (directory / "out").open("ab") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
    try:
        wait_until(lambda: log.is_socket() or process.poll() is not None, "its socket")
        assert process.poll() is None, (directory / "out").read_text()
        yield log
    finally:
        process.terminate()
        process.wait(15)


@contextmanager
def rsyslogd_with(directory: Path, actions: str) -> Iterator[Path]:
    program = need("rsyslogd")
    for driver in ("gtls", "ossl"):
        if not (DRIVERS / f"lmnsd_{driver}.so").exists():
            missing(f"rsyslog's driver {driver}")
    configuration = directory / "rsyslog.conf"
    configuration.write_text(
        f'global(workDirectory="{directory}")\nmodule(load="imuxsock" SysSock.Use="off")\n'
        f'input(type="imuxsock" Socket="{directory}/log")\n{actions}\n'
    )
    with daemon(directory, program, "-n", "-f", configuration, "-i", directory / "pid") as log:
        yield log


def rsyslogd(to: Receiving, directory: Path) -> AbstractContextManager[Path]:
    files = f'CAFile="{to.authority.own.certificate}" StreamDriver.CertFile="{to.peer.certificate}" StreamDriver.KeyFile="{to.peer.key}"'
    secure = f'StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="log.example.org" StreamDriver.{files}'
    values = {"tcp": to.tcp, "tls": to.tls} | {driver: f'StreamDriver="{driver}" {secure}' for driver in ("gtls", "ossl")}
    actions = "\n".join(
        f'if $msg contains "{NETWORK}{number}," or $msg contains "{NETWORK}{number}]" then '
        f'action(type="omfwd" target="127.0.0.1" protocol="tcp" {way.format(**values)})'
        for number, way in RSYSLOG_WAYS.items()
    )
    return rsyslogd_with(directory, actions)


def rsyslogd_as_shipped(to: Receiving, directory: Path) -> AbstractContextManager[Path]:
    return rsyslogd_with(directory, shipped("60-syslogauth-tls.conf", to))


def rsyslogd_by_one_line(to: Receiving, directory: Path) -> AbstractContextManager[Path]:
    (line,) = re.findall(r"^#(mail\.info @@\(o\)127.*)$", shipped("60-syslogauth-tls.conf", to), re.MULTILINE)
    return rsyslogd_with(directory, line)


def syslog_ng_as_shipped(to: Receiving, directory: Path) -> AbstractContextManager[Path]:
    return syslog_ng_with(directory, shipped("syslog-ng-tls.conf", to))


@contextmanager
def syslog_ng_with(directory: Path, ways: str) -> Iterator[Path]:
    unpacked = UNPACKED["syslog-ng"]
    program = str(unpacked) if unpacked.exists() else need("syslog-ng")
    libraries = PEERS_DIRECTORY / "usr/lib/syslog-ng"
    configuration = directory / "syslog-ng.conf"
    configuration.write_text(f'@version: 3.38\nsource s_src {{ unix-dgram("{directory}/log"); }};\n{ways}\n')
    where = {"pidfile": "pid", "control": "control", "persist-file": "persist"}
    options = [f"--{option}={directory / name}" for option, name in where.items()]
    modules = f"--module-path={next(libraries.glob('[0-9]*'), libraries)}"
    with daemon(
        directory, program, "--foreground", "--no-caps", modules, f"--cfgfile={configuration}", *options, libraries=libraries
    ) as log:
        yield log


def syslog_ng(to: Receiving, directory: Path) -> AbstractContextManager[Path]:
    files = f'ca-file("{to.authority.own.certificate}") cert-file("{to.peer.certificate}") key-file("{to.peer.key}")'
    values = {"tcp": to.tcp, "tls": to.tls, "secure": f"tls({files} peer-verify(required-trusted))"}
    ways = "\n".join(
        f'log {{ source(s_src); filter {{ message("{NETWORK}{number}[],]" type("pcre")); }}; destination {{ {way.format(**values)}; }}; }};'
        for number, way in SYSLOG_NG_WAYS.items()
    )
    return syslog_ng_with(directory, ways)


def shipped(name: str, to: Receiving) -> str:
    """A file of deploy/ with this test's places and paths."""
    text = (DEPLOY / name).read_text()
    for there, here in {
        "/etc/syslogauth/ca.pem": to.authority.own.certificate,
        "/etc/syslogauth/mail1.pem": to.peer.certificate,
        "/etc/syslogauth/mail1.key": to.peer.key,
        "6514": to.tls,
        "601": to.tcp,
    }.items():
        assert there in text
        text = text.replace(there, str(here))
    return text


def say(log: Path, *lines: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for line in lines:
            sender.sendto(line.encode(), str(log))


SENDERS: dict[str, tuple[Callable[[Receiving, Path], AbstractContextManager[Path]], Collection[str], Collection[str]]] = {
    "rsyslogd": (rsyslogd, RSYSLOG_WAYS, {"2", "4", "6", "7"}),
    "rsyslogd as shipped": (rsyslogd_as_shipped, {"31"}, {"31"}),
    "rsyslogd by one line": (rsyslogd_by_one_line, {"32"}, {"32"}),
    "syslog-ng": (syslog_ng, SYSLOG_NG_WAYS, {"22", "24"}),
    "syslog-ng as shipped": (syslog_ng_as_shipped, {"33"}, {"33"}),
}


@pytest.mark.parametrize("name", SENDERS)
def test_logins_come_by_every_way_and_uw_s_only_where_messages_are_counted(name: str, receiving: Receiving, tmp_path: Path) -> None:
    sender, ways, counted = SENDERS[name]
    before = receiving.counts()
    with sender(receiving, tmp_path) as log:
        say(log, *(LINE.format(NETWORK + number) for number in ways))
        addresses = {NETWORK + number for number in ways}
        wait_until(lambda: addresses <= receiving.site.keys(), f"all of {addresses} in the map, {(tmp_path / 'out').read_text()}", 20)
        say(log, *(UW_LINE.format(NETWORK + number) for number in ways))
        awaited = 2 * len(ways) + sum(value for key, value in before.items() if key.startswith("datagrams_received"))
        received = ("datagrams_received_total tcp", "datagrams_received_total tls")
        wait_until(lambda: awaited <= sum(receiving.counts()[key] for key in received), "UW's lines")
        figures = receiving.counts()
    by_uw = figures.get("logins_total uw imap", 0) - before.get("logins_total uw imap", 0)
    refused = figures["outcomes_total unescaped_source"] - before["outcomes_total unescaped_source"]
    assert (len(counted), len(ways) - len(counted)) == (by_uw, refused)
    outcomes = sum(value for key, value in figures.items() if key.startswith("outcomes_total"))
    assert outcomes == sum(figures[key] for key in received)
