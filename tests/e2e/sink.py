"""The server that takes what sendmail relays: it accepts every message and keeps it."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.netns import Netns

REPLIES = {"QUIT": b"221 bye\r\n", "DATA": b"354 go on\r\n"}


class Conversation(socketserver.StreamRequestHandler):
    """SMTP as far as sendmail's client needs it (RFC 5321)."""

    server: "Sink"

    def handle(self) -> None:
        self.wfile.write(b"220 sink.example\r\n")
        for line in self.rfile:
            verb = line.decode("ascii", "replace").split()[0].upper()
            self.wfile.write(REPLIES.get(verb, b"250 ok\r\n"))
            if verb == "DATA":
                self.server.messages.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"250 taken\r\n")
            if verb == "QUIT":
                return


class Sink(socketserver.ThreadingTCPServer):
    """The messages taken so far, each with its header."""

    daemon_threads = True

    def __init__(self) -> None:
        self.messages: list[str] = []
        super().__init__(("127.0.0.1", 0), Conversation)

    @property
    def address(self) -> tuple[str, int]:
        name: tuple[str, int] = self.socket.getsockname()
        return name

    def holds(self, text: str) -> bool:
        return any(text in message for message in self.messages)


@contextmanager
def sink(host: Netns) -> Iterator[Sink]:
    """A sink that listens in the private network for as long as the block runs."""
    with host.inside(Sink) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
