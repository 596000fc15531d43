"""Publishing while the real sendmail is asked without pause: nobody who is listed is ever refused, and whoever comes or goes is seen."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from syslogauth.exports import hash9
from syslogauth.publish import Publisher, differing
from tests.e2e import sendmail
from tests.e2e.netns import Netns, mail_host
from tests.keys import random_keys
from tests.needs import need

SERVER = "192.0.2.25"
LISTED = "192.0.2.7"
COMING = "192.0.2.8"
OTHERS = random_keys(2000) | {LISTED.encode()}
SECONDS = 10.0
PUBLICATIONS_PER_SECOND = 200
CLIENTS = 2


@dataclass
class Log:
    """What sendmail told syslog."""

    lines: list[str] = field(default_factory=list)

    def about_the_map(self) -> list[str]:
        """Lines that sendmail writes when it cannot use a map."""
        return [line for line in self.lines if "SYSERR" in line or "changed after" in line or "popauth" in line]


@contextmanager
def kept(host: Netns) -> Iterator[Log]:
    """The log of the mail host, kept while the test runs."""
    log = Log()
    socket = sendmail.syslog_socket(host)
    socket.settimeout(0.1)
    ended = threading.Event()

    def keep() -> None:
        while True:
            try:
                log.lines.append(socket.recv(8192).decode("utf-8", "replace"))
            except TimeoutError:
                if ended.is_set():
                    return

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield log
    finally:
        ended.set()
        thread.join()
        socket.close()


@dataclass(frozen=True)
class Rig:
    """A running sendmail, its log, and the publisher of its map."""

    host: Netns
    publisher: Publisher
    live: Path
    log: Log


@pytest.fixture
def rig() -> Iterator[Rig]:
    need("root")
    with mail_host({SERVER: "mail1.example.org", LISTED: "listed.example.org", COMING: "coming.example.org"}) as host, kept(host) as log:
        mail = host.directory / "mail"
        mail.mkdir(mode=0o755)
        live = mail / "popauth.db"
        publisher = Publisher(live, 0o640)
        publisher.publish(hash9.render(OTHERS))
        sendmail.start(host, mail / "popauth")
        yield Rig(host, publisher, live, log)


def images() -> list[bytes]:
    """What the map is changed between: clients come and go, and at times the table needs another number of buckets or is large."""
    base = hash9.render(OTHERS)
    buckets = hash9.bucket_count(base)
    more = OTHERS | random_keys(100, seed=3)
    same_size = [base, hash9.render(more, buckets)]
    return [*same_size * 5, hash9.render(more, buckets * 2), hash9.render(more | random_keys(4000, seed=4), buckets)]


def test_no_listed_client_is_refused_while_the_map_is_written_200_times_a_second(rig: Rig) -> None:
    replies: Counter[str] = Counter()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            with sendmail.Session(rig.host, LISTED, SERVER) as session:
                replies[session.rcpt()[:3]] += 1
                replies[session.rcpt()[:3]] += 1

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    rotation = images()
    previous = b""
    published, started = 0, time.monotonic()
    for client in clients:
        client.start()
    try:
        while (passed := time.monotonic() - started) < SECONDS:
            if published <= passed * PUBLICATIONS_PER_SECOND * 1.25:
                image = rotation[published % len(rotation)]
                rig.publisher.publish(image, differing(previous, image))
                previous, published = image, published + 1
            else:
                time.sleep(0.0005)
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert ["250"] == list(replies), replies
    assert [] == rig.log.about_the_map()
    assert published >= SECONDS * PUBLICATIONS_PER_SECOND, f"only {published} publications in {SECONDS} s"
    assert replies["250"] >= 500, f"only {replies['250']} answers while {published} maps were published"


def test_a_session_that_was_open_before_a_publication_sees_it(rig: Rig) -> None:
    listed, unlisted, *_ = (hash9.render(keys) for keys in (OTHERS | {COMING.encode()}, OTHERS))
    with sendmail.Session(rig.host, COMING, SERVER) as session:
        assert session.rcpt().startswith("550 5.7.1")
        rig.publisher.publish(listed)
        assert session.rcpt().startswith("250")
        rig.publisher.publish(unlisted)
        assert session.rcpt().startswith("550 5.7.1")
        assert 250 == sendmail.rcpt(rig.host, LISTED, SERVER)
    assert [] == rig.log.about_the_map()


def test_the_log_would_show_a_map_that_cannot_be_read(rig: Rig) -> None:
    rig.live.write_bytes(b"no map at all")
    assert 550 == sendmail.rcpt(rig.host, LISTED, SERVER)
    assert rig.log.about_the_map()
