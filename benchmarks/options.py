"""The command line of the benchmarks."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

Value = TypeVar("Value")
PEERS = ("rsyslogd", "syslog-ng", "naive")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(os.EX_USAGE, f"bench: {message}; --help shows what can be asked\n")


def arguments(tables: Sequence[str], epilog: str) -> argparse.Namespace:
    """What is asked; exit code 64 where it makes no sense."""

    def table(word: str) -> str:  # not `choices`: Python 3.11 checks the default of nargs="*" against them, as one value
        if word not in tables:
            raise argparse.ArgumentTypeError(f"{word}: there is {', '.join(tables)}")
        return word

    parser = _Parser(
        prog="bench",
        description="What syslogauth costs beside others, in one interleaved run.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("table", nargs="*", type=table, default=tuple(tables), metavar="TABLE", help=f"of {', '.join(tables)}; default: all")
    add("--rounds", type=_count, default=3, help="interleaved; figures are medians of them (default: 3)")
    add("--nice", action="store_true", help="root: a higher priority for the sender and all that is measured, alike; for quieter figures")
    add("--beside", type=_words, default=PEERS, help=f"the peers: what their names begin with (default: {','.join(PEERS)}; '': none)")
    add("--workers", type=_list(_count), default=(1,), help="syslogauth with so many workers, each a column of its own (default: 1)")
    add("--count", type=_count, default=1_000_000, help="datagrams flat out, most when paced (default: 1000000)")
    add("--seconds", type=float, default=2.0, help="of sending at a paced rate (default: 2)")
    add("--rate", type=_list(_rate), default=_list(_rate)("max,100000,20000,5000,1000"), help="datagrams a second; max: flat out")
    add("--logins", type=_list(_share), default=(0.0, 0.05, 0.2), help="per cent of the datagrams (default: 0,5,20)")
    add("--lines", type=_count, default=1_000_000, help="of the log file (default: 1000000)")
    add(
        "--pop-before-smtp",
        type=_file,
        metavar="PATH",
        help="the original script, your own copy, for `lines`; it wants Perl modules: DB_File, Net::Netmask, Date::Parse, Date::Format",
    )
    add("--bursts", type=_list(_count), default=(1_000, 3_000, 10_000, 30_000, 100_000), help="datagrams at once")
    add("--buffers", type=_list(_count), default=(212_992, 1 << 20, 4 << 20, 16 << 20), help="receive buffers for the bursts, bytes")
    add("--sizes", type=_list(_count), default=(10_000, 100_000, 1_000_000), help="live addresses: memory, table, export (10000000 works)")
    add("--live", type=_list(_count), default=(100_000,), help="live addresses while latency is measured (default: 100000)")
    add(
        "--corpus", type=Path, metavar="DIR", help="*.jsonl files of log lines for recognition, as benchmarks/recognition.py describes them"
    )
    add("--accept", action="store_true", help="make what `instructions` counts the baseline of this Python, benchmarks/instructions.json")
    add("--json", type=Path, metavar="FILE", help="write every measurement")
    add("--svg", type=Path, metavar="FILE", help="write a plot of `receive`: CPU time a datagram by rate")
    return parser.parse_args()


def _list(read: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    def read_all(text: str) -> tuple[Value, ...]:
        try:
            return tuple(read(word) for word in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text}: write numbers with commas between them") from None

    return read_all


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _count(word: str) -> int:
    if (number := int(word)) <= 0:
        raise ValueError
    return number


def _rate(word: str) -> float:
    return 0 if word == "max" else float(word)


def _share(word: str) -> float:
    return float(word) / 100


def _file(word: str) -> Path:
    if not (path := Path(word).absolute()).is_file():
        raise argparse.ArgumentTypeError(f"{word}: there is no such file")
    return path
