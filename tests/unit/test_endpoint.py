import http.client
import select
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, Gauge

from syslogauth.endpoint import REQUESTS_AT_ONCE, serve
from tests.deadline import wait_until


@dataclass
class Endpoint:
    """A running endpoint and the reasons that its probes give."""

    host: str
    port: int = 0
    reasons: dict[str, str | None] = field(default_factory=lambda: {"healthy": None, "ready": None})

    def ask(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module", params=["127.0.0.1", "::1"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    listening = socket.socket(socket.AF_INET6 if ":" in request.param else socket.AF_INET, socket.SOCK_STREAM)
    listening.bind((request.param, 0))
    running = Endpoint(request.param, listening.getsockname()[1])
    registry = CollectorRegistry()
    Gauge("answer", "Of all.", registry=registry).set(42)
    stop = serve(listening, registry, lambda: running.reasons["healthy"], lambda: running.reasons["ready"])
    yield running
    stop()


def test_the_metrics_are_at_their_path_alone(endpoint: Endpoint) -> None:
    status, kind, page = endpoint.ask("/metrics")
    assert (200, "text/plain") == (status, kind)
    assert "answer 42.0" in page
    assert "answer 42.0" in endpoint.ask("/metrics?name[]=answer")[2]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metric", "/-/", "/-/healthz", "/healthy", "/-/ready/x", "/%2d/ready/"])
def test_anything_else_is_404(endpoint: Endpoint, path: str) -> None:
    assert (404, "text/plain", "not found: /metrics, /-/healthy and /-/ready are here\n") == endpoint.ask(path)


@pytest.mark.parametrize("probe", ["healthy", "ready"])
def test_a_probe_is_ok_or_503_with_one_line_of_reason(endpoint: Endpoint, probe: str) -> None:
    assert (200, "text/plain", "ok\n") == endpoint.ask(f"/-/{probe}")
    endpoint.reasons[probe] = "exporter: the disk is full"
    assert (503, "text/plain", "exporter: the disk is full\n") == endpoint.ask(f"/-/{probe}")
    endpoint.reasons[probe] = "makemap failed:\nline 1: what?\n"
    assert "makemap failed: line 1: what?\n" == endpoint.ask(f"/-/{probe}")[2]
    endpoint.reasons[probe] = None


def test_a_client_that_says_nothing_keeps_nobody_waiting(endpoint: Endpoint) -> None:
    with socket.create_connection((endpoint.host, endpoint.port)):
        assert 200 == endpoint.ask("/-/healthy")[0]


def requests() -> int:
    """How many connections are being served."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_a_client_that_goes_away_is_no_news(endpoint: Endpoint, capfd: pytest.CaptureFixture[str]) -> None:
    wait_until(lambda: requests() == 0, "earlier requests to end")
    with socket.create_connection((endpoint.host, endpoint.port)) as client:
        client.send(b"GET /metr")
        wait_until(lambda: requests() == 1, "the request to be read")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the close is a reset
    wait_until(lambda: requests() == 0, "the request to be given up")
    assert ("", "") == capfd.readouterr()


def hung_up(client: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    readable, _, _ = select.select([client], [], [], 0)
    return bool(readable) and client.recv(1) == b""


def test_idle_connections_have_so_many_places_and_no_more(endpoint: Endpoint) -> None:
    wait_until(lambda: requests() == 0, "earlier requests to end")
    idle = [socket.create_connection((endpoint.host, endpoint.port), 5) for _ in range(40)]
    try:
        wait_until(lambda: sum(map(hung_up, idle)) == 40 - REQUESTS_AT_ONCE, "those beyond the places to be closed", 5)
        assert [False] * REQUESTS_AT_ONCE == [hung_up(client) for client in idle[:REQUESTS_AT_ONCE]]
        assert REQUESTS_AT_ONCE == requests()
    finally:
        for client in idle:
            client.close()
    wait_until(lambda: requests() == 0, "the idle ones to be given up", 5)
    assert 200 == endpoint.ask("/metrics")[0]


def test_after_the_stop_nobody_answers() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    stop = serve(listening, CollectorRegistry(), lambda: None, lambda: None)
    stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
