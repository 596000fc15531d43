"""What the benchmark of the exporter runs beside itself: `python -m benchmarks.exporting ROLE ARGUMENT ...`.

exporter CONTROL CONFIG RECORD   the exporter as the daemon starts it; a JSON line into RECORD for each publication
feeder CONFIG FIRST RATE GRACE   RATE new addresses a second, in commits of 20 ms, until its input ends. For one address of each
                                 commit it prints the time of receipt, Unix seconds, and the address in hexadecimal
"""

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from syslogauth import config as configuration
from syslogauth.assembly import maps_of, table_of
from syslogauth.config import Config
from syslogauth.control import Control
from syslogauth.core.login import Grant
from syslogauth.exporter import Exporter
from syslogauth.logs import configure
from syslogauth.maps import Map
from syslogauth.publish import Published

COMMIT_SECONDS = 0.02
IPV6_ONE_IN = 10


def address(number: int) -> bytes:
    """Another address for each number, scattered over all there are; one in ten is IPv6."""
    scattered = number * 2654435761 & 0xFFFFFFFF
    if number % IPV6_ONE_IN:
        return scattered.to_bytes(4)
    return b"\x20\x01\x0d\xb8" + scattered.to_bytes(4) + (scattered * 40503 & 0xFFFFFFFFFFFFFFFF).to_bytes(8)


def grant(number: int, granted_at: float, expires_at: float) -> Grant:
    return Grant(address(number), expires_at, granted_at, "imap", "dovecot", f"user{number}@example.org", "mail1", "192.0.2.0/24")


def read(path: str) -> Config:
    file = Path(path)
    return configuration.parse(file.read_text(), str(file))


def exporter(control: str, config_path: str, record: str) -> None:
    config = read(config_path)
    log = configure("json", "warning", "exporter")
    maps = [Map(settings, log) for settings in maps_of(config)]
    with Path(record).open("w", buffering=1) as out:
        for map_ in maps:
            map_.publisher.publish = _recorded(map_.publisher.publish, out.write)  # type: ignore[method-assign]
        Exporter(table_of(config), maps, Control(socket.socket(fileno=int(control))), log).run()


def _recorded(publish: Callable[..., Published], write: Callable[[str], object]) -> Callable[..., Published]:
    def recorded(*image: object, **options: object) -> Published:
        done = publish(*image, **options)
        if done.bytes_written:
            write(json.dumps({"at": time.time(), "pages": done.pages_written, "lock": done.lock_seconds, "whole": done.whole}) + "\n")
        return done

    return recorded


def feeder(config_path: str, first: str, rate: str, grace: str) -> None:
    table = table_of(read(config_path))
    number, batch = int(first), max(1, round(int(rate) * COMMIT_SECONDS))
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        due += batch / int(rate)
        now = time.time()
        table.commit([grant(n, now, now + float(grace)) for n in range(number, number + batch)], now)
        print(f"{now:.6f} {address(number).hex()}", flush=True)
        number += batch
    table.close()


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {"exporter": exporter, "feeder": feeder}
    roles[sys.argv[1]](*sys.argv[2:])
    os._exit(0)  # a million objects need not be freed one by one
