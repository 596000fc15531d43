"""/metrics, /-/healthy and /-/ready over HTTP, in a thread of its own. Anything else is 404.

prometheus_client's own server answers every path with the metrics, so that a probe of any path would always succeed, and it binds
to every address: hence a router of our own before its WSGI application, on a socket that was bound for us. A client that says nothing
is cut off after REQUEST_SECONDS, and what a client breaks off is no news. /-/healthy and /-/ready answer 200 and `ok`, or 503 and the
reason in one line.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

REQUEST_SECONDS = 10.0
REQUESTS_AT_ONCE = 16  # more are closed at once: idle connections must not use up the daemon's descriptors
Probe = Callable[[], str | None]  # None: all is well; else the reason in one line
Start = Callable[[str, list[tuple[str, str]]], Any]


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Silent: a scrape each 15 s is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    places = threading.BoundedSemaphore(REQUESTS_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self.places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def server_bind(self) -> None:  # the socket came bound
        self.server_name, self.server_port = "syslogauth", self.socket.getsockname()[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # the client's: it went away, or said nothing in time
            super().handle_error(request, client_address)


def router(registry: CollectorRegistry, healthy: Probe, ready: Probe) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """The WSGI application."""
    metrics = make_wsgi_app(registry)
    probes = {"/-/healthy": healthy, "/-/ready": ready}

    def answer(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return cast("Iterable[bytes]", metrics(environ, start_response))
        if path not in probes:
            status, text = "404 Not Found", "not found: /metrics, /-/healthy and /-/ready are here"
        else:
            reason = probes[path]()
            status, text = ("200 OK", "ok") if reason is None else ("503 Service Unavailable", " ".join(reason.split()))
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode() + b"\n"]

    return answer


def serve(listening: socket.socket, registry: CollectorRegistry, healthy: Probe, ready: Probe) -> Callable[[], None]:
    """Answer on a bound socket until the function that is returned is called."""
    server = _Server(listening.getsockname()[:2], _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.server_bind()
    server.server_activate()
    server.set_app(router(registry, healthy, ready))
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop
