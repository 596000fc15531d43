"""What instructions.py counts: `python -m benchmarks.counted PART DIRECTORY`, meant to be run under callgrind.

Each workload is made ready, run once so that Python has specialised its code, and then run between two calls of getppid(2): there
callgrind writes down what it has counted and begins anew, so neither the start nor the making ready is in the figure. A line on
standard output says, in that order, which workload it was and how many turns it took. Nothing here is random. The garbage
collector is off: when it runs depends on all that was ever imported.

Each part is a process and begins with the reference, whose code never changes: another change of it would move every ratio.
"""

import gc
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

REFERENCE = "reference"
NOW = 1_700_000_000.0
PEER = ("127.0.0.1", 514)
SLOTS = 128  # as a busy receiver reads them
COMMIT = 500
KEYS, CHANGED = 4_000, 50


class Workload(NamedTuple):
    name: str
    turns: int
    warm: Callable[[], object]
    run: Callable[[], object]


class Row(NamedTuple):
    priority: bytes
    stamp: bytes
    tag: bytes
    text: bytes
    length: int


HEADER = re.compile(
    rb"<(?P<priority>\d{1,3}+)>(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )(?>[^ :]++ )?(?P<tag>[\w/-]+)(?:\[\d+\])?: (?P<text>.*)",
    re.DOTALL,
)
FIELD = re.compile(rb"([a-z]+)=<?([^>, ]*+)>?(?:, |$)")
RECORD = struct.Struct(">BBQQQI")


def reference() -> Workload:
    """A third each of matching, of byte code and of small objects, as what is counted has them: more or less of one, and the ratios
    to it are others where the interpreter was built in another way."""
    lines = [
        b"<22>Nov 22 10:28:%02d mail%d dovecot[%d]: imap-login: Login: user=<u%d@example.org>, method=PLAIN, rip=192.0.2.%d, lip=192.0.2.1"
        % (number % 60, number % 4, 1000 + number, number * 7, number % 256)
        for number in range(256)
    ]

    def run() -> dict[object, bytes]:
        kept: dict[object, bytes] = {}
        for line in lines:
            found = HEADER.match(line)
            assert found
            fields = FIELD.findall(found["text"])
            bucket = 0
            for byte in line[:40]:
                bucket = (bucket * 403 ^ byte) & 0xFFFF
                if bucket & 1:
                    bucket += 2
            for _ in range(4):
                row = Row(found["priority"], found["stamp"], found["tag"], found["text"], len(line))
                again = row._replace(length=bucket)
                text = again.tag.decode("ascii").upper()
                record = RECORD.pack(1, 2, row.length, bucket, 5, 6) + b"".join([again.tag, text.encode()])
                kept[row.tag, bucket] = record
                sorted(RECORD.unpack_from(record))
                dict(fields)
        return kept

    return Workload(REFERENCE, len(lines), run, run)


def receive(directory: Path) -> Iterator[Workload]:
    """From datagrams and lines to grants, all formats on. `directory` is not needed."""
    from benchmarks.corpus import corpus, fresh_login
    from syslogauth.core.address import Networks
    from syslogauth.core.batch import Batch
    from syslogauth.core.intake import Intake
    from syslogauth.core.linetime import LineClock
    from syslogauth.core.peers import Sources
    from syslogauth.core.policy import Policy

    def intake() -> Intake:
        return Intake(Sources(Networks(("127.0.0.0/8",)), frozenset({"mail"})), Policy(1800.0, frozenset({"imap", "pop3"})))

    def workload(name: str, datagrams: Sequence[bytes], grants: int) -> Workload:
        """The first batch warms. `grants` are expected of each."""
        batches = [Batch.of((datagram, PEER) for datagram in datagrams[at : at + SLOTS]) for at in range(0, len(datagrams), SLOTS)]
        mine = intake()

        def feed(which: Sequence[Batch]) -> None:
            for batch in which:
                assert len(mine.feed(batch, NOW)) == grants, f"{name}: another number of grants"

        return Workload(name, len(datagrams) - SLOTS, lambda: feed(batches[:1]), lambda: feed(batches[1:]))

    users = range(4 * SLOTS)
    yield workload("noise datagram", [entry.datagram() for entry in corpus(0.0, 9 * SLOTS)], 0)
    yield workload("Dovecot login", [fresh_login(number) for number in users], SLOTS)
    uw = "<22>Nov 22 10:28:45 mail1 imapd[{0}]: Login user=u{0} host=c{0}.example.net [10.1.{1}.{2}]"
    yield workload("UW login", [uw.format(number, number >> 8, number & 255).encode() for number in users], SLOTS)
    qpopper = '<22>Nov 22 10:28:45 mail1 qpopper[{0}]: (v4.1.0) POP login by user "u{0}" at (c{0}.example.net) 10.2.{1}.{2}'
    yield workload("Qpopper login", [qpopper.format(number, number >> 8, number & 255).encode() for number in users], SLOTS)

    lines = [entry.line() for entry in corpus(0.05, 6 * SLOTS)]
    reader, clock = intake().lines, LineClock(NOW)

    def read(block: Sequence[bytes]) -> None:
        granted = sum(
            verdict.grant is not None for _, verdict in reader.judge_all(Batch.of_lines(b"".join(block)), clock.at, escaped=False)
        )
        assert granted == len(block) // 20, f"{granted} grants of {len(block)} lines"

    yield Workload("line of a log file, 5 % logins", 5 * SLOTS, lambda: read(lines[: -5 * SLOTS]), lambda: read(lines[-5 * SLOTS :]))


def store(directory: Path) -> Iterator[Workload]:
    """From grants to the table, and from its changes to the image of the map."""
    from syslogauth.core.login import Grant
    from syslogauth.exports.hash9 import LAYOUT
    from syslogauth.exports.image import Image
    from syslogauth.limits import Limits
    from syslogauth.record import Bounds
    from syslogauth.table import Table

    table = Table(directory / "table", 20_000, Bounds(1800.0, 86400.0), limits=Limits(per_user=256, per_ipv6_64=1024), metasync=False)

    def grant(number: int, now: float) -> Grant:
        """Of another address for each number, one in ten IPv6, in a scattered order; one user has three."""
        scattered = (number * 2654435761 & 0xFFFFFFFF).to_bytes(4)
        address = scattered if number % 10 else b"\x20\x01\x0d\xb8" + scattered + bytes(8)
        server = number % 4
        return Grant(address, now + 1800, now, "imap", "dovecot", f"user{number // 3}@example.org", f"mail{server}", f"192.0.2.{server}")

    def workload(name: str, numbers: Sequence[int], now: float, became: str) -> Workload:
        """The first commit warms."""
        commits = [[grant(number, now) for number in numbers[at : at + COMMIT]] for at in range(0, len(numbers), COMMIT)]

        def commit(which: Sequence[list[Grant]]) -> None:
            for grants in which:
                assert getattr(table.commit(grants, now), became) == COMMIT, f"{name}: not every grant was {became}"

        return Workload(name, len(numbers) - COMMIT, lambda: commit(commits[:1]), lambda: commit(commits[1:]))

    for first in range(0, 3_000, 1_000):
        table.commit([grant(number, NOW) for number in range(first, first + 1_000)], NOW)
    yield workload("new grant", range(3_000, 5_500), NOW + 1, "new")
    yield workload("known grant", [number * 3571 % 5_500 for number in range(2_500)], NOW + 2, "refreshed")
    table.close()

    keys = [b"198.%d.%d.%d" % (18 + number % 2, number >> 8, number & 255) for number in range(KEYS + 12 * CHANGED)]
    image = Image(LAYOUT, keys[:KEYS])

    def change(rounds: range) -> None:
        for at in (number * CHANGED for number in rounds):
            image.update(keys[KEYS + at : KEYS + at + CHANGED], keys[at : at + CHANGED])
        assert image.keys == KEYS

    yield Workload("changed key of the image", 2 * 10 * CHANGED, lambda: change(range(2)), lambda: change(range(2, 12)))


PARTS: dict[str, Callable[[Path], Iterator[Workload]]] = {"receive": receive, "store": store}


def main() -> None:
    part, directory = sys.argv[1:]
    gc.disable()
    for workloads in (iter((reference(),)), PARTS[part](Path(directory))):
        for name, turns, warm, run in workloads:
            warm()
            os.getppid()
            run()
            os.getppid()
            print(turns, name)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
