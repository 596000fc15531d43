import json
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from syslogauth.control import Control, heartbeat

Pair = tuple[Control, Control]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Control(ours), Control(theirs)


def test_lines_come_whole_and_in_order(pair: Pair) -> None:
    parent, child = pair
    assert [] == child.receive()
    parent.send({"config": "x = 1\n", "file": "x.toml"})
    parent.send({"stop": "keep"})
    assert [{"config": "x = 1\n", "file": "x.toml"}, {"stop": "keep"}] == child.receive()
    assert [] == child.receive()


def test_the_other_sides_death_is_none(pair: Pair) -> None:
    parent, child = pair
    parent.send({"stop": "keep"})
    parent.sock.close()
    assert [{"stop": "keep"}] == child.receive()
    assert child.receive() is None
    assert child.wait(5) is None


def test_speaking_to_the_dead_is_no_error(pair: Pair) -> None:
    parent, child = pair
    child.sock.close()
    parent.send({"stop": "keep"})
    parent.send({"stop": "keep"})


def test_a_stop_that_came_with_the_first_line_is_not_lost(pair: Pair) -> None:
    parent, child = pair
    parent.send({"config": "", "file": ""})
    parent.send({"stop": "empty"})
    assert {"config": "", "file": ""} == child.first(5)
    began = time.monotonic()
    assert [{"stop": "empty"}] == child.wait(5)
    assert time.monotonic() - began < 1
    assert [] == child.wait(0)


def test_a_first_line_that_comes_in_pieces_is_waited_for(pair: Pair) -> None:
    parent, child = pair
    line = json.dumps({"config": "x" * 1000}).encode() + b"\n"
    parent.sock.send(line[:300])
    speakers = [threading.Timer(0.05 * n, parent.sock.send, [line[300 * n : 300 * (n + 1)]]) for n in (1, 2, 3)]
    for speaker in speakers:
        speaker.start()
    assert {"config": "x" * 1000} == child.first(5)
    for speaker in speakers:
        speaker.join()


@pytest.mark.parametrize("then", ["dies", "is silent"])
def test_a_first_line_that_is_never_whole_is_none(pair: Pair, then: str) -> None:
    parent, child = pair
    parent.sock.send(b'{"config": ')
    if then == "dies":
        parent.sock.close()
    began = time.monotonic()
    assert child.first(0.2 if then == "is silent" else 5) is None
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("dies", [True, False])
def test_without_a_first_line_there_is_none(pair: Pair, dies: bool) -> None:
    parent, child = pair
    if dies:
        parent.sock.close()
    assert child.first(0.05) is None


def test_waiting_ends_when_something_comes(pair: Pair) -> None:
    parent, child = pair
    speaker = threading.Timer(0.05, parent.send, [{"stop": "keep"}])
    speaker.start()
    assert [{"stop": "keep"}] == child.wait(5)
    speaker.join()


def test_a_line_in_pieces_is_put_together(pair: Pair) -> None:
    parent, child = pair
    line = json.dumps({"config": "x" * 1000}).encode() + b"\n"
    for at in range(0, len(line), 300):
        parent.sock.send(line[at : at + 300])
        messages = child.receive()
    assert [{"config": "x" * 1000}] == messages


def test_heartbeats_that_nobody_takes_are_dropped_and_what_is_not_is_whole(pair: Pair) -> None:
    parent, child = pair
    for number in range(2000):
        child.send({"number": number, "samples": {"x": [[[], number]] * 50}})  # never blocks
    received = []
    while messages := parent.receive():
        received += messages
        child.flush()
    numbers = [message["number"] for message in received]
    assert numbers == sorted(numbers)
    assert 0 < len(numbers) < 2000
    child.send({"number": 2000, "samples": {}})
    assert [2000] == [message["number"] for message in parent.receive() or []]


def test_a_stop_is_queued_behind_what_the_other_side_has_not_taken(pair: Pair) -> None:
    parent, child = pair
    for _ in range(2000):
        child.send({"samples": {"x": "y" * 1000}})
    child.send({"stop": "keep"})
    received = []
    while messages := parent.receive():
        received += messages
        child.flush()
    assert {"stop": "keep"} in received


def test_a_line_longer_than_the_socket_holds_goes_out_bit_by_bit(pair: Pair) -> None:
    parent, child = pair
    first = {"config": "# a comment\n" * 100_000}
    assert not parent.send(first)
    assert not parent.send({"stop": "empty"})
    received, flushes = [], 0
    while not (parent.flush() and len(received) == 2):
        received += child.receive() or []
        flushes += 1
        assert flushes < 10_000
    assert [first, {"stop": "empty"}] == received
    assert parent.flush()
    assert parent.send({"stop": "keep"})


def test_what_is_left_for_the_dead_is_given_up(pair: Pair) -> None:
    parent, child = pair
    assert not parent.send({"config": "x" * (1 << 20)})
    child.sock.close()
    assert parent.flush()


def test_a_side_that_never_ends_its_line_is_given_up(pair: Pair) -> None:
    parent, child = pair

    def flood() -> None:
        parent.sock.setblocking(True)
        try:
            for _ in range(200):
                parent.sock.sendall(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass

    flooding = threading.Thread(target=flood)
    flooding.start()
    while (heard := child.wait(5)) == []:
        pass
    assert heard is None
    child.sock.close()
    flooding.join()


def test_a_heartbeat_tells_what_its_process_costs() -> None:
    beat = heartbeat("receiver", False, "why", {"pending_grants": [((), 1)]})
    assert (False, "why", [((), 1)]) == (beat["ready"], beat["reason"], beat["samples"]["pending_grants"])
    ((labels, seconds),) = beat["samples"]["process_cpu_seconds"]
    assert ("receiver",) == labels
    assert 0 < seconds < sum(os.times()[:2]) + 0.1
    ((_, size),) = beat["samples"]["process_peak_resident_bytes"]
    assert 1 << 20 < size < 1 << 33
