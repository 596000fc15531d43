"""How the daemon starts, and what ends a start with one line."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.appliance import clean_environment
from tests.deadline import wait_until
from tests.running import A, B, C, Site, log_in, refused

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
