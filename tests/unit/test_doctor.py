"""What doctor makes of the facts that it gathers: each check right, and each fault of it. What is mended by a command is mended by it."""

import fcntl
import socket
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from syslogauth.core.address import Networks
from syslogauth.doctor import checkup, clock, configuration, daemon, peers, place, roundtrip, sockets
from syslogauth.doctor.finding import Level
from syslogauth.doctor.site import Figures, WatchedMap
from syslogauth.settings import Endpoint
from tests.doctor import NOW, levels, looked_at

OK, WARN, FAIL = Level
HERE = Endpoint("127.0.0.1", 5140)
MIB16 = 16 << 20


def figures(**samples: float) -> Figures:
    """Samples without labels."""
    return {name: [({}, value)] for name, value in samples.items()}


def labelled(name: str, label: str, values: dict[str, float]) -> Figures:
    return {name: [({label: key}, value) for key, value in values.items()]}


# configuration


def test_a_right_configuration_and_each_mistake_of_a_wrong_one() -> None:
    assert [OK] == levels(configuration.judge("/etc/syslogauth.toml", ()))
    wrong = ("f: listen.udp: is not a list; write it in brackets", "f: export.path: /m is writable by group; run: chmod go-w /m")
    assert [(FAIL, "write it in brackets"), (FAIL, "chmod go-w /m")] == [(f.level, f.mend) for f in configuration.judge("f", wrong)]


# the daemon

DAEMON = [
    ("runs", (True, {"receiver": 1.0, "exporter": 1.0}, "", True), OK),
    ("down", (False, None, "", True), FAIL),
    ("a process is down", (True, {"receiver": 0.0, "exporter": 1.0}, "", True), FAIL),
    ("not ready", (True, {"receiver": 1.0}, "exporter: the map is no map", True), FAIL),
    ("without metrics", (True, None, "", False), WARN),
    ("metrics that do not answer", (True, None, "", True), WARN),
    ("unseen", (None, None, "", True), WARN),
]


@pytest.mark.parametrize(("facts", "expected"), [case[1:] for case in DAEMON], ids=[case[0] for case in DAEMON])
def test_the_daemon_is_judged(facts: tuple[bool | None, dict[str, float] | None, str, bool], expected: Level) -> None:
    assert expected == daemon.judge(*facts).level


def test_a_daemon_runs_while_it_holds_its_lock(tmp_path: Path) -> None:
    assert daemon.runs(tmp_path) is False
    with (tmp_path / "daemon.lock").open("w") as lock:
        assert daemon.runs(tmp_path) is False
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert daemon.runs(tmp_path) is True


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


def test_whether_it_is_ready_is_asked_of_itself_whatever_proxy_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as server, socket.socket() as proxy:
        Thread(target=server.serve_forever, daemon=True).start()
        proxy.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert "" == daemon.ready(looked_at(tmp_path, metrics=Endpoint(*server.server_address), figures=figures(build_info=1.0)))
        server.shutdown()


def test_who_does_not_speak_http_is_no_ready_daemon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def greet() -> None:
            asking, _ = stranger.accept()
            with asking:
                asking.recv(4096)
                asking.sendall(b"220 mail ESMTP\r\n")

        Thread(target=greet, daemon=True).start()
        assert "" != daemon.ready(looked_at(tmp_path, metrics=Endpoint(*stranger.getsockname()), figures=figures(build_info=1.0)))


def test_a_commit_that_failed_is_told(tmp_path: Path) -> None:
    assert FAIL in levels(daemon.check(looked_at(tmp_path, figures=figures(table_writable=0))))
    assert FAIL not in levels(daemon.check(looked_at(tmp_path, figures=figures(table_writable=1))))


def test_a_reload_that_was_refused_is_told(tmp_path: Path) -> None:
    assert FAIL in levels(daemon.check(looked_at(tmp_path, figures=figures(config_last_reload_successful=0))))
    assert FAIL not in levels(daemon.check(looked_at(tmp_path, figures=figures(config_last_reload_successful=1))))


# sockets


@pytest.mark.parametrize(
    ("size", "limit", "freebsd", "level", "mend"),
    [
        (MIB16, 212992, False, OK, ""),
        (212992, 212992, False, WARN, "echo net.core.rmem_max=16777216 >/etc/sysctl.d/60-syslogauth.conf && sysctl -p"),
        (212992, MIB16, False, WARN, " restart"),
        (1 << 20, 2 << 20, True, WARN, "sysrc -f /etc/sysctl.conf kern.ipc.maxsockbuf=33554432"),
        (1 << 20, 2 * MIB16, True, WARN, " restart"),
    ],
)
def test_the_buffer_that_was_granted_is_held_against_what_was_asked(size: int, limit: int, freebsd: bool, level: Level, mend: str) -> None:
    (finding,) = sockets.buffers({str(HERE): size}, MIB16, limit, freebsd=freebsd)
    assert (level, True) == (finding.level, mend in finding.mend)


def test_the_kernels_limit_is_read(tmp_path: Path) -> None:
    limit = tmp_path / "proc/sys/net/core/rmem_max"
    assert sockets.kernel_limit(looked_at(tmp_path)) is None
    limit.parent.mkdir(parents=True)
    limit.write_text("212992\n")
    assert 212992 == sockets.kernel_limit(looked_at(tmp_path))


def test_a_place_that_the_daemon_has_not_is_told() -> None:
    assert [OK] == levels(sockets.bound([HERE], {str(HERE): 1}))
    missed, _ = sockets.bound([HERE], {"[::]:514": 1})
    assert (FAIL, True) == (missed.level, missed.mend.endswith('where a socket unit hands them over, listen.udp = ["[::]:514"]'))


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_port_on_which_nobody_listens_is_told(transport: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        site = looked_at(tmp_path, figures={}, udp=(), **{transport: (Endpoint(*listening.getsockname()),)})
        assert [OK] == levels(sockets.check(site), "sockets")
        with socket.create_connection(listening.getsockname()), listening.accept()[0]:
            pass
        listening.close()
        assert [FAIL] == levels(sockets.check(site), "sockets")


def test_lost_datagrams_are_told() -> None:
    assert (OK, WARN) == (sockets.drops(0, 10, "sysctl").level, sockets.drops(3, 10, "sysctl").level)


def test_without_metrics_the_system_tells_whether_a_port_is_taken(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with (tmp_path / "state/daemon.lock").open("w") as lock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken.bind(("127.0.0.1", 0))
        site = looked_at(tmp_path, udp=(Endpoint(*taken.getsockname()),))
        assert [OK] == levels(sockets.check(site), "sockets")
        taken.close()
        assert [FAIL] == levels(sockets.check(site), "sockets")
        assert [WARN] == levels(sockets.check(site), "receive buffer")


def test_the_end_of_a_certificate_is_told() -> None:
    ends = {"certificate": NOW + 90 * 86400, "client_ca": NOW + 5 * 86400}
    assert [OK, WARN] == levels(sockets.certificates(ends, NOW))
    assert [FAIL] == levels(sockets.certificates({"certificate": NOW - 1}, NOW))


# peers

PEERS = [
    ("speaks", {"192.0.2.1/32": NOW - 10}, 4000, OK),
    ("silent", {"192.0.2.1/32": NOW - 1000}, 4000, WARN),
    ("never", {}, 4000, WARN),
    ("just started", {}, 60, OK),
]


@pytest.mark.parametrize(("messages", "running", "expected"), [case[1:] for case in PEERS], ids=[case[0] for case in PEERS])
def test_a_peer_is_heard(messages: dict[str, float], running: float, expected: Level) -> None:
    (finding,) = peers.heard(["192.0.2.1/32"], messages, {}, NOW, running, 900.0)
    assert (expected, "peer 192.0.2.1/32") == (finding.level, finding.subject)


def test_the_time_of_the_last_login_is_told() -> None:
    heard = {"192.0.2.1/32": NOW - 10}
    assert ["last message 10 s ago, no login since the start"] == [f.text for f in peers.heard([*heard], heard, {}, NOW, 4000, 900)]
    logins = {"192.0.2.1/32": NOW - 1800}
    assert ["last message 10 s ago, last login 30 min ago"] == [f.text for f in peers.heard([*heard], heard, logins, NOW, 4000, 900)]


def test_one_of_the_loopback_networks_is_enough() -> None:
    names = ["127.0.0.0/8", "::1/128"]
    assert [OK] == levels(peers.heard(names, {"127.0.0.0/8": NOW}, {}, NOW, 4000, 900))
    assert [WARN, WARN] == levels(peers.heard(names, {}, {}, NOW, 4000, 900))


def test_summaries_of_repeated_messages_are_told() -> None:
    assert [WARN] == levels(peers.repeated({"mail1": 3, "mail2": 0}))
    assert ([OK], []) == (levels(peers.repeated({"mail1": 0})), levels(peers.repeated({})))


@pytest.mark.parametrize(
    ("skew", "level", "said"),
    [
        (1.5, OK, "ahead"),
        (-4.9, OK, "behind"),
        (30, WARN, "30 s ahead"),
        (-3600, WARN, "time zone"),
        (19800.5, WARN, "+5.50 h"),
        (-400, WARN, "behind"),
    ],
)
def test_the_clock_of_a_peer_is_held_against_ours(skew: float, level: Level, said: str) -> None:
    (finding,) = peers.skewed({"192.0.2.1/32": skew})
    assert (level, True) == (finding.level, said in finding.text)


def test_peers_are_told_from_the_figures(tmp_path: Path) -> None:
    asked = {
        **labelled("peer_last_message_timestamp_seconds", "peer", {"127.0.0.0/8": NOW - 5}),
        **labelled("peer_repeated_total", "peer", {"127.0.0.0/8": 2}),
        **labelled("peer_clock_skew_seconds", "peer", {"127.0.0.0/8": 7200}),
        **figures(config_last_reload_success_timestamp_seconds=NOW - 5000),
    }
    found = list(peers.check(looked_at(tmp_path, figures=asked)))
    assert [(OK, "peer 127.0.0.0/8"), (WARN, "repeated messages"), (WARN, "clock of peer 127.0.0.0/8")] == [
        (f.level, f.subject) for f in found
    ]
    assert [WARN] == levels(peers.check(looked_at(tmp_path)))


# where things lie


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (None, OK),
        ("127.0.0.1", OK),
        ("::1", OK),
        ("10.1.2.3", OK),
        ("0.0.0.0", WARN),
        ("::", WARN),
        ("8.8.8.8", FAIL),
        ("2a00:1450::1", FAIL),
    ],
)
def test_metrics_on_a_public_address_are_told(listen: str | None, expected: Level) -> None:
    assert expected == place.metrics(Endpoint(listen, 9514) if listen else None).level


@pytest.mark.parametrize(("mode", "level"), [(0o750, OK), (0o700, OK), (0o755, WARN), (0o770, FAIL), (0o757, FAIL)])
def test_the_modes_of_the_state_directory_are_judged_and_mended(mode: int, level: Level, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    found = list(place.owned(tmp_path, tmp_path.stat().st_mode, 65534))
    assert [level] == levels(found)
    for finding in found:
        subprocess.run(["sh", "-c", finding.mend], check=True)
    assert [OK] == levels(place.owned(tmp_path, tmp_path.stat().st_mode, 65534))


def test_a_state_directory_of_roots_is_told(tmp_path: Path) -> None:
    assert [WARN] == levels(place.owned(tmp_path, 0o40750, 0))


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", OK),
        ("zfs", OK),
        ("ufs", OK),
        ("nfs4", FAIL),
        ("nfs", FAIL),
        ("cifs", FAIL),
        ("fuse.sshfs", FAIL),
        ("9p", FAIL),
        ("tmpfs", WARN),
    ],
)
def test_a_network_file_system_is_told(kind: str, level: Level, tmp_path: Path) -> None:
    """By the mounts as Linux lists them: the longest mount point that holds the directory."""
    mountinfo = tmp_path / "proc/self/mountinfo"
    mountinfo.parent.mkdir(parents=True)
    rows = [
        "22 27 0:21 / / rw,relatime - ext4 /dev/vda rw",
        f"23 27 0:22 / /srv/my\\040state rw,relatime shared:3 - {kind} server:/x rw",
        "24 27 0:22 / /srv/my rw - btrfs x rw",
    ]
    mountinfo.write_text("\n".join(rows))
    mounted = place.mounts(looked_at(tmp_path))
    assert level == place.file_system(Path("/srv/my state/syslogauth"), mounted).level
    assert OK == place.file_system(Path("/srv/mystate"), mounted).level


def test_the_real_mounts_of_this_host_are_read(tmp_path: Path) -> None:
    assert place.file_system(tmp_path, place.mounts(looked_at(Path("/")))).text.startswith(f"{tmp_path} lies on ")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    assert (OK, FAIL) == (place.free(tmp_path, 1 << 30).level, place.free(tmp_path, 1 << 20).level)


def test_a_state_directory_that_is_not_there_is_told_and_mended(tmp_path: Path) -> None:
    site = looked_at(tmp_path)
    (finding,) = [found for found in place.check(site) if found.level is FAIL]
    subprocess.run(["sh", "-c", finding.mend.replace("-o syslogauth -g 0", "")], check=True)
    assert FAIL not in levels(place.check(site))


def test_a_map_that_outlives_its_keeper_is_told(tmp_path: Path) -> None:
    assert [WARN] == levels(place.check(looked_at(tmp_path, on_stop="keep")), "stop")
    assert [] == levels(place.check(looked_at(tmp_path)), "stop")


@pytest.mark.parametrize(("state", "level"), [(0, OK), (5, WARN), (-1, WARN)])
def test_a_clock_that_nobody_keeps_is_told(state: int, level: Level) -> None:
    assert level == clock.judge(state, freebsd=False).level


def test_the_kernel_says_how_its_clock_is_kept() -> None:
    assert clock.kernel_state() in range(6)


# the round trip


def test_without_the_daemons_figures_nothing_is_sent(tmp_path: Path) -> None:
    assert [WARN] == levels(roundtrip.check(looked_at(tmp_path)))


def test_a_sender_that_is_not_listed_is_explained_instead(tmp_path: Path) -> None:
    site = looked_at(tmp_path, figures={}, peers=Networks(("192.0.2.0/24",)))
    (finding,) = roundtrip.check(site)
    assert (WARN, True) == (finding.level, "127.0.0.1, which is not in listen.peers" in finding.text)


# all of them


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A file of the system that is a directory, for one that may not be read: root may read any."""
    (tmp_path / "etc/mail/sendmail.cf").mkdir(parents=True)
    found = list(checkup.examine(looked_at(tmp_path, maps=(WatchedMap(tmp_path / "popauth.db"),))))
    assert [WARN] == [f.level for f in found if f.subject == "sendmail" and f.text.startswith("not looked at: ")]
    assert {"clock", "state directory", "daemon"} <= {f.subject for f in found}


def test_every_finding_that_is_not_right_says_what_mends_it(tmp_path: Path) -> None:
    found = list(checkup.examine(looked_at(tmp_path)))
    assert [] == [f for f in found if f.level is FAIL and not f.mend]
