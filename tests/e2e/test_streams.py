"""The running daemon and its process for streams: restarts, reloads, many connections, garbage, and sockets of a service manager's."""

import contextlib
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.appliance import clean_environment, free_port
from tests.authority import Authority, Pair
from tests.deadline import wait_until
from tests.needs import need
from tests.processes import alive
from tests.running import LOGIN, A, B, C, Site

NOBODY = 65534
MANY = "max_connections = 1200\nmax_connections_per_peer = 1200\n"


@dataclass
class Streaming:
    site: Site
    tcp: tuple[str, int]
    tls: tuple[str, int]
    authority: Authority
    peer: Pair

    def connect(self, authority: Authority | None = None, peer: Pair | None = None) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations((authority or self.authority).own.certificate)
        context.load_cert_chain(*((peer or self.peer).certificate, (peer or self.peer).key))
        return context.wrap_socket(socket.create_connection(self.tls, 5))

    def figure(self, name: str) -> float:
        return self.site.figures().get(name, 0.0)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    """TCP and TLS alone, no UDP."""
    directory = tmp_path_factory.mktemp("streaming")
    made = streaming(directory)
    made.site.start()
    yield made
    made.site.appliance.stop()


def streaming(directory: Path) -> Streaming:
    site = Site(directory / "site")
    authority = Authority.make(directory)
    ours, peer = authority.issue("ours", "log.example.org"), authority.issue("mail1", "mail1.example.org")
    tcp, tls = (("127.0.0.1", free_port(socket.SOCK_STREAM)) for _ in range(2))
    listen = f'udp = []\ntcp = ["127.0.0.1:{tcp[1]}"]\ntls = ["127.0.0.1:{tls[1]}"]\n{MANY}'
    site.text = site.text.replace(f'udp = ["127.0.0.1:{site.udp[1]}"]', listen) + (
        f'[tls]\ncertificate = "{ours.certificate}"\nkey = "{ours.key}"\nclient_ca = "{authority.own.certificate}"\n'
        '[[tls.peer]]\nname = "mail1"\nsubjects = ["mail1.example.org"]\n'
    )
    site.configure(site.text)
    return Streaming(site, tcp, tls, authority, peer)


def login(address: str) -> bytes:
    return LOGIN.format(service="imap", user="alice", address=address).encode() + b"\n"


def counted(address: str) -> bytes:
    line = login(address)[:-1]
    return b"%d %b" % (len(line), line)


def test_a_thousand_connections_and_garbage_on_both_ports_and_a_login_comes_through(one: Streaming) -> None:
    noise = random.Random(5)  # noqa: S311 - the same bytes each time
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(one.tcp, 5)) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.sendall(b"<22>Nov 22 10:09:49 mail1 postfix/smtpd[7]: connect from client%d\n" % number)
        for server in (one.tcp, one.tls):
            with socket.create_connection(server, 5) as stranger, contextlib.suppress(OSError):
                stranger.sendall(noise.randbytes(100_000))
        with one.connect() as peer:
            peer.sendall(counted(A))
            clients[-1].sendall(login(B))
            one.site.holds(A, B)
            wait_until(lambda: one.figure("stream_connections tcp") == 1000, "a thousand to be open")
            wait_until(lambda: one.figure("stream_connections_ended_total handshake tls") == 1, "what is no TLS to be cut")
            assert 1 == one.figure("stream_connections tls")
    wait_until(lambda: one.figure("stream_connections_ended_total closed tcp") >= 1000, "all of them to be closed")
    figures = one.site.figures()
    outcomes = sum(value for name, value in figures.items() if name.startswith("outcomes_total"))
    received = figures["datagrams_received_total tcp"] + figures["datagrams_received_total tls"]
    assert (outcomes, 0, 0) == (received, figures["process_restarts_total streams"], len(one.site.appliance.workers()))
    assert (
        0 < figures["tls_certificate_expiry_timestamp_seconds certificate"] < figures["tls_certificate_expiry_timestamp_seconds client_ca"]
    )


def test_connections_wait_while_the_process_is_started_again(one: Streaming) -> None:
    pid = one.site.child("streams")
    os.kill(pid, signal.SIGKILL)
    with socket.create_connection(one.tcp, 5) as client:
        client.sendall(login(C))
        wait_until(lambda: one.site.appliance.allows(C), "the login that waited")
    assert not alive(pid)
    one.site.appliance.wait_ready()


def test_a_reload_reads_the_certificates_anew_and_loses_no_connection_that_waits(one: Streaming, tmp_path: Path) -> None:
    other = Authority.make(tmp_path, "other")
    newcomer = other.issue("mail1", "mail1.example.org")
    both = one.authority.own.certificate.read_text() + other.own.certificate.read_text()
    before = one.figure("stream_connections_ended_total certificate tls")
    with pytest.raises(OSError), one.connect(peer=newcomer) as refused:  # noqa: PT012 - TLS 1.3: when it reads
        if not refused.recv(1):
            raise ConnectionResetError
    wait_until(lambda: one.figure("stream_connections_ended_total certificate tls") == before + 1, "the refusal to be counted")
    with one.connect() as old:
        one.authority.own.certificate.write_text(both)
        one.site.appliance.adopt(one.site.text)
        assert b"" == old.recv(1)  # it is told, and may come again
    with one.connect(peer=newcomer) as taken:
        taken.sendall(counted("198.51.100.77"))
        wait_until(lambda: one.site.appliance.allows("198.51.100.77"), "the newcomer's login")


def test_a_reload_with_files_that_do_not_serve_is_refused_and_the_old_ones_stay(one: Streaming) -> None:
    one.site.reload(one.site.text.replace("ours.key", "none.key"))
    assert "none.key cannot be read (No such file or directory)" in one.site.appliance.said()
    assert 0 == one.figure("config_last_reload_successful")
    with one.connect() as client:
        client.sendall(counted("198.51.100.78"))
        wait_until(lambda: one.site.appliance.allows("198.51.100.78"), "the login")
    one.site.appliance.adopt(one.site.text)


def test_a_place_that_is_added_is_listened_on_and_one_that_is_left_out_no_longer(one: Streaming) -> None:
    second = ("127.0.0.1", free_port(socket.SOCK_STREAM))
    one.site.appliance.adopt(one.site.text.replace(f"127.0.0.1:{one.tcp[1]}", f"127.0.0.1:{second[1]}"))
    with socket.create_connection(second, 5) as client:
        client.sendall(login("198.51.100.79"))
        wait_until(lambda: one.site.appliance.allows("198.51.100.79"), "the login")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(one.tcp, 5)
    one.site.appliance.adopt(one.site.text)


def test_files_that_do_not_serve_end_the_start_and_check_config_says_the_same(tmp_path: Path) -> None:
    made = streaming(tmp_path)
    made.site.configure(made.site.text.replace("ours.pem", "none.pem"))
    for verb in ("run", "check-config"):
        done = made.site.appliance.ask(verb)
        assert (78, 1) == (done.returncode, done.stderr.count("tls.certificate: ")), done.stderr


def test_a_key_that_only_root_can_read_ends_the_start_for_the_user_that_root_gives_way_to() -> None:
    need("root")
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to others
        directory, state = Path(name), Path(name) / "site" / "state"
        directory.chmod(0o755)
        made = streaming(directory)
        state.mkdir(0o750)
        os.chown(state, NOBODY, NOBODY)
        (directory / "ours.key").chmod(0o600)
        checked, done = made.site.appliance.ask("check-config"), made.site.appliance.ask("run")
        assert (0, 69) == (checked.returncode, done.returncode), done.stderr
        why = f"tls.key: {directory}/ours.key cannot be read (Permission denied); let the user that syslogauth runs as read it"
        assert why in done.stderr.splitlines()[-1]


def test_sockets_that_a_service_manager_hands_over_are_told_apart(tmp_path: Path) -> None:
    made = streaming(tmp_path)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]  # by name, by address, by neither
    named, listed, other = (sock.getsockname() for sock in sockets)
    made.site.configure(made.site.text.replace(f"127.0.0.1:{made.tls[1]}", f"127.0.0.1:{listed[1]}"))
    script = (
        "import os, sys; fds = [int(word) for word in sys.argv[1:4]];"
        "[os.dup2(fd, 20 + number) for number, fd in enumerate(fds)];"
        "[os.dup2(20 + number, 3 + number) for number in range(3)];"
        "os.environ |= {'LISTEN_FDS': '3', 'LISTEN_FDNAMES': 'tcp:mail:mail', 'LISTEN_PID': str(os.getpid())};"
        "os.execv(sys.executable, [sys.executable, *sys.argv[4:]])"
    )
    descriptors = [sock.fileno() for sock in sockets]
    command = [sys.executable, "-c", script, *map(str, descriptors), *made.site.appliance.command("run")[1:]]
    appliance, made.tls = made.site.appliance, listed
    with (tmp_path / "said").open("w") as said:
        appliance.running = subprocess.Popen(command, pass_fds=descriptors, stdout=said, stderr=said, env=clean_environment())
    for sock in sockets:
        sock.close()
    appliance.metrics = other
    try:
        appliance.wait_ready()
        with socket.create_connection(named, 5) as plain, made.connect() as peer:
            plain.sendall(login(A))
            peer.sendall(counted(B))
            made.site.holds(A, B)
    finally:
        appliance.stop()
