"""deploy/systemd: the files as systemd's own tools read them, and the daemon as systemd starts it, watches it and hands it sockets.

systemd does not run here as process 1. What it does with a Type=notify service is played by a datagram socket; systemd-socket-activate(1)
is its own.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth.child import EMPTYING_SECONDS, HUNG_SECONDS, LOOK_SECONDS, SILENT_LOOKS
from syslogauth.notify import FEEDS, READY_LIMIT_SECONDS
from syslogauth.processes import BEAT_LIMIT_SECONDS
from tests.appliance import clean_environment
from tests.deadline import wait_until
from tests.needs import need
from tests.processes import PROC
from tests.running import A, Site, log_in

SYSTEMD = Path(__file__).parent.parent.parent / "deploy/systemd"
UNITS = ("syslogauth.service", "syslogauth.socket")
PROGRAM = "/usr/local/bin/syslogauth"
EXPOSURE = 1.5
WATCHDOG_SECONDS = 2.0

# the files


def said(*words: str | Path) -> str:
    """What a program says on both outputs; it must end well."""
    done = subprocess.run([need(str(words[0])), *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert 0 == done.returncode, done.stdout
    return done.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a program that is there: systemd-analyze looks for it."""
    for name in UNITS:
        (tmp_path / name).write_text((SYSTEMD / name).read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def settings(name: str) -> dict[str, str]:
    """The settings of a unit file; of those that come more than once, the last."""
    return dict(re.findall(r"^(\w+)=(.*)$", (SYSTEMD / name).read_text(), re.MULTILINE))


def test_systemd_has_nothing_to_say_about_the_units(installed: Path) -> None:
    assert "" == said("systemd-analyze", "verify", "--man=no", *(installed / name for name in UNITS))


def test_systemd_does_say_something_about_a_setting_that_it_does_not_know(installed: Path) -> None:
    unit = installed / "syslogauth.service"
    unit.write_text(unit.read_text().replace("KillMode=", "KillMood="))
    assert "Unknown key 'KillMood'" in said("systemd-analyze", "verify", "--man=no", unit)


def test_the_service_is_exposed_as_little_as_promised(installed: Path) -> None:
    unit = installed / "syslogauth.service"
    judged = said("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", unit)
    found = re.search(r"exposure level for syslogauth.service: ([\d.]+)", judged)
    assert found
    assert float(found[1]) <= EXPOSURE


def test_the_times_of_the_service_leave_room_for_those_of_the_daemon() -> None:
    service = {name: float(value) for name, value in settings("syslogauth.service").items() if name.endswith("Sec")}
    assert service["TimeoutStopSec"] > HUNG_SECONDS + EMPTYING_SECONDS + HUNG_SECONDS
    assert service["TimeoutStartSec"] > READY_LIMIT_SECONDS
    mended = LOOK_SECONDS * (SILENT_LOOKS + 1)  # a receiver that hangs is killed so long after its last word, at the latest
    assert service["WatchdogSec"] * (FEEDS - 1) / FEEDS + BEAT_LIMIT_SECONDS > mended
    assert {"0"} == {settings("syslogauth.service")["StartLimitIntervalSec"]}, "it is tried again for ever"


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ("1234 syslogauth.service restart running", -signal.SIGUSR1),
        ("77 syslogauth.service stop    running", None),
        ("77 restart.service stop running", None),
        ("", None),
    ],
)
def test_a_restart_alone_tells_the_daemon_to_keep_its_maps(jobs: str, expected: int | None, tmp_path: Path) -> None:
    """systemd 252's list of jobs, as ExecStop= asks for it; what is no restart is left to SIGTERM."""
    stub = tmp_path / "systemctl"
    stub.write_text(f"#!/bin/sh\n[ \"$*\" = 'list-jobs --no-legend --plain syslogauth.service' ] && echo '{jobs}'\n")
    stub.chmod(0o755)
    (script,) = re.findall(r"^ExecStop=-/bin/sh -c '(.*)'$", (SYSTEMD / "syslogauth.service").read_text(), re.MULTILINE)
    with subprocess.Popen(["sleep", "60"]) as daemon:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MAINPID": str(daemon.pid)}
        stopping = subprocess.Popen(["/bin/sh", "-c", script.replace("$$", "$")], env=environment)
        try:
            assert expected == (daemon.wait(20) if expected else daemon.poll())
            stopping.wait(20)  # it waits for the daemon's end, as SIGTERM comes when it has ended itself
            assert expected == daemon.poll()
        finally:
            daemon.kill()
            stopping.kill()
            stopping.wait()


def test_the_newer_way_to_reload_is_a_setting_of_its_own() -> None:
    assert {"Type": "notify-reload", "ExecReload": f"{PROGRAM} check-config"} == settings("notify-reload.conf")
    assert "notify" == settings("syslogauth.service")["Type"]


@pytest.fixture
def private_root(tmp_path: Path) -> Path:
    """A root directory of its own for systemd-sysusers and systemd-tmpfiles."""
    need("root")
    for name in ("etc", "var/lib"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("passwd", "group"):
        shutil.copy(Path("/etc") / name, tmp_path / "etc" / name)
        text = (tmp_path / "etc" / name).read_text()
        (tmp_path / "etc" / name).write_text(re.sub(r"^syslogauth:.*\n", "", text, flags=re.MULTILINE))
    return tmp_path


def test_the_user_the_directory_and_the_map_are_made_and_made_again(private_root: Path) -> None:
    said("systemd-sysusers", f"--root={private_root}", SYSTEMD / "sysusers.d/syslogauth.conf")
    (line,) = [line for line in (private_root / "etc/passwd").read_text().splitlines() if line.startswith("syslogauth:")]
    _, _, user, group, _, home, shell = line.split(":")
    assert ("/var/lib/syslogauth", True) == (home, shell.endswith("nologin"))
    assert f"syslogauth:x:{group}:" in (private_root / "etc/group").read_text()
    state, map_ = private_root / "var/lib/syslogauth", private_root / "etc/mail/popauth.db"

    def make() -> list[tuple[int, int, int]]:
        said("systemd-tmpfiles", f"--root={private_root}", "--create", SYSTEMD / "tmpfiles.d/syslogauth.conf")
        return [((found := path.stat()).st_uid, found.st_gid, found.st_mode & 0o7777) for path in (state, map_)]

    expected = [(int(user), 0, 0o750), (int(user), 0, 0o640)]
    assert expected == make()
    map_.write_bytes(b"what is in it")
    (state / "table").mkdir()
    os.chown(map_, 0, 0)
    map_.chmod(0o600)
    # as Debian has it: owned by sendmail's own user, and of its group
    os.chown(map_.parent, 8, 8)
    map_.parent.chmod(0o2755)
    assert expected == make()
    assert b"what is in it" == map_.read_bytes()
    assert (state / "table").is_dir()


# the daemon


class Manager:
    """systemd's side of a Type=notify service with WatchdogSec=: it starts the daemon and hears what it says."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(site.directory / "notify"))
        self.socket.setblocking(False)

    def start(self) -> None:
        told = {"NOTIFY_SOCKET": str(self.site.directory / "notify"), "WATCHDOG_USEC": f"{WATCHDOG_SECONDS * 1e6:.0f}"}
        command = self.site.appliance.command("run")
        with self.site.appliance.config.with_name("appliance.out").open("ab") as out:
            self.site.appliance.running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean_environment() | told
            )

    def hears(self, word: str) -> int:
        """How often it has been said so far."""
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return sum(heard.startswith(word) for heard in self.heard)

    def waits(self, word: str, times: int = 1, seconds: float = 20.0) -> None:
        wait_until(lambda: self.hears(word) >= times, f"{word}, {times} times, and not {self.heard[-9:]}", seconds)


@pytest.fixture
def manager(site: Site) -> Iterator[Manager]:
    made = Manager(site)
    yield made
    made.socket.close()


def test_the_manager_is_told_of_start_reload_refused_reload_and_stop(manager: Manager) -> None:
    site = manager.site
    manager.start()
    manager.waits("READY=1")
    assert 200 == site.appliance.get("/-/ready")[0]
    assert frozenset() == site.keys(), "the map has been written"
    assert manager.hears(f"STATUS=listens on 127.0.0.1:{site.udp[1]}")
    for role in ("receiver", "exporter"):
        assert b"NOTIFY_SOCKET" not in (PROC / str(site.child(role)) / "environ").read_bytes()
    for times, text in ((2, site.text + "[log]\nlevel = 'info'\n"), (3, "nonsense = ")):
        site.configure(text)
        os.kill(site.appliance.parent(), signal.SIGHUP)
        manager.waits("RELOADING=1", times - 1)
        manager.waits("READY=1", times)
        assert 200 == site.appliance.get("/-/ready")[0]
    assert manager.hears("MONOTONIC_USEC=") == 2
    words = [word for word in manager.heard if word in ("READY=1", "RELOADING=1")]
    assert ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"] == words
    assert 0 == site.signal(signal.SIGTERM)
    manager.hears("")
    assert ["STOPPING=1", "STATUS=stopping; maps: empty"] == [word for word in manager.heard if "S" in word and "WATCHDOG" not in word][-2:]


def test_the_watchdog_is_fed_until_a_child_hangs_and_again_when_it_goes_on(manager: Manager) -> None:
    manager.start()
    manager.waits("READY=1")
    manager.waits("WATCHDOG=1", 3)
    receiver = manager.site.child("receiver")
    os.kill(receiver, signal.SIGSTOP)
    try:
        manager.waits("STATUS=not ready: receiver: no heartbeat")
        fed, quiet_until = manager.hears("WATCHDOG=1"), time.monotonic() + WATCHDOG_SECONDS
        wait_until(lambda: time.monotonic() > quiet_until, "a watchdog's time to pass")
        assert fed == manager.hears("WATCHDOG=1")
    finally:
        os.kill(receiver, signal.SIGCONT)
    manager.waits("WATCHDOG=1", fed + 1)
    assert receiver == manager.site.child("receiver"), "its parent did not have to kill it"


def test_a_datagram_that_came_before_the_daemon_is_read_by_it_from_the_socket_that_systemd_holds(site: Site) -> None:
    listen = f"127.0.0.1:{site.udp[1]}"
    activate = [need("systemd-socket-activate"), "--datagram", "-l", listen, "-E", "PYTHONPATH"]
    with site.appliance.config.with_name("appliance.out").open("ab") as out:
        command = [*activate, *site.appliance.command("run")]
        site.appliance.running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean_environment())
    wait_until(lambda: f"Listening on {listen}" in site.appliance.said(), "systemd-socket-activate to listen")
    log_in(site.udp, A)
    site.appliance.wait_ready()
    site.holds(A)
    assert '"listen": ["' + listen in site.appliance.said()
