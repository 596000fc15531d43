"""A peer that is gone without a word, its network too: the connection is found dead by the kernel's probes, and its place is free again."""

import subprocess
from pathlib import Path

from syslogauth.connections import Allowance
from syslogauth.listeners import stream
from syslogauth.listeners.stream import Keepalive
from tests.e2e.netns import mail_host
from tests.streaming import LOGIN, running

HASTY = Allowance(1, 10, keepalive=Keepalive(idle_seconds=1, interval_seconds=1, probes=2))


def test_a_peer_whose_network_is_gone_is_given_up_and_makes_room_for_another(tmp_path: Path) -> None:
    with mail_host({"192.0.2.1": "log.example.org"}) as host:
        listening = {"tcp": host.inside(lambda: stream.listen("127.0.0.1", 0))}
        server = listening["tcp"].getsockname()
        with running(tmp_path, HASTY, listening=listening) as one:
            first = host.connect("127.0.0.1", server)
            first.sendall(LOGIN.format("198.51.100.1").encode() + b"\n<22>half of a message")
            one.until_received(1)
            subprocess.run(host.command("ip", "link", "set", "lo", "down"), check=True)
            one.until_ended("tcp", "timeout")
            subprocess.run(host.command("ip", "link", "set", "lo", "up"), check=True)
            with host.connect("127.0.0.1", server) as second:
                second.sendall(LOGIN.format("198.51.100.2").encode() + b"\n")
                one.until_received(2)
            first.close()
