"""A mail host of its own for a test: private network, mounts, process ids and host name, of which nothing is left at the end.

Every address that takes part, the server's and the clients', lies on the loopback interface of the private network. /dev is private, so
that syslog(3) finds the test's own /dev/log, and so are the host name and the files that the resolver reads: no name server is asked.
Process 1 in there is a `cat` that reads a pipe of the test's. When the pipe closes, because the test ended or died, the kernel ends
every other process in there with it, daemons included.

Fails with CalledProcessError or AssertionError where the machine does not allow it: root and Linux >= 3.8 are needed.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.deadline import wait_until
from tests.needs import need
from tests.processes import children

HOSTNAME = "mail1.example.org"
CLONE_NEWNET = 0x40000000  # linux/sched.h; os.setns comes with Python 3.12

# Directories of the temporary file system's are writable by all, which sendmail does not accept in the path of a map.
PARENT = Path("/run")

SETUP = r"""
set -e
exec 2>&1
hostname "$1"
ip link set lo up
shift
private=$1
shift
for address; do ip address add "$address" dev lo $(case $address in *:*) echo nodad; esac); done
for file in hosts resolv.conf nsswitch.conf; do
    [ -e "/etc/$file" ] || continue
    mount --bind "$private/$file" "/etc/$file"
done
mkdir "$private/dev"
mount -t tmpfs -o mode=755 none "$private/dev"
for node in null zero full random urandom tty; do
    [ -e "/dev/$node" ] || continue
    : >"$private/dev/$node"
    mount --bind "/dev/$node" "$private/dev/$node"
done
mkdir -m 1777 "$private/dev/shm"
ln -s /proc/self/fd "$private/dev/fd"
mount --move "$private/dev" /dev
echo ready
exec cat >/dev/null
"""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Netns:
    """The namespaces of a running mail host, and a directory (the same path inside and outside) that every user may pass through."""

    pid: int
    directory: Path
    started: list[subprocess.Popen[bytes]]

    def command(self, *argv: str | Path) -> list[str]:
        """The command line that runs `argv` inside."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--uts", "--", *map(str, argv)]

    def start(self, name: str, *argv: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a daemon that stays in the foreground; what it says goes to NAME.out in the directory."""
        with (self.directory / f"{name}.out").open("ab") as said:
            process = subprocess.Popen(
                self.command(*argv), stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **(environment or {})}
            )
        self.started.append(process)
        return process

    def inside(self, make: Callable[[], Made]) -> Made:
        """What `make` returns in a thread that has joined the private network: a socket made in there stays in there."""

        def joined() -> Made:
            with Path(f"/proc/{self.pid}/ns/net").open() as network:
                if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return make()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(joined).result()

    def connect(self, source: str, server: tuple[str, int], timeout_seconds: float = 10.0) -> socket.socket:
        """A TCP connection from one address of the private network to a server in it."""
        return self.inside(lambda: socket.create_connection(server, timeout_seconds, (source, 0)))

    def listens(self, server: tuple[str, int]) -> bool:
        """Whether a connection to the server is taken."""
        try:
            self.connect(server[0], server).close()
        except OSError:
            return False
        return True


@contextmanager
def mail_host(addresses: Mapping[str, str]) -> Iterator[Netns]:
    """Namespaces with these addresses (address -> name) on their loopback interface; ended and removed at the end, whatever happened."""
    for tool in ("root", "unshare", "nsenter", "ip"):
        need(tool)
    directory = Path(tempfile.mkdtemp(prefix="syslogauth-test-", dir=PARENT))
    try:
        directory.chmod(0o755)
        private = directory / "private"
        private.mkdir(mode=0o755)
        names = {"127.0.0.1": "localhost", "::1": "localhost", **addresses}
        (private / "hosts").write_text("".join(f"{address} {name}\n" for address, name in names.items()))
        (private / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        (private / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\naliases: files\n")
        started: list[subprocess.Popen[bytes]] = []
        unshare = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        prefixed = [f"{address}/{128 if ':' in address else 32}" for address in addresses]
        with subprocess.Popen(
            [*unshare, "sh", "-c", SETUP, "sh", HOSTNAME, private, *prefixed], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdin
            assert holder.stdout
            try:
                answer = holder.stdout.readline()
                assert answer == b"ready\n", (answer + holder.stdout.read()).decode()
                (first,) = wait_until(lambda: children(holder.pid), "process 1 of the namespace")
                yield Netns(first, directory, started)
            finally:
                holder.stdin.close()
                holder.wait(10)
                for process in started:
                    process.wait(10)
    finally:
        shutil.rmtree(directory)
