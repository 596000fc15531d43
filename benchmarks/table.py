"""What the table costs: commits of new and of known addresses beside bare LMDB and the hash file of pop-before-smtp, a look-up, its size,
and the whole process of `syslogauth test ADDRESS` beside a Python that does nothing.

One process, its own CPU time (user and system, so the waits of fsync are not in it), beside the wall clock. Bare LMDB puts the same
keys and records into one database in one synced transaction; the table keeps an index by user, a change log and limits beside them. The
Perl loop ties a DB_File hash, puts address -> `ok` as pop-before-smtp 1.42 does, and syncs once a batch. Within a round all take turns.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import lmdb

from benchmarks.figures import markdown, ratio_to_better, spread
from syslogauth.core.login import Grant
from syslogauth.limits import Limits
from syslogauth.record import Bounds
from syslogauth.table import Table

BATCHES = {1: 100, 100: 10, 1000: 3}  # grants a commit -> commits a round
KINDS = ("new", "known")
GRACE_SECONDS = 1800.0
NOW = 1_700_000_000.0
LIMITS = Limits(per_user=256, per_ipv6_64=1024)  # the defaults
FILL = 2_000
STARTS = 20
SECONDS = 600
PERL = """
use strict; use warnings; use DB_File; use Fcntl; use Time::HiRes qw(clock time);
my ($name, $rows) = @ARGV;
my $hash = tie my %db, 'DB_File', $name, O_CREAT | O_RDWR, 0644, $DB_HASH or die $!;
sub address { join '.', map { int rand 256 } 1 .. 4 }
my @known = map { address() } 1 .. $rows;
$db{$_} = 'ok' for @known;
$hash->sync and die $!;
$| = 1;
print "ready\\n";
while (<STDIN>) {
    my ($kind, $size) = split;
    my @batch = map { $kind eq 'new' ? address() : $known[rand @known] } 1 .. $size;
    my ($cpu, $wall) = (clock(), time);
    $db{$_} = 'ok' for @batch;
    $hash->sync and die $!;
    printf "%.9f %.9f\\n", clock() - $cpu, time - $wall;
}
"""
Commit = Callable[[str, Sequence[Grant]], tuple[float, float]]  # CPU and wall seconds


def measure(rounds: int, directory: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """By size: bytes and, a value a round, seconds of a get and of commits; and the seconds of whole processes, a value a start."""
    by_size = {str(size): _sized(rounds, directory / str(size), size) for size in sizes}
    return {"sizes": by_size, "processes": _processes(directory / "processes")}


def _sized(rounds: int, directory: Path, size: int) -> dict[str, Any]:
    chance = random.Random(size)  # noqa: S311 - repeatable, not secret
    directory.mkdir(parents=True)
    table = Table(directory / "table", max(1_000_000, 2 * size), Bounds(GRACE_SECONDS, 86400), limits=LIMITS)
    known = [_grant(chance, chance.randrange(size // 2), NOW) for _ in range(size)]
    for start in range(0, size, FILL):
        table.commit(known[start : start + FILL], NOW)
    used = table.sizes()["used_bytes"]
    figures: dict[str, Any] = {"used_bytes": used, "bytes_per_entry": used / size, "get_seconds": [], "commits": {}}
    bare, records = _bare(directory, table)
    programs: dict[str, Commit] = {"syslogauth": lambda kind, grants: _timed(lambda: table.commit(grants, NOW + 1)), "bare LMDB": bare}
    perl = _perl(directory / "hash.db", size)
    if perl is not None:
        programs["DB_File"] = lambda kind, grants: _ask(perl, kind, len(grants))
    del known[100_000:]  # the rest stays on the disk
    for _ in range(rounds):
        figures["get_seconds"].append(_timed(lambda: [table.get(grant.address) for grant in known[:1000]])[0] / 1000)
        for kind in KINDS:
            for count, turns in BATCHES.items():
                took: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
                for _ in range(turns):
                    grants = [_grant(chance, chance.randrange(size), NOW + 1) for _ in range(count)]
                    if kind == "known":
                        grants = [
                            grant._replace(expires_at=NOW + 1 + GRACE_SECONDS, granted_at=NOW + 1) for grant in chance.sample(known, count)
                        ]
                    for name, commit in programs.items():
                        took[name].append(commit(kind, grants))
                for name, both in took.items():
                    kept = figures["commits"].setdefault(f"{kind} {count}", {}).setdefault(name, {"cpu": [], "wall": []})
                    kept["cpu"].append(median(cpu for cpu, _ in both))
                    kept["wall"].append(median(wall for _, wall in both))
    if perl is not None:
        perl.communicate(timeout=SECONDS)
    table.close()
    records.close()
    shutil.rmtree(directory)
    return figures


def _grant(chance: random.Random, user: int, now: float) -> Grant:
    """Of an address that was hardly seen before, 3 of 10 IPv6, over one of 16 servers."""
    address = chance.randbytes(4) if chance.random() < 0.7 else b"\x20\x01" + chance.randbytes(14)
    server = chance.randrange(16)
    return Grant(address, now + GRACE_SECONDS, now, "imap", "dovecot", f"user{user}@example.com", f"mail{server}", f"192.0.2.{server}")


def _bare(directory: Path, table: Table) -> tuple[Commit, lmdb.Environment]:
    """Puts of the records that the table has just made, into an environment that holds the same ones."""
    path = str(directory / "bare")
    engine: dict[str, Any] = {"lib_version": 0} if int(lmdb.__version__.partition(".")[0]) >= 3 else {}
    environment = lmdb.open(path, map_size=4 << 30, max_dbs=1, **engine)
    database = environment.open_db(b"grants")

    def rows() -> Iterator[tuple[bytes, bytes]]:
        return table._environment.scan("grants")

    with environment.begin(write=True) as txn, txn.cursor(db=database) as cursor:
        cursor.putmulti(rows(), append=True)

    def commit(kind: str, grants: Sequence[Grant]) -> tuple[float, float]:
        with table._environment.begin() as view:
            made = [(grant.address, view.get("grants", grant.address) or b"") for grant in grants]

        def put() -> None:
            with environment.begin(write=True) as txn:
                for address, record in made:
                    txn.put(address, record, db=database)

        return _timed(put)

    return commit, environment


def _perl(file: Path, rows: int) -> "subprocess.Popen[str] | None":
    """The loop, its hash filled; None where there is no Perl with DB_File."""
    perl = shutil.which("perl", path="/usr/bin:/usr/local/bin:/bin")
    if perl is None or subprocess.run([perl, "-MDB_File", "-e", "1"], capture_output=True).returncode != 0:
        return None
    loop = subprocess.Popen([perl, "-e", PERL, str(file), str(rows)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert loop.stdout is not None
    assert loop.stdout.readline() == "ready\n"
    return loop


def _ask(loop: "subprocess.Popen[str]", kind: str, count: int) -> tuple[float, float]:
    assert loop.stdin is not None
    assert loop.stdout is not None
    loop.stdin.write(f"{kind} {count}\n")
    loop.stdin.flush()
    cpu, wall = loop.stdout.readline().split()
    return float(cpu), float(wall)


def _timed(act: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.thread_time(), time.perf_counter()
    act()
    return time.thread_time() - cpu, time.perf_counter() - wall


def _processes(directory: Path) -> dict[str, dict[str, list[float]]]:
    """CPU and wall seconds of each start. The bytecode is kept, as an installed program's is."""
    directory.mkdir(parents=True)
    address = bytes((192, 0, 2, 1))
    table = Table(directory / "table", 1000, Bounds(GRACE_SECONDS, 86400))
    table.grant(address, GRACE_SECONDS, "", time.time())
    table.close()
    config = directory / "syslogauth.toml"
    config.write_text(f'state_directory = "{directory}"\n\n[policy]\ngrace_seconds = 1800\n')
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"SYSLOGAUTH_CONFIG": str(config), "PYTHONPYCACHEPREFIX": str(directory / "bytecode")}
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -m syslogauth test": [sys.executable, "-m", "syslogauth", "test", "192.0.2.1"],
    }
    script = Path(sys.executable).with_name("syslogauth")
    if script.exists():
        commands["syslogauth test"] = [str(script), "test", "192.0.2.1"]
    took: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in commands}
    for turn in range(STARTS + 1):  # the first one makes the bytecode
        for name, command in commands.items():
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, env=environment, check=True)
            wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:
                took[name]["cpu"].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                took[name]["wall"].append(wall)
    shutil.rmtree(directory)
    return took


def table(figures: dict[str, Any]) -> str:
    """Three tables: commits by size, sizes, processes."""
    commits = []
    for size, of_size in figures["sizes"].items():
        for what, programs in of_size["commits"].items():
            ours, bare, perl = programs["syslogauth"], programs["bare LMDB"], programs.get("DB_File")
            commits.append(
                [
                    f"{int(size):,}",
                    what,
                    _us(ours["cpu"]),
                    _us(ours["wall"]),
                    _us(bare["cpu"]),
                    ratio_to_better(ours["cpu"], bare["cpu"]).text(2),
                    _us(perl["cpu"]) if perl else "missing",
                    ratio_to_better(ours["cpu"], perl["cpu"]).text(2) if perl else "",
                ]
            )
    headings = ["addresses", "grants a commit", "CPU us", "wall us", "bare LMDB, CPU us", "ratio", "DB_File, CPU us", "ratio"]
    sizes = [
        [
            f"{int(size):,}",
            f"{one['used_bytes'] / 1e6:.1f}",
            f"{one['bytes_per_entry']:.0f}",
            spread([s * 1e6 for s in one["get_seconds"]]).text(2),
        ]
        for size, one in figures["sizes"].items()
    ]
    processes = [
        [name, *(spread([second * 1e3 for second in took[what]]).text(1) for what in ("cpu", "wall"))]
        for name, took in figures["processes"].items()
    ]
    return "\n\n".join(
        (
            markdown(headings, commits),
            markdown(["addresses", "MB in use", "bytes an address", "a get, CPU us"], sizes),
            markdown(["whole process", "CPU ms", "wall ms"], processes),
        )
    )


def _us(seconds: Sequence[float]) -> str:
    return spread([second * 1e6 for second in seconds]).text()
