"""What the service manager is told, and when: systemd's side is a datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth.notify import READY_LIMIT_SECONDS, Notices

WORKING = "listens on 127.0.0.1:5140"


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify") if request.param == "path" else f"\0{tmp_path}")
        listening.setblocking(False)
        yield listening


def notices(systemd: socket.socket, **more: str) -> Notices:
    name = systemd.getsockname()
    address = "@" + name[1:].decode() if isinstance(name, bytes) else name
    return Notices({"NOTIFY_SOCKET": address, **more})


def heard(systemd: socket.socket) -> list[list[str]]:
    found = []
    while True:
        try:
            found.append(systemd.recv(4096).decode().splitlines())
        except BlockingIOError:
            return found


def test_a_start_is_ready_once_and_says_what_it_waits_for(systemd: socket.socket) -> None:
    told = notices(systemd)
    told.owe_ready(100.0)
    told.look("exporter: starting", WORKING, 100.0)
    told.look("exporter: starting", WORKING, 101.0)
    told.look(None, WORKING, 102.0)
    told.look(None, WORKING, 103.0)
    assert [["STATUS=not ready: exporter: starting"], ["READY=1", f"STATUS={WORKING}"]] == heard(systemd)


def test_a_start_that_lasts_is_ready_all_the_same_and_the_status_says_what_is_wrong(systemd: socket.socket) -> None:
    told = notices(systemd)
    told.owe_ready(100.0)
    told.look("export /etc/mail/popauth:\nPermission denied", WORKING, 100.0 + READY_LIMIT_SECONDS - 0.1)
    told.look("export /etc/mail/popauth:\nPermission denied", WORKING, 100.0 + READY_LIMIT_SECONDS)
    assert [["STATUS=not ready: export /etc/mail/popauth: Permission denied"], ["READY=1"]] == heard(systemd)


def test_a_reload_is_announced_and_not_over_before_the_next_children_are_ready(systemd: socket.socket) -> None:
    told = notices(systemd)
    told.owe_ready(100.0)
    told.look(None, WORKING, 100.0)
    told.reloading()
    told.look(None, WORKING, 101.0)  # the old children are as ready as they were
    told.owe_ready(102.0)
    told.look("receiver: starting", WORKING, 102.0)
    told.look(None, WORKING, 103.0)
    first, (reloading, stamp), *rest = heard(systemd)
    assert ["READY=1", f"STATUS={WORKING}"] == first
    assert ("RELOADING=1", "MONOTONIC_USEC") == (reloading, stamp.partition("=")[0])
    assert stamp.partition("=")[2].isdecimal()
    assert [["STATUS=not ready: receiver: starting"], ["READY=1", f"STATUS={WORKING}"]] == rest


def test_a_stop_is_announced(systemd: socket.socket) -> None:
    told = notices(systemd)
    told.stopping("empty")
    assert [["STOPPING=1", "STATUS=stopping; maps: empty"]] == heard(systemd)


def test_the_watchdog_is_fed_four_times_in_its_time_and_only_while_all_is_well(systemd: socket.socket) -> None:
    told = notices(systemd, WATCHDOG_USEC="8000000", WATCHDOG_PID=str(os.getpid()))
    for unhealthy, monotonic in (
        (None, 10.0),
        (None, 11.9),
        (None, 12.0),
        ("receiver: no heartbeat for 11 s", 14.5),
        (None, 15.0),
        (None, 16.0),
    ):
        told.feed(unhealthy, monotonic)
    assert [["WATCHDOG=1"]] * 3 == heard(systemd)


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_of_another_process_or_none_is_not_fed(watchdog: dict[str, str], systemd: socket.socket) -> None:
    notices(systemd, **watchdog).feed(None, 10.0)
    assert [] == heard(systemd)


def test_what_could_not_be_said_is_said_at_the_next_look(tmp_path: Path) -> None:
    told = Notices({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "8000000"})
    told.owe_ready(100.0)
    told.look(None, WORKING, 100.0)
    told.feed(None, 100.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        told.look(None, WORKING, 100.5)
        told.feed(None, 100.5)
        assert [["READY=1", f"STATUS={WORKING}"], ["WATCHDOG=1"]] == heard(systemd)


def test_the_variables_do_not_stay_in_the_environment_and_none_is_needed() -> None:
    environment = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "LANG": "C"}
    assert "/run/systemd/notify" == Notices(environment).address
    assert {"LANG": "C"} == environment
    silent = Notices({})
    silent.owe_ready(1.0)
    silent.look(None, WORKING, 1.0)
    silent.stopping("keep")
    assert "" == silent.address
