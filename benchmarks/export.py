"""The exporter at scale: a table of many live addresses, of which 1,000 a second end while 1,000 others log in.

For each size the table is filled through its own commit(), each address with its own end, so that RATE of them end in each second of the
run. A real exporter in a process of its own follows it and keeps a hash9 map; a feeder in another commits the logins as a receiver
does, every 20 ms. What a user waits for is measured by a reader of the map: it sees the mtime move, takes the shared lock as sendmail
does, and looks for the address of one login of each commit in the live map. Beside it the host's makemap writes the same keys once.

Figures: seconds, bytes; `cpu_share` of one core, everything the exporter does; PSS counts the pages of the table that it shares.
"""

import fcntl
import json
import mmap
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from benchmarks.exporting import address, grant, read
from benchmarks.figures import markdown
from benchmarks.processes import cpu_seconds
from benchmarks.servers import SYSTEM_PATH
from syslogauth.assembly import table_of
from syslogauth.control import Control
from syslogauth.exports import hash9
from syslogauth.exports.sendmail_hash import map_keys

RATE = 1000
SECONDS = 15.0
IDLE_SECONDS = 5.0
SETTLING_SECONDS = 3.0  # from the first login to the first that counts
COLD_START_SECONDS = 600.0
FILL_AT_ONCE = 5000
LEAD_SECONDS = 8.0, 50e-6  # from the first row that is filled to the first that ends: so much, and so much for each address

CONFIGURATION = """
state_directory = "{directory}/state"
[policy]
max_addresses = {most}
grace_seconds = 86400
[[export]]
path = "{directory}/popauth"
format = "hash9"
"""


def measure(rounds: int, directory: Path, sizes: Sequence[int]) -> dict[str, object]:
    """Every figure of every round, by size; and what an exporter costs that has nothing to do, CPU seconds a second."""
    followed: dict[str, list[dict[str, float]]] = {}
    for size in sizes:
        for turn in range(rounds):
            place = directory / f"export-{size}-{turn}"
            place.mkdir()
            followed.setdefault(str(size), []).append(_follow(place, size) | _makemap(place, size))
            shutil.rmtree(place)
    idle = directory / "export-idle"
    idle.mkdir()
    return {"followed": followed, "idle_cpu_share": _idle(idle)}


def table(figures: dict[str, object]) -> str:
    """As markdown: a row a size, the median of its rounds."""
    headings = (
        *("live", "CPU of a core", "publications a second", "interval in force", "login to map p50 / p99 / max", "lock p50 / max"),
        *("pages", "PSS (of it private)", "first map", "whole map : makemap, CPU"),
    )
    rows = []
    followed = figures["followed"]
    assert isinstance(followed, dict)
    for size, rounds in followed.items():
        middle = {name: median(figure[name] for figure in rounds) for name in rounds[0]}
        rows.append(
            [
                f"{int(size):,}",
                f"{middle['cpu_share']:.1%}",
                f"{middle['publications_a_second']:.2f}",
                f"{middle['interval_seconds']:.2f} s",
                " / ".join(f"{middle[f'wait_{name}']:.2f}" for name in ("p50", "p99", "max")) + " s",
                " / ".join(f"{1000 * middle[f'lock_{name}']:.1f}" for name in ("p50", "max")) + " ms",
                f"{middle['pages']:.0f} of {middle['pages_in_all']:.0f}",
                f"{middle['pss'] / 1e6:.0f} MB ({middle['pss_private'] / 1e6:.0f})",
                f"{middle['first_map_seconds']:.1f} s",
                f"{middle['first_map_cpu']:.2f} : {middle['makemap_cpu']:.2f} s" if middle["makemap_cpu"] else "no makemap here",
            ]
        )
    return (
        markdown(headings, rows)
        + f"\n\nan exporter with nothing to do: {1000 * float(str(figures['idle_cpu_share'])):.2f} ms of CPU a second"
    )


def _follow(directory: Path, size: int) -> dict[str, float]:
    grace = max(10.0, size / RATE)
    config = directory / "syslogauth.toml"
    config.write_text(CONFIGURATION.format(directory=directory, most=2 * size + 100_000))
    first_end = _fill(config, size, grace)
    record = directory / "record"
    with _exporter(config, record) as (process, control):
        began = time.monotonic()
        _wait_for_map(control, record)
        first_map, first_cpu = time.monotonic() - began, cpu_seconds(process.pid)
        while time.time() < first_end:
            control.wait(0.2)
        waits, heard, cpu, seconds, since = _feed(config, directory / "popauth.db", size, grace, process.pid, control)
        memory = _memory(process.pid)
        pages_in_all = (directory / "popauth.db").stat().st_size / 4096
    done = [publication for publication in map(json.loads, record.read_text().splitlines()) if publication["at"] >= since]
    locks = sorted(publication["lock"] for publication in done)
    return {
        "cpu_share": cpu / seconds,
        "publications_a_second": len(done) / seconds,
        "interval_seconds": heard,
        "wait_p50": _share(waits, 0.5),
        "wait_p99": _share(waits, 0.99),
        "wait_max": waits[-1],
        "waits": len(waits),
        "lock_p50": _share(locks, 0.5),
        "lock_max": locks[-1],
        "pages": median(publication["pages"] for publication in done),
        "pages_in_all": pages_in_all,
        "whole": sum(publication["whole"] for publication in done),
        **memory,
        "first_map_seconds": first_map,
        "first_map_cpu": first_cpu,
    }


def _fill(config: Path, size: int, grace: float) -> float:
    """Fill the table; the time at which the first of the addresses ends."""
    (config.parent / "state").mkdir()
    filled, now = table_of(read(str(config))), time.time()
    first_end = now + LEAD_SECONDS[0] + LEAD_SECONDS[1] * size
    for start in range(0, size, FILL_AT_ONCE):
        numbers = range(start, min(start + FILL_AT_ONCE, size))
        filled.commit([grant(number, now, first_end + grace * number / size) for number in numbers], now)
    filled.close()
    return first_end


@contextmanager
def _exporter(config: Path, record: Path) -> Iterator[tuple[subprocess.Popen[bytes], Control]]:
    ours, theirs = socket.socketpair()
    with ours:
        command = [sys.executable, "-m", "benchmarks.exporting", "exporter", str(theirs.fileno()), str(config), str(record)]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        control = Control(ours)
        try:
            yield process, control
            control.send({"stop": "keep"})
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def _wait_for_map(control: Control, record: Path) -> None:
    deadline = time.monotonic() + COLD_START_SECONDS
    while not (record.exists() and record.stat().st_size):
        if time.monotonic() > deadline or control.wait(0.01) is None:
            raise TimeoutError("the exporter has published no map")


def _feed(
    config: Path, live: Path, first: int, grace: float, exporter: int, control: Control
) -> tuple[list[float], float, float, float, float]:
    """Waits of the logins, sorted; the longest interval in force; CPU seconds of the exporter in so many seconds since then."""
    command = [sys.executable, "-m", "benchmarks.exporting", "feeder", str(config), str(first), str(RATE), str(grace)]
    waits: list[float] = []
    interval = began_cpu = 0.0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as feeder, live.open("rb") as map_:
        assert feeder.stdin
        assert feeder.stdout
        begins = time.time() + SETTLING_SECONDS
        began = 0.0
        pending: dict[bytes, float] = {}
        seen = 0
        while (now := time.time()) < begins + SECONDS:
            if not began and now >= begins:
                began, began_cpu = now, cpu_seconds(exporter)
            if select.select([feeder.stdout], [], [], 0.002)[0]:
                at, probe = feeder.stdout.readline().split()
                (key,) = map_keys(bytes.fromhex(probe.decode()), "full", "")
                pending[key] = float(at)
            for message in control.receive() or ():
                interval = max(interval, message["samples"]["export_interval_seconds"][0][1])
            if (moved := os.fstat(map_.fileno()).st_mtime_ns) != seen:
                seen = moved
                found = _found(map_.fileno(), pending)
                waits += [time.time() - pending.pop(key) for key in found]
        cpu, seconds = cpu_seconds(exporter) - began_cpu, time.time() - began
        feeder.stdin.close()
        feeder.stdout.read()
    waits += [time.time() - at for at in pending.values() if time.time() - at > max(waits, default=0.0)]
    return sorted(waits), interval, cpu, seconds, began


def _found(file: int, keys: dict[bytes, float]) -> list[bytes]:
    """Which of them a reader finds now, under the shared lock."""
    fcntl.flock(file, fcntl.LOCK_SH)
    try:
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as image:
            return [key for key in keys if hash9.get(image, key)]  # type: ignore[arg-type] # as good as bytes
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _memory(pid: int) -> dict[str, float]:
    rows = (row.split() for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    sizes = {row[0]: int(row[1]) * 1024 for row in rows if row[0].endswith(":") and row[-1] == "kB"}
    return {"pss": sizes["Pss:"], "pss_private": sizes["Pss_Anon:"]}


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _makemap(directory: Path, size: int) -> dict[str, float]:
    """CPU seconds of makemap for the same keys; 0 where there is none."""
    program = shutil.which("makemap", path=SYSTEM_PATH)
    if program is None:
        return {"makemap_cpu": 0.0}
    text = directory / "keys"
    with text.open("wb") as out:
        out.writelines(b"%s\tOK\n" % key for number in range(size) for key in map_keys(address(number), "full", ""))
    before = os.times()
    with text.open("rb") as keys:
        subprocess.run([program, "-s", "hash", directory / "made"], stdin=keys, stderr=subprocess.DEVNULL, check=True)
    after = os.times()
    return {"makemap_cpu": after.children_user + after.children_system - before.children_user - before.children_system}


def _idle(directory: Path) -> float:
    config = directory / "syslogauth.toml"
    config.write_text(CONFIGURATION.format(directory=directory, most=100_000))
    (directory / "state").mkdir()
    filled, now = table_of(read(str(config))), time.time()
    filled.commit([grant(number, now, now + 3600) for number in range(1000)], now)
    filled.close()
    with _exporter(config, directory / "record") as (process, control):
        _wait_for_map(control, directory / "record")
        control.wait(2.0)
        before = cpu_seconds(process.pid)
        deadline = time.monotonic() + IDLE_SECONDS
        while time.monotonic() < deadline:
            control.wait(0.5)
        return (cpu_seconds(process.pid) - before) / IDLE_SECONDS
