"""`./dev bench [TABLE ...]`: what syslogauth costs beside rsyslogd and a pop-before-smtp-like loop, measured in one interleaved run.

    receive      a datagram, at several rates             formats      a message and a login, with three formats on and with all
    lines        a line of a log file                     recognition  which logins are found, and what is taken for one

Only ratios within one run mean anything on another machine; the nanoseconds are for information. Everything is on loopback, in private
directories under /var/tmp, bounded in count and time. Linux only: exit code 69 elsewhere, and where a result is wrong an AssertionError.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from benchmarks import formats, lines, receive, recognition
from benchmarks.figures import spread
from benchmarks.processes import cores
from benchmarks.servers import BUFFER_BYTES, SYSTEM_PATH
from syslogauth import __version__

TABLES = ("receive", "lines", "formats", "recognition")
UDP_PATH = "syslogauth, UDP flat out"


def main() -> int:
    arguments = _arguments()
    try:
        cases = recognition.cases_in(arguments.corpus) if arguments.corpus else recognition.own_cases()
    except (OSError, ValueError) as error:
        print(f"bench: --corpus {arguments.corpus}: {error}", file=sys.stderr)
        return os.EX_DATAERR
    if sys.platform != "linux":
        print("benchmarks: they read CPU time and queues from Linux's /proc; run them on Linux", file=sys.stderr)
        return os.EX_UNAVAILABLE
    facts = machine()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    os.sched_setaffinity(0, cores()[1])  # inherited by what is measured; the sender takes its own core
    record: dict[str, object] = {"machine": facts, "options": vars(arguments)}
    udp: list[float] = []
    with tempfile.TemporaryDirectory(prefix="syslogauth-bench-", dir="/var/tmp") as name:
        if "receive" in arguments.table:
            udp = _receive(arguments, Path(name), record)
        if "lines" in arguments.table:
            _lines(arguments, Path(name), record, udp)
    if "formats" in arguments.table:
        _formats(arguments, record)
    if "recognition" in arguments.table:
        _recognition(cases, "of the corpus" if arguments.corpus else "that syslogauth's own formats show", record)
    print(f"load at the end: {_load()}")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1, default=str) + "\n")
    return os.EX_OK


def _receive(arguments: argparse.Namespace, directory: Path, record: dict[str, object]) -> list[float]:
    """Print the table; CPU seconds a datagram of syslogauth flat out with the logins of the other table, a value a round."""
    plan = receive.Plan(
        arguments.rounds, arguments.rate, arguments.logins, arguments.count, arguments.seconds, 0 if arguments.rounds == 1 else 3
    )
    samples, idle = receive.measure(plan, directory)
    print("\nCPU time (user + system, every process) a received datagram; ratio to the better rsyslogd of the same round:\n")
    print(receive.table(samples, idle), flush=True)
    flat = [sample for cell, by_server in samples.items() if not cell.rate for found in by_server.values() for sample in found]
    if flat:
        offered = spread([sample.sent / sample.seconds / 1000 for sample in flat])
        print(f"\nflat out, the sender offered {offered.text()} thousand a second; what was received was bounded by sender and receiver")
    record["receive"] = [
        {"rate": cell.rate, "logins": cell.logins, "server": server, "samples": [asdict(sample) for sample in found]}
        for cell, by_server in samples.items()
        for server, found in by_server.items()
    ]
    record["idle_cpu_seconds_a_second"] = idle
    ours = samples.get(receive.Cell(0, lines.LOGIN_SHARE), {}).get("syslogauth", [])
    return [sample.nanoseconds / 1e9 for sample in ours]


def _lines(arguments: argparse.Namespace, directory: Path, record: dict[str, object], udp: list[float]) -> None:
    figures = lines.measure(arguments.rounds, arguments.count, directory)
    if udp:
        figures[UDP_PATH] = udp
    print(f"\nA log file of {arguments.count} lines, {lines.LOGIN_SHARE:.0%} logins; lines a CPU second, higher is better:\n")
    print(lines.table(figures), flush=True)
    record["lines_cpu_seconds"] = figures


def _formats(arguments: argparse.Namespace, record: dict[str, object]) -> None:
    figures, by_format = formats.measure(arguments.rounds, min(arguments.count, formats.NOISE))
    print("\nA message that is no login, with three formats (dovecot, qpopper, uw) on and with all; a login of each format:\n")
    print(formats.tables(figures, by_format), flush=True)
    record["formats_cpu_seconds"] = {"noise": figures, "logins": by_format}


def _recognition(cases: Sequence[recognition.Case], whose: str, record: dict[str, object]) -> None:
    found = recognition.recognised(cases)
    print(f"\nThe lines {whose}: logins found, by server and in all, and what was taken wrongly:\n")
    print(recognition.table(cases, found), flush=True)
    record["recognition"] = {name: [sorted(addresses) for addresses in by_case] for name, by_case in found.items()}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "machine": f"{cpu[1] if cpu else platform.machine()}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}",
        "syslogauth": f"{__version__} on Python {platform.python_version()}",
        "rsyslogd": _version("rsyslogd", "-v"),
        "perl": _version("perl", "-e", "print $^V"),
        "cores": f"sender on {cores()[0]}, what is measured on {', '.join(map(str, sorted(cores()[1])))}",
        "receive buffer wanted": f"{BUFFER_BYTES} bytes",
        "load at the start": _load(),
    }


def _version(program: str, *arguments: str) -> str:
    if (path := shutil.which(program, path=SYSTEM_PATH)) is None:
        return "missing: not compared"
    return (
        subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout.split(" (")[0].removeprefix(program).strip()
    )


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _numbers(read: Callable[[str], float]) -> Callable[[str], tuple[float, ...]]:
    def read_all(text: str) -> tuple[float, ...]:
        try:
            return tuple(read(word) for word in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text}: write numbers with commas between them") from None

    return read_all


def _rate(word: str) -> float:
    return 0 if word == "max" else float(word)


def _table(word: str) -> str:  # not `choices`: Python 3.11 checks the default of nargs="*" against them, as one value
    if word not in TABLES:
        raise argparse.ArgumentTypeError(f"{word}: there is {', '.join(TABLES)}")
    return word


def _share(word: str) -> float:
    return float(word) / 100


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(os.EX_USAGE, f"bench: {message}; --help shows what can be asked\n")


def _arguments() -> argparse.Namespace:
    parser = _Parser(prog="bench", description="What syslogauth costs beside others, in one interleaved run.")
    parser.add_argument("table", nargs="*", type=_table, default=TABLES, metavar="TABLE", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=200_000, help="datagrams flat out, most when paced, and lines (default: 200000)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of sending at a paced rate (default: 2)")
    parser.add_argument("--rate", type=_numbers(_rate), default="max,100000,20000,5000,1000", help="datagrams a second; max: flat out")
    parser.add_argument("--logins", type=_numbers(_share), default="0,5,20", help="per cent of the datagrams (default: 0,5,20)")
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="*.jsonl files of log lines for recognition, as benchmarks/recognition.py describes them"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
