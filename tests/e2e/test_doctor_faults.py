"""`syslogauth doctor` on faults that are really made: an appliance where nothing is wrong, and others where much is, in one network.

Each fault has a row that names what is said of it; of the same subject nothing but OK is said where it was not made. What no namespace
lets a test make stays with the judging function in tests/unit: a network file system, kern.ipc.maxsockbuf, an (un)synchronised clock.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from syslogauth.exports import hash9
from syslogauth.record import Bounds
from syslogauth.table import Table
from tests.appliance import Appliance, configuration
from tests.authority import Authority, Pair
from tests.deadline import wait_until
from tests.e2e.netns import Netns, mail_host
from tests.needs import need
from tests.running import LOGIN, A

PUBLIC = "8.8.8.8"  # of the private network's loopback interface alone
SPEAKS, MUTE = "192.0.2.5", "192.0.2.6"
OF_ROOT = "is root's, so that the daemon runs as root"  # as it does where the tests run
DISK = "/var/tmp"  # noqa: S108 - what is there outlives a boot; mail_host()'s own directory may lie on a tmpfs
PAGE_BYTES = 4096
SMALLEST_FILE_BYTES = 64 << 20
SILENT_SECONDS = 0.1
Told = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Installed:
    """An appliance in a directory of its own below the host's. Inside, the state directory may be another than outside: `state`."""

    host: Netns
    directory: Path
    number: int
    text: str
    appliance: Appliance

    @property
    def state(self) -> Path:
        return Path(f"/proc/{self.host.pid}/root") / (self.directory / "state").relative_to("/")

    def mount_state(self, *words: str) -> None:
        subprocess.run(self.host.command("mount", *words, self.directory / "state"), check=True)

    def start(self) -> None:
        self.appliance.start()
        self.appliance.wait_ready()

    def log_in(self, addresses: Sequence[str], source: str = "127.0.0.1") -> None:
        """As users of whom none is at many addresses, with long names."""

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((source, 0))
                for address in addresses:
                    user = address.rpartition(".")[0] + "u" * 190
                    line = LOGIN.format(service="imap", user=user, address=address)
                    sender.sendto(line.encode(), ("127.0.0.1", 5140 + self.number))

        self.host.inside(send)

    def until(self, figure: str, value: float) -> None:
        wait_until(lambda: self.appliance.figures().get(figure) == value, f"{figure} to be {value}")

    def doctor(self) -> Told:
        done = self.appliance.ask("doctor", "--json")
        assert (True, "") == (done.returncode in (0, 1), done.stderr), done.stdout
        found: Told = json.loads(done.stdout)
        assert (done.returncode == 1) == ("FAIL" in [finding["level"] for finding in found])
        return found


def installed(
    host: Netns, number: int, *, tls: tuple[Pair, Path], metrics: str = "127.0.0.1", silent: float = 900, policy: str = ""
) -> Installed:
    """`number`: added to every port; `tls`: its certificate and key, and client_ca; `silent`: log.silent_after_seconds."""
    directory = host.directory / f"site{number}"
    (directory / "state").mkdir(mode=0o750, parents=True)
    server = (metrics, 9514 + number)
    text = configuration(directory, udp=f"127.0.0.1:{5140 + number}", metrics=f"{metrics}:{server[1]}", policy=policy)
    pair, client_ca = tls
    listen = (
        f'peers = ["127.0.0.0/8", "{SPEAKS}/32", "{MUTE}/32"]\ntcp = ["127.0.0.1:{6140 + number}"]\ntls = ["127.0.0.1:{6514 + number}"]\n'
    )
    text = text.replace("[policy]", f"{listen}[policy]") + (
        f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\nclient_ca = "{client_ca}"\n'
        '[[tls.peer]]\nname = "mail1"\nsubjects = ["mail1.example.org"]\n'
        f"[log]\nsilent_after_seconds = {silent}\n"
    )
    config = directory / "syslogauth.toml"
    config.write_text(text)
    appliance = Appliance(config, server, host.command(), lambda to: host.connect(metrics, to))
    return Installed(host, directory, number, text, appliance)


@pytest.fixture(scope="module")
def told() -> dict[str, Told]:
    """What doctor says, by the name of what it was asked about: where nothing is wrong, and where what the table below names was made."""
    need("root")
    names = {PUBLIC: "public.example.net", SPEAKS: "mail5.example.org", MUTE: "mail6.example.org"}
    with TemporaryDirectory(prefix="syslogauth-test-", dir=DISK) as disk, mail_host(names) as host:
        authority = Authority.make(host.directory)
        lasting = (authority.own, authority.own.certificate)
        ending = (authority.issue("ours", "log.example.org", ended=True), authority.issue("soon").certificate)
        sites = {
            leave_alone: installed(host, 0, tls=lasting),
            spoil: installed(host, 1, tls=ending, metrics=PUBLIC, silent=SILENT_SECONDS, policy='max_addresses = 450\non_stop = "keep"\n'),
            damage: installed(host, 2, tls=lasting, metrics="0.0.0.0", policy="max_addresses = 1\n"),
        }
        sites[leave_alone].mount_state("--bind", disk)
        with ThreadPoolExecutor(len(sites)) as threads:
            asked = [threads.submit(asked_by, what, site) for what, site in sites.items()]
        return {name: found for each in asked for name, found in each.result().items()}


def asked_by(what: Callable[[Installed], Iterator[tuple[str, Told]]], site: Installed) -> dict[str, Told]:
    try:
        return dict(what(site))
    finally:
        site.appliance.stop()


def leave_alone(site: Installed) -> Iterator[tuple[str, Told]]:
    """Each peer has sent a login. Then a configuration with other ports than the daemon's."""
    site.start()
    for peer in ("127.0.0.1", SPEAKS, MUTE):
        site.log_in([A], source=peer)
    wait_until(lambda: f"peer_last_login_timestamp_seconds {MUTE}/32" in site.appliance.figures(), "the logins")
    yield "sound", site.doctor()
    site.appliance.config.write_text(site.text.replace(":9514", ":9614").replace(":5140", ":5190").replace(":6514", ":6564"))
    yield "reconfigured", site.doctor()


def spoil(site: Installed) -> Iterator[tuple[str, Told]]:
    """The state directory on a tmpfs, the table nearly full, a peer silent; then the tmpfs full, a reload refused, others listed."""
    site.mount_state("-t", "tmpfs", "-o", "size=4m,mode=0750", "none")
    site.start()
    many = [f"198.18.{number // 200}.{number % 200 + 1}" for number in range(400)]
    site.log_in(many)
    site.log_in([A], source=SPEAKS)
    site.until("table_entries", 401)
    fill(site.state / "ballast")

    def refused() -> bool:
        site.log_in(many[:100])
        return site.appliance.figures()["table_writable"] == 0

    wait_until(refused, "a commit to fail")
    site.appliance.config.write_text(site.text.replace("[policy]", "[polity]"))
    os.kill(site.appliance.parent(), signal.SIGHUP)
    site.until("config_last_reload_successful", 0)
    text = site.text.replace('"127.0.0.0/8", ', "")
    for port in (5140 + site.number, 6140 + site.number):
        text = text.replace(f'"127.0.0.1:{port}"', f'"127.0.0.1:{port}", "127.0.0.1:{port + 50}"')
    site.appliance.config.write_text(text)
    site.state.chmod(0o770)
    spoke = site.appliance.figures()[f"peer_last_message_timestamp_seconds {SPEAKS}/32"]
    wait_until(lambda: time.time() > spoke + SILENT_SECONDS, "the peer to be silent for long enough")
    yield "faulty", site.doctor()


def fill(path: Path) -> None:
    """Until not one page more has room."""
    with path.open("wb", buffering=0) as filling:
        try:
            while True:
                filling.write(bytes(PAGE_BYTES))
        except OSError:
            return


def damage(site: Installed) -> Iterator[tuple[str, Told]]:
    """Nobody runs, who would put the map right. The smallest file that a table has is nearly filled, by what is no address."""
    table = Table(site.state / "table", 1, Bounds(1800, 86400))
    with table._environment.begin(write=True) as view:
        view.put("meta", b"ballast", bytes(SMALLEST_FILE_BYTES * 7 // 8))
    table.close()
    (site.directory / "popauth.db").write_bytes(hash9.render({b"203.0.113.9"}))
    yield "map damaged", site.doctor()
    with (site.state / "table" / "data.mdb").open("r+b") as data:
        for page in range(3, os.fstat(data.fileno()).st_size // PAGE_BYTES):
            data.seek(page * PAGE_BYTES + 10)
            data.write(b"\xff" * 6)
    yield "table damaged", site.doctor()


FAULTS = [  # what is wrong, where, what is said of it
    ("metrics on a public address", "faulty", "metrics", "FAIL", f"{PUBLIC}:9515 is a public address"),
    ("metrics on every address", "map damaged", "metrics", "WARN", "0.0.0.0:9516: on every address of this host"),
    ("on_stop = keep", "faulty", "stop", "WARN", "leaves its last addresses in the map, for ever"),
    ("state on tmpfs", "faulty", "state directory", "WARN", "lies on tmpfs"),
    ("state on a full disk", "faulty", "state directory", "FAIL", "0 MiB left on its file system"),
    ("state open to its group", "faulty", "state directory", "FAIL", "is writable by others (0770)"),
    ("a commit failed", "faulty", "daemon", "FAIL", "its last commit to the table failed"),
    ("not ready", "faulty", "daemon", "FAIL", "is not ready: receiver: the table cannot be written"),
    ("a reload refused", "faulty", "daemon", "FAIL", "refused its last reload"),
    ("metrics elsewhere", "reconfigured", "daemon", "WARN", "its metrics do not answer"),
    ("stopped", "map damaged", "daemon", "FAIL", "does not run"),
    ("UDP not bound", "faulty", "sockets", "FAIL", "127.0.0.1:5191 is configured, and the daemon has 127.0.0.1:5141"),
    ("TCP not bound", "faulty", "sockets", "FAIL", "nobody is bound to tcp 127.0.0.1:6191"),
    ("UDP and TLS not bound", "reconfigured", "sockets", "FAIL", "nobody is bound to udp 127.0.0.1:5190, tls 127.0.0.1:6564"),
    ("certificate ended", "faulty", "certificate", "FAIL", "certificate has ended: no TLS peer is let in"),
    ("client_ca ends soon", "faulty", "certificate", "WARN", "client_ca ends in 9 days"),
    ("this host not a peer", "faulty", "round trip", "WARN", "127.0.0.1:5141: not tried: it would come from 127.0.0.1, which is not in"),
    ("peer silent", "faulty", f"peer {SPEAKS}/32", "WARN", "is silent: last message "),
    ("peer never heard", "faulty", f"peer {MUTE}/32", "WARN", "has sent nothing since the start"),
    ("table nearly full of addresses", "faulty", "table", "WARN", "401 of 450 addresses: new ones are refused when it is full"),
    ("file of the table nearly full", "map damaged", "table", "WARN", "of 64 MiB used (88%): new addresses are refused when it is full"),
    ("table damaged", "table damaged", "table", "FAIL", ""),
    ("map damaged", "map damaged", "map and table", "FAIL", "203.0.113.9"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "subject", "level", "said"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_fault_that_is_made_is_told_and_without_it_all_is_well(
    told: dict[str, Told], where: str, subject: str, level: str, said: str
) -> None:
    of = [(finding["level"], finding["text"], finding["mend"]) for finding in told[where] if finding["subject"] == subject]
    assert [True] == [bool(mend) for found, text, mend in of if found == level and said in text], of
    without = {finding["level"] for finding in told["sound"] if finding["subject"] == subject and OF_ROOT not in finding["text"]}
    assert ({"OK"} if subject != "stop" else set()) == without
