"""The parent's sockets: which worker reads which, and what stays open."""

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import structlog
from structlog.testing import capture_logs

from syslogauth import places as places_module
from syslogauth.listeners import stream, udp
from syslogauth.places import Backlogs, Inherited, Places, Unavailable, sorted_out
from syslogauth.settings import Endpoint
from tests.appliance import free_port

BUFFER = 65536


def place() -> Endpoint:
    return Endpoint("127.0.0.1", free_port(socket.SOCK_DGRAM))


@contextmanager
def opened(*endpoints: Endpoint, workers: int, inherited: Sequence[socket.socket] = ()) -> Iterator[Places]:
    places = Places(inherited, structlog.get_logger())
    places.open(endpoints, BUFFER, workers)
    try:
        yield places
    finally:
        places.close()


def send(target: Endpoint, count: int = 64) -> None:
    """A datagram each from so many ports."""
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (target.host, target.port))


def taken(sockets: Sequence[socket.socket]) -> list[int]:
    """How many datagrams each held."""
    counts = []
    for sock in sockets:
        count = 0
        while True:
            try:
                sock.recv(10)
            except BlockingIOError:
                break
            count += 1
        counts.append(count)
    return counts


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_worker_has_a_socket_of_each_place_and_gets_its_part_of_the_senders(workers: int) -> None:
    first, second = place(), place()
    with opened(first, second, workers=workers) as places:
        assert workers == places.workers
        shares = [places.share(worker) for worker in range(workers)]
        assert [2] * workers == list(map(len, shares))
        assert 2 * workers == len({fd for share in shares for fd in share})
        send(first)
        counts = taken(places.sockets[str(first)])
        assert 64 == sum(counts)
        assert all(counts)
        assert [0] * workers == taken(places.sockets[str(second)])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_sender_reaches_one_socket_alone(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with opened(Endpoint(host, 0), workers=3) as places, socket.socket(family, socket.SOCK_DGRAM) as sender:
        (sockets,) = places.sockets.values()
        assert 1 == len({sock.getsockname()[1] for sock in sockets})
        for _ in range(30):
            sender.sendto(b"x", sockets[0].getsockname())
        assert [0, 0, 30] == sorted(taken(sockets))


def test_a_place_grows_and_never_shrinks_and_keeps_what_its_sockets_hold() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux lets others join a socket that was bound alone")
    where = place()
    with opened(where, workers=1) as places:
        send(where, 10)
        before = list(places.sockets[str(where)])
        places.open((where,), BUFFER, 3)
        assert before == places.sockets[str(where)][:1]
        assert [1, 1, 1] == [len(places.share(worker)) for worker in range(places.workers)]
        send(where)
        three = list(places.sockets[str(where)])
        places.open((where,), BUFFER, 2)
        assert [2, 1] == [len(places.share(worker)) for worker in range(places.workers)]
        places.open((where,), BUFFER, 1)
        assert [fd.fileno() for fd in three] == places.share(0)
        counts = taken(three)
        assert 74 == sum(counts)
        assert all(counts)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_somebody_holds_is_refused_also_where_it_could_be_joined(
    monkeypatch: pytest.MonkeyPatch, workers: int, shared: bool
) -> None:
    monkeypatch.setattr(places_module, "BIND_TRIES_SECONDS", 0.1)
    with udp.bind("127.0.0.1", 0, BUFFER, shared=shared) as holder:
        where = Endpoint(*holder.getsockname())
        places = Places((), structlog.get_logger())
        with pytest.raises(Unavailable) as raised:
            places.open((where,), BUFFER, workers)
        assert f"listen.udp: {where}: Address already in use; stop what has it, or name another" == str(raised.value)
        assert {} == places.sockets


def test_where_one_place_cannot_be_opened_nothing_changes_and_no_socket_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "BIND_TRIES_SECONDS", 0.1)
    first, second = place(), place()
    with opened(first, workers=1) as places, udp.bind("127.0.0.1", 0, BUFFER) as holder:
        before = dict(places.sockets)
        with pytest.raises(Unavailable):
            places.open((first, second, Endpoint(*holder.getsockname())), BUFFER, 2)
        assert (before, 1) == (places.sockets, places.workers)
        with udp.bind(second.host, second.port, BUFFER):  # free again
            pass


def test_a_socket_that_none_can_join_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on FreeBSD, where a port is shared from the beginning or never."""
    where = place()
    with opened(where, workers=1) as places:
        monkeypatch.setattr(sys, "platform", "freebsd14")
        with pytest.raises(Unavailable) as raised:
            places.open((where,), BUFFER, 2)
        monkeypatch.undo()
        assert f"listen.workers: {where}: no more sockets can join: Address already in use; restart syslogauth" == str(raised.value)
        assert 1 == places.workers == len(places.sockets[str(where)])


def test_where_a_port_is_shared_from_the_beginning_the_first_socket_is_too(monkeypatch: pytest.MonkeyPatch) -> None:
    where = place()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "freebsd14")
        places = Places((), structlog.get_logger())
        places.open((where,), BUFFER, 2)
        send(where)
        assert all(taken(places.sockets[str(where)]))
        places.open((where,), BUFFER, 3)
        assert 3 == len(places.sockets[str(where)])
        places.close()


def test_a_place_that_is_no_longer_listed_is_closed_and_its_losses_stay_counted() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux counts losses by socket")
    first, second = place(), place()
    with opened(first, second, workers=2) as places:
        gone = list(places.sockets[str(second)])
        send(second, 2000)
        dropped = places.drops()
        assert 2000 == dropped + sum(taken(gone))
        assert dropped > 0
        places.open((first,), BUFFER, 2)
        assert [-1, -1] == [sock.fileno() for sock in gone]
        assert dropped == places.drops()
        assert [((str(first),), BUFFER)] == places.buffers()


# handed over by a service manager


def handed_over(count: int) -> list[socket.socket]:
    first = udp.bind("127.0.0.1", 0, BUFFER, shared=True)
    port = first.getsockname()[1]
    return [first, *(udp.bind("127.0.0.1", port, BUFFER, shared=True) for _ in range(count - 1))]


@pytest.mark.parametrize(
    ("sockets", "workers", "expected"),
    [(1, 1, [1]), (2, 2, [1, 1]), (4, 2, [2, 2]), (3, 1, [3]), (1, 2, [1]), (2, 64, [1, 1])],
    ids=lambda value: str(value),
)
def test_sockets_that_were_handed_over_are_shared_out_and_decide_how_many_workers_there_can_be(
    sockets: int, workers: int, expected: list[int]
) -> None:
    with capture_logs() as logs, opened(place(), workers=workers, inherited=handed_over(sockets)) as places:
        assert expected == [len(places.share(worker)) for worker in range(places.workers)]
        assert sockets == sum(expected)
    warned = [log["wanted"] for log in logs if log["event"] == "fewer sockets were handed over than listen.workers"]
    assert ([workers] if workers > len(expected) else []) == warned


def test_sockets_of_several_places_are_told_apart_by_their_address() -> None:
    with opened(workers=2, inherited=[*handed_over(2), *handed_over(1)]) as places:
        assert [2, 1] == [len(places.share(worker)) for worker in range(places.workers)]
        places.open((), BUFFER, 1)  # a reload
        assert [3] == [len(places.share(worker)) for worker in range(places.workers)]


# the listening ones


def listening_place() -> Endpoint:
    return Endpoint("127.0.0.1", free_port(socket.SOCK_STREAM))


@contextmanager
def backlogs(wanted: Mapping[str, Sequence[Endpoint]], **inherited: Sequence[socket.socket]) -> Iterator[Backlogs]:
    made = Backlogs(inherited)
    made.take(made.bound(wanted))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_wait_in_the_backlog_of_what_is_listed(host: str) -> None:
    with backlogs({"tcp": [Endpoint(host, 0)], "tls": []}) as places:
        (sock,) = places.sockets.values()
        with socket.create_connection(sock.getsockname()[:2], 2) as client:
            client.sendall(b"x")
            taken, _ = sock.accept()
            with taken:
                assert b"x" == taken.recv(1)


def test_a_listening_place_that_stays_keeps_its_socket_and_one_that_is_left_out_is_closed() -> None:
    first, second, third = listening_place(), listening_place(), listening_place()
    with backlogs({"tcp": [first, second], "tls": [third]}) as places:
        before = dict(places.sockets)
        places.take(places.bound({"tcp": [second], "tls": [third]}))
        assert [f"tcp {second}", f"tls {third}"] == places.texts()
        assert before["tcp", str(second)] is places.sockets["tcp", str(second)]
        assert -1 == before["tcp", str(first)].fileno()


def test_a_listening_place_may_move_from_tcp_to_tls_and_one_that_is_taken_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_module, "BIND_TRIES_SECONDS", 0.1)
    where, new = listening_place(), listening_place()
    with backlogs({"tcp": [where]}) as places, socket.create_server(("127.0.0.1", 0)) as holder:
        before = dict(places.sockets)
        with pytest.raises(Unavailable, match="Address already in use; stop what has it, or name another"):
            places.bound({"tls": [where, new, text_of(holder)]})
        assert before == places.sockets
        stream.listen(new.host, new.port).close()  # free again
        places.take(places.bound({"tls": [where]}))
        assert ([f"tls {where}"], [*before.values()]) == (places.texts(), [*places.sockets.values()])


def inherited(*uses: str) -> list[tuple[socket.socket, str]]:
    return [(socket.create_server(("127.0.0.1", 0)), name) for name in uses]


def text_of(sock: socket.socket) -> Endpoint:
    return Endpoint(*sock.getsockname())


def close(found: Inherited) -> None:
    for sock in (*found.datagram, *found.streams["tcp"], *found.streams["tls"], *([found.metrics] if found.metrics else [])):
        sock.close()


def test_what_a_socket_is_for_says_its_name_else_its_address_and_else_it_is_for_the_metrics() -> None:
    sockets = inherited("tls", "syslogauth.socket", "", "metrics")
    datagram = udp.bind("127.0.0.1", 0, BUFFER)
    listed = {"tcp": [text_of(sockets[1][0])], "tls": [text_of(sockets[2][0])], "metrics": []}
    found = sorted_out([*sockets, (datagram, "udp")], listed)
    assert ([datagram], sockets[3][0]) == (found.datagram, found.metrics)
    assert {"tcp": [sockets[1][0]], "tls": [sockets[0][0], sockets[2][0]]} == found.streams
    assert [False, False, True] == [sock.getblocking() for sock in (datagram, sockets[0][0], sockets[3][0])]
    close(found)
    found = sorted_out(inherited(""), {"tcp": [], "tls": [], "metrics": [Endpoint("127.0.0.1", 1)]})
    assert found.metrics
    close(found)


@pytest.mark.parametrize("names", [("", ""), ("metrics", ""), ("metrics", "metrics")])
def test_a_socket_of_which_nothing_says_what_it_is_for_ends_the_start(names: tuple[str, str]) -> None:
    sockets = inherited(*names)
    with pytest.raises(Unavailable) as raised:
        sorted_out(sockets, {"tcp": [], "tls": [], "metrics": []})
    where = text_of(sockets[1][0])
    mend = "name it (systemd: FileDescriptorName=tcp, tls or metrics), or list its address"
    assert f"{where}: a listening socket was handed over, and nothing says what for; {mend}" == str(raised.value)
    for sock, _ in sockets:
        sock.close()


def test_handed_over_sockets_stand_for_all_that_is_listed_of_their_transport_and_stay() -> None:
    ((tcp, _),) = inherited("tcp")
    with backlogs({"tcp": [listening_place()], "tls": [Endpoint("127.0.0.1", 0)]}, tcp=[tcp], tls=[]) as places:
        assert tcp.fileno() in places.descriptors("tcp")
        assert ([tcp.fileno()], 2) == (places.descriptors("tcp"), len(places.descriptors("tcp", "tls")))
        places.take(places.bound({"tcp": [], "tls": []}))
        assert [tcp.fileno()] == places.descriptors("tcp", "tls")


def test_a_buffer_that_was_handed_over_is_not_cut_to_what_is_asked_for() -> None:
    """The manager's (systemd: ReceiveBuffer=) may be past what this user may ask for."""
    sock = udp.bind("127.0.0.1", 0, 2 * BUFFER)
    before = udp.granted_buffer_bytes(sock)
    with opened(workers=1, inherited=[sock]) as places:
        assert before > BUFFER
        assert [before] == [granted for _, granted in places.buffers()]
