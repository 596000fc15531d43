"""The running daemon on loopback: what an administrator may do to it, and what becomes of the logins, the table and the map."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import live_map
from tests.appliance import Appliance, clean_environment, configuration, free_port
from tests.deadline import wait_until
from tests.needs import need
from tests.processes import PROC, alive, children, command_line

LOGIN = "<22>Nov 22 10:09:49 mail1 dovecot: {service}-login: Login: user=<{user}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80"
A, B, C, D = "198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::25"


class Site:
    """An appliance in a directory of its own, with what its tests look at."""

    def __init__(self, directory: Path, grace_seconds: int = 1800) -> None:
        self.directory = directory
        self.udp = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.metrics = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        self.map = directory / "popauth.db"
        self.text = configuration(
            directory, udp=f"127.0.0.1:{self.udp[1]}", metrics=f"127.0.0.1:{self.metrics[1]}", grace_seconds=grace_seconds
        )
        directory.mkdir(exist_ok=True)
        self.configure(self.text)
        self.appliance = Appliance(directory / "syslogauth.toml", self.metrics)

    def configure(self, text: str) -> None:
        (self.directory / "syslogauth.toml").write_text(text)

    def start(self) -> None:
        self.appliance.start()
        self.appliance.wait_ready()

    def signal(self, number: int) -> int:
        """Send it to the parent and wait for its end; the exit code."""
        assert self.appliance.running
        self.appliance.running.send_signal(number)
        return self.appliance.running.wait(15)

    def child(self, role: str) -> int:
        """The process id of a running child."""
        found = [pid for pid in children(self.appliance.parent()) if role in command_line(pid)]
        return found[0] if found else 0

    def reload(self, text: str) -> None:
        """SIGHUP with another configuration file; returns when it was taken or refused."""
        said = self.appliance.said()
        self.configure(text)
        os.kill(self.appliance.parent(), signal.SIGHUP)
        wait_until(lambda: "reload" in self.appliance.said()[len(said) :], "the reload to be logged")

    def figures(self) -> dict[str, float]:
        """What /metrics says: a sample's name and label values -> its value."""
        status, page = self.appliance.get("/metrics")
        assert 200 == status
        return {
            " ".join((sample.name.removeprefix("syslogauth_"), *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    def keys(self) -> frozenset[str]:
        return self.read(self.map)

    @staticmethod
    def read(path: Path) -> frozenset[str]:
        """The keys of a map; `damaged` where it cannot be read."""
        try:
            return live_map.keys(path)
        except (ValueError, FileNotFoundError):
            return frozenset(("damaged",))

    def holds(self, *addresses: str) -> None:
        """Wait until the map holds exactly these."""
        expected = frozenset(f"ipv6:{address.replace('::', ':0:0:0:0:0:')}" if ":" in address else address for address in addresses)
        wait_until(lambda: self.keys() == expected, f"the map to hold {sorted(expected)}, not {sorted(self.keys())}")


def log_in(server: tuple[str, int], *addresses: str, service: str = "imap") -> None:
    with socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for address in addresses:
            sender.sendto(LOGIN.format(service=service, user="alice", address=address).encode(), server)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.appliance.stop()
    if site.appliance.running and site.appliance.running.poll() is None:
        site.appliance.running.kill()


def test_a_login_by_udp_opens_the_relay_and_its_line_is_counted(site: Site) -> None:
    site.start()
    assert (200, "ok\n") == site.appliance.get("/-/healthy") == site.appliance.get("/-/ready")
    assert 404 == site.appliance.get("/")[0] == site.appliance.get("/metrics/x")[0]
    assert not site.appliance.allows(A)
    log_in(site.udp, A, D, service="pop3")
    wait_until(lambda: site.appliance.allows(A) and site.appliance.allows(D), "both to be granted")
    site.holds(A, D)
    assert 0o640 == site.map.stat().st_mode & 0o7777
    wait_until(lambda: site.figures().get("logins_total dovecot pop3") == 2, "both logins to be counted")
    figures = site.figures()
    outcomes = sum(value for name, value in figures.items() if name.startswith("outcomes_total"))
    assert 2 == outcomes == figures["datagrams_received_total udp"] == figures["grants_total new"]


def test_commands_reach_the_map_of_the_running_daemon(site: Site) -> None:
    site.start()
    log_in(site.udp, A, B)
    site.holds(A, B)
    assert 0 == site.appliance.ask("revoke", A).returncode
    assert 0 == site.appliance.ask("grant", C, "--seconds", "600").returncode
    site.holds(B, C)
    assert 0 == site.appliance.ask("deny", B).returncode
    site.holds(C)
    assert 0 == site.appliance.ask("flush", "--yes").returncode
    site.holds()


# stopping and starting


def test_a_stop_empties_the_map_and_a_restart_makes_it_whole(site: Site) -> None:
    site.start()
    log_in(site.udp, A, B)
    site.holds(A, B)
    wait_until(lambda: site.figures().get("login_to_export_seconds_count") == 2, "their waits to be measured")
    assert 0 == site.signal(signal.SIGTERM)
    assert frozenset() == site.keys()
    assert site.appliance.allows(A)
    site.start()
    site.holds(A, B)
    wait_until(lambda: site.figures().get(f"export_entries {site.directory}/popauth") == 2, "the exporter's figures")
    assert 0 == site.figures()["login_to_export_seconds_count"]  # nobody has waited for this publication
    assert 0 == site.appliance.ask("export", "--check").returncode


def test_a_stop_for_a_restart_keeps_the_map(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    assert 0 == site.signal(signal.SIGUSR1)
    assert {A} == site.keys()


def test_a_stop_takes_in_what_the_kernel_still_holds(site: Site) -> None:
    site.start()
    addresses = [f"198.18.{n // 250}.{n % 250 + 1}" for n in range(500)]
    log_in(site.udp, *addresses)
    assert 0 == site.signal(signal.SIGTERM)
    assert set(addresses) == {entry["address"] for entry in site.appliance.listed()}


def test_a_stop_empties_the_map_also_where_the_exporter_has_just_died(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    exporter = site.child("exporter")
    os.kill(exporter, signal.SIGKILL)
    wait_until(lambda: not alive(exporter), "the exporter to die")
    assert 0 == site.signal(signal.SIGTERM)
    assert frozenset() == site.keys()


def test_on_stop_keep_is_the_administrators_choice(site: Site) -> None:
    site.configure(site.text.replace("[policy]", '[policy]\non_stop = "keep"'))
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    assert 0 == site.signal(signal.SIGTERM)
    assert {A} == site.keys()


# reloading


def test_a_good_file_is_taken_at_sighup_and_the_counters_go_on(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    site.reload(site.text.replace("[policy]", '[policy]\nservices = ["pop3"]'))
    wait_until(site.appliance.ready, "the daemon to be ready again")
    log_in(site.udp, B, service="imap")
    log_in(site.udp, C, service="pop3")
    site.holds(A, C)
    wait_until(lambda: site.figures()["datagrams_received_total udp"] == 3, "all three to be counted")
    figures = site.figures()
    assert (1, 2, 1) == (figures["outcomes_total service"], figures["outcomes_total grant"], figures["config_last_reload_successful"])
    assert (0, 0) == (figures["process_restarts_total receiver"], figures["process_restarts_total exporter"])


def test_a_bad_file_at_sighup_leaves_the_old_configuration_at_work(site: Site) -> None:
    site.start()
    taken = site.figures()["config_last_reload_success_timestamp_seconds"]
    site.reload(site.text.replace("grace_seconds", "grace_secnods"))
    assert "policy.grace_secnods: no such setting (did you mean grace_seconds?)" in site.appliance.said()
    figures = site.figures()
    assert (0, taken) == (figures["config_last_reload_successful"], figures["config_last_reload_success_timestamp_seconds"])
    log_in(site.udp, A)
    site.holds(A)
    site.reload(site.text)
    wait_until(lambda: site.figures()["config_last_reload_successful"] == 1, "the good file to be taken")
    site.reload(site.text.replace("/state", "/elsewhere"))
    assert "state_directory, metrics.listen: cannot change while it runs; restart syslogauth" in site.appliance.said()
    assert not (site.directory / "elsewhere").exists()
    assert 0 == site.figures()["config_last_reload_successful"]


def test_a_stop_right_behind_a_reload_is_obeyed_at_once(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    site.reload(site.text)
    assert 0 == site.signal(signal.SIGTERM)
    assert "did not stop in time" not in site.appliance.said()
    assert frozenset() == site.keys()


def test_an_address_that_is_added_is_listened_on_and_one_that_is_removed_no_longer(site: Site) -> None:
    site.start()
    second = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
    first_text, second_text = (f'"127.0.0.1:{port}"' for port in (site.udp[1], second[1]))
    site.reload(site.text.replace(first_text, f"{first_text}, {second_text}"))
    log_in(site.udp, A)
    log_in(second, B)
    site.holds(A, B)
    site.reload(site.text.replace(first_text, second_text))
    log_in(second, C)
    site.holds(A, B, C)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(site.udp)
        wait_until(lambda: refused(sender), "the first port to be closed")
    assert 1 == sum(name.startswith("receive_buffer_bytes") for name in site.figures())


def refused(sender: socket.socket) -> bool:
    """Whether nobody holds the port that the socket is connected to."""
    try:
        sender.send(b"<22>?")
        sender.send(b"<22>?")
    except ConnectionRefusedError:
        return True
    return False


# somebody else's hand, and the deaths of the children


def test_maps_that_somebody_else_changed_are_made_whole_within_seconds(site: Site) -> None:
    names = ("popauth", "second", "third")
    exports = "".join(f'[[export]]\npath = "{site.directory}/{name}"\nformat = "hash9"\n' for name in names[1:])
    site.configure(site.text.replace("[metrics]", exports + "[metrics]"))
    site.start()
    log_in(site.udp, A, B)
    overwritten, made_anew, deleted = (site.directory / f"{name}.db" for name in names)
    wait_until(lambda: [Site.read(path) for path in (overwritten, made_anew, deleted)] == [{A, B}] * 3, "three maps")
    with overwritten.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))
    subprocess.run([need("makemap"), "hash", made_anew], input=b"203.0.113.9\tOK\n", check=True)
    deleted.unlink()
    for path in (overwritten, made_anew, deleted):
        assert {A, B} != Site.read(path)
    wait_until(lambda: [Site.read(path) for path in (overwritten, made_anew, deleted)] == [{A, B}] * 3, "the maps to be whole again")
    assert 2 <= site.figures()[f"exports_total {site.directory}/popauth whole"]


def test_a_file_of_another_kind_at_the_maps_path_is_not_overwritten(site: Site) -> None:
    site.map.write_bytes(b"somebody's work " * 1000)
    site.appliance.start()
    wait_until(lambda: "no map at all" in site.appliance.said(), "the refusal to be logged")
    wait_until(lambda: answered(site) and 503 == site.appliance.get("/-/ready")[0], "the daemon not to be ready")
    wait_until(lambda: "or empty it" in site.appliance.get("/-/ready")[1], "the reason to be told")
    assert 1 == site.appliance.get("/-/ready")[1].count("\n")
    assert b"somebody's work " * 1000 == site.map.read_bytes()
    site.map.unlink()
    site.appliance.wait_ready()


def answered(site: Site) -> bool:
    try:
        site.appliance.get("/-/healthy")
    except OSError:
        return False
    return True


def test_the_death_of_the_exporter_does_not_hurt_the_receiver(site: Site) -> None:
    site.start()
    receiver, exporter = site.child("receiver"), site.child("exporter")
    os.kill(exporter, signal.SIGKILL)
    log_in(site.udp, A)
    site.holds(A)
    assert receiver == site.child("receiver")
    assert exporter != site.child("exporter")
    wait_until(lambda: site.figures()["process_restarts_total exporter"] == 1, "the restart to be counted")


@pytest.mark.parametrize("spare", [0, 2])
def test_a_parent_that_can_start_no_process_tries_until_it_can(tmp_path: Path, spare: int) -> None:
    """It has so many descriptors left: none for the control socket, or none for what a start takes besides."""
    site = Site(tmp_path, grace_seconds=4)
    site.start()
    parent = site.appliance.parent()
    try:
        log_in(site.udp, A)
        site.holds(A)
        receiver, exporter = site.child("receiver"), site.child("exporter")
        limits = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        used = {int(file.name) for file in (PROC / str(parent) / "fd").iterdir()}
        unused = (number for number in count() if number not in used)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (next(islice(unused, spare, None)), limits[1]))
        os.kill(exporter, signal.SIGKILL)
        wait_until(lambda: "cannot be started" in site.appliance.said(), "the failure to be logged")
        assert frozenset((A,)) == site.keys()
        resource.prlimit(parent, resource.RLIMIT_NOFILE, limits)
        site.holds()
        assert site.child("exporter") not in (0, exporter)
        assert receiver == site.child("receiver")
        wait_until(site.appliance.ready, "the daemon to be ready again")
        assert 1 <= site.figures()["process_restarts_total exporter"]
    finally:
        site.appliance.stop()


def test_a_receiver_that_hangs_is_unhealthy_and_its_death_stops_no_expiry_and_loses_no_datagram(tmp_path: Path) -> None:
    site = Site(tmp_path, grace_seconds=4)
    site.start()
    try:
        log_in(site.udp, A)
        site.holds(A)
        os.kill(site.child("receiver"), signal.SIGSTOP)
        log_in(site.udp, B)
        site.holds()
        assert not site.appliance.allows(A)
        wait_until(lambda: site.figures().get("grants_expired_total") == 1, "the expiry to be counted")
        wait_until(lambda: 503 == site.appliance.get("/-/healthy")[0], "the missing heartbeat to be noticed", 15)
        assert site.appliance.get("/-/healthy")[1].startswith("receiver: no heartbeat for 1")
        os.kill(site.child("receiver"), signal.SIGKILL)
        site.holds(B)
        wait_until(lambda: site.figures()["process_restarts_total receiver"] == 1, "the restart to be counted")
    finally:
        site.appliance.stop()


def test_children_end_by_themselves_when_the_parent_is_killed_and_the_map_stays(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    orphans = children(site.appliance.parent())
    assert 2 == len(orphans)
    site.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, orphans)), "the orphans to end")
    assert {A} == site.keys()
    site.start()
    site.holds(A)


# starting


def test_sockets_of_a_service_manager_are_used(site: Site) -> None:
    program = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
        "os.environ |= {'LISTEN_FDS': '2', 'LISTEN_PID': str(os.getpid())}; os.execv(sys.executable, [sys.executable, *sys.argv[3:]])"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as metrics:
        datagrams.bind(("127.0.0.1", 0))
        metrics.bind(("127.0.0.1", 0))
        metrics.listen()
        udp, site.appliance.metrics = datagrams.getsockname(), metrics.getsockname()
        fds = (datagrams.fileno(), metrics.fileno())
        with (site.directory / "appliance.out").open("ab") as said:
            site.appliance.running = subprocess.Popen(
                [sys.executable, "-c", program, *map(str, fds), *site.appliance.command("run")[1:]],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=clean_environment(),
            )
    log_in(udp, A)  # held by the socket until somebody reads it
    site.appliance.wait_ready()
    log_in(udp, B)
    site.holds(A, B)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(site.udp)
        assert wait_until(lambda: refused(sender), "the port of the configuration to be nobody's")
    site.reload(site.text.replace("[policy]", '[policy]\nservices = ["imap"]'))
    log_in(udp, C)
    site.holds(A, B, C)


def test_a_configuration_of_hundreds_of_kilobytes_reaches_the_children(site: Site) -> None:
    """More than the kernel takes from the parent at once."""
    site.configure(site.text + "# somebody's notes on every customer\n" * 8500)
    assert 300_000 < (site.directory / "syslogauth.toml").stat().st_size
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    assert (0, 0) == tuple(site.figures()[f"process_restarts_total {role}"] for role in ("receiver", "exporter"))


def test_ipv6_is_listened_on_and_its_peers_are_known(site: Site) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as chosen:
        chosen.bind(("::1", 0))
        server = chosen.getsockname()[:2]
    site.configure(site.text.replace(f'"127.0.0.1:{site.udp[1]}"', f'"127.0.0.1:{site.udp[1]}", "[::1]:{server[1]}"'))
    site.start()
    log_in(server, A)
    log_in(site.udp, B)
    site.holds(A, B)
    wait_until(lambda: site.figures().get("peer_last_login_timestamp_seconds ::1/128"), "the peer to be counted")


def ends(site: Site) -> tuple[int, str]:
    """The exit code of a daemon that cannot start, and what it said."""
    if not site.appliance.running:
        site.appliance.start()
    assert site.appliance.running
    return site.appliance.running.wait(15), site.appliance.said()


def test_a_port_that_is_taken_ends_a_start_with_one_line_and_refuses_a_reload(site: Site, tmp_path: Path) -> None:
    others = [Site(tmp_path / "first"), Site(tmp_path / "second")]
    site.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        datagrams.bind(others[0].udp)
        stream.bind(others[1].metrics)
        stream.listen()
        for other in others:
            other.appliance.start()
        listed = f'"127.0.0.1:{site.udp[1]}"'
        site.reload(site.text.replace(listed, f'{listed}, "127.0.0.1:{others[0].udp[1]}"'))
        for other, key, port in zip(others, ("listen.udp", "metrics.listen"), (others[0].udp[1], others[1].metrics[1]), strict=True):
            code, said = ends(other)
            assert 69 == code
            line = f"{key}: 127.0.0.1:{port}: Address already in use; stop what has it, or name another"
            assert f"syslogauth: {line}" == said.splitlines()[-1]
            assert "Traceback" not in said
    assert "Address already in use; stop what has it, or name another" in site.appliance.said()
    log_in(site.udp, A)
    site.holds(A)


def test_a_second_daemon_on_the_same_state_directory_is_refused_and_the_first_goes_on(site: Site, tmp_path: Path) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    second = Site(tmp_path / "second")
    second.configure(second.text.replace(f"{tmp_path}/second/state", f"{tmp_path}/state"))
    pid = site.appliance.parent()
    code, said = ends(second)
    assert 69 == code
    kept = f"syslogauth: state_directory: {tmp_path}/state is kept by a running syslogauth (pid {pid}); stop it first"
    assert kept == said.splitlines()[-1]
    log_in(site.udp, B)
    site.holds(A, B)


def test_a_bad_configuration_ends_the_start_with_its_mistakes(site: Site) -> None:
    site.configure(site.text.replace("[metrics]", "[metric]"))
    code, said = ends(site)
    assert 78 == code
    assert "syslogauth.toml: metric: no such setting (did you mean metrics?)" in said
