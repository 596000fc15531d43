"""`./dev bench [TABLE ...]`: what syslogauth costs beside others that read the same messages, measured in one interleaved run.

    receive      CPU time a datagram, at several rates        formats      a message and a login, with three formats on and with all
    lossfree     the highest rate without a loss              recognition  which logins are found, and what is taken for one
    bursts       what a burst loses, by receive buffer        table        the table of addresses alone, by its size
    lines        a line of a log file                         export       the map, by its size
    latency      from a login to the table and to sendmail    budgets      what the project promises, beside what this run gave
    memory       of each process, by live addresses           instructions  of the hot path, beside those last accepted (valgrind)

Only ratios within one run mean anything on another machine; the nanoseconds are for information. Everything is on loopback, in private
directories under /var/tmp, bounded in count and time. Linux only: exit code 69 elsewhere, and where a result is wrong an AssertionError.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import (
    budgets,
    bursts,
    export,
    formats,
    instructions,
    latency,
    lines,
    lossfree,
    machine,
    memory,
    options,
    plot,
    receive,
    recognition,
    table,
)
from benchmarks.figures import spread
from benchmarks.processes import cores, preferred
from benchmarks.servers import OURS

NICE = -10
LATE = 0.05  # of the datagrams: from here on it is said


@dataclass(slots=True)
class Run:
    """One call: what was asked, a directory, what to write as JSON, and what later tables want of earlier ones."""

    asked: argparse.Namespace
    directory: Path
    record: dict[str, Any]
    cases: list[recognition.Case] = field(default_factory=list)
    samples: receive.Samples = field(default_factory=dict)

    def place(self, name: str) -> Path:
        place = self.directory / name
        place.mkdir()
        return place


def main() -> int:
    asked = options.arguments(tuple(TABLES), __doc__ or "")
    try:
        cases = recognition.cases_in(asked.corpus) if asked.corpus else recognition.own_cases()
    except (OSError, ValueError) as error:
        print(f"bench: --corpus {asked.corpus}: {error}", file=sys.stderr)
        return os.EX_DATAERR
    if asked.nice and os.geteuid() != 0:
        print("bench: --nice is for root", file=sys.stderr)
        return os.EX_NOPERM
    if sys.platform != "linux":
        print("benchmarks: they read CPU time and queues from Linux's /proc; run them on Linux", file=sys.stderr)
        return os.EX_UNAVAILABLE
    with preferred(NICE) if asked.nice else nullcontext():
        return _run(asked, cases)


def _run(asked: argparse.Namespace, cases: list[recognition.Case]) -> int:
    facts = machine.facts()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    os.sched_setaffinity(0, cores()[1])  # inherited by what is measured; the sender takes its own core
    with tempfile.TemporaryDirectory(prefix="syslogauth-bench-", dir="/var/tmp") as name:
        if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # what is installed has its bytecode
            os.environ["PYTHONPYCACHEPREFIX"] = f"{name}/bytecode"
        run = Run(asked, Path(name), {"machine": facts, "options": vars(asked)}, cases)
        for word, measure in TABLES.items():
            if word in asked.table:
                measure(run)
                _save(run)  # what a later table loses does not take this with it
    print(f"\nload at the end: {machine.load()}")
    return os.EX_OK


def _save(run: Run) -> None:
    if run.asked.json:
        run.asked.json.write_text(json.dumps(run.record, indent=1, default=str) + "\n")


def _show(title: str, *tables: str) -> None:
    print(f"\n{title}:\n", *tables, sep="\n", flush=True)


def _receive(run: Run) -> None:
    asked = run.asked
    idle_seconds = 0 if asked.rounds == 1 else 3
    plan = receive.Plan(
        asked.rounds, asked.rate, asked.logins, asked.count, asked.seconds, idle_seconds, asked.beside, tuple({1, *asked.workers})
    )
    samples, idle = receive.measure(plan, run.place("receive"))
    run.samples = samples
    _show("CPU time (user + system, every process) a received datagram, and loss", receive.table(samples, idle))
    _show("The same as a ratio, of the same round, to the better rsyslogd and to the others", receive.ratio_table(samples))
    _show("Waits for more (voluntary context switches) a received datagram", receive.wake_up_table(samples))
    late = max((sample.late for by_server in samples.values() for found in by_server.values() for sample in found), default=0.0)
    if late > LATE:
        print(f"\nup to {late:.0%} of what was paced went out late, and so bunched: something else ran on the sender's core; try --nice")
    flat = [sample for cell, by_server in samples.items() if not cell.rate for found in by_server.values() for sample in found]
    if flat:
        offered = spread([sample.sent / sample.seconds / 1000 for sample in flat])
        print(f"\nflat out, the sender offered {offered.text()} thousand a second; what was received was bounded by sender and receiver")
    run.record["receive"] = [
        {"rate": cell.rate, "logins": cell.logins, "server": server, "samples": [asdict(sample) for sample in found]}
        for cell, by_server in samples.items()
        for server, found in by_server.items()
    ]
    run.record["idle_cpu_seconds_a_second"] = idle
    if asked.svg:
        asked.svg.write_text(plot.receive(samples, machine.facts()["machine"]))


def _lossfree(run: Run) -> None:
    asked = run.asked
    found = lossfree.measure(asked.rounds, run.place("lossfree"), latency.LOGINS, asked.beside, tuple({1, *asked.workers}))
    _show(f"The highest rate without a loss in {lossfree.SECONDS:g} s, {latency.LOGINS:.0%} logins", lossfree.table(found))
    run.record["lossfree"] = {name: [asdict(each) for each in rounds] for name, rounds in found.items()}


def _bursts(run: Run) -> None:
    asked = run.asked
    losses = bursts.measure(
        asked.rounds, run.place("bursts"), asked.bursts, asked.buffers, latency.LOGINS, asked.beside, tuple({1, *asked.workers})
    )
    _show("Bursts into an idle receiver", bursts.table(losses))
    run.record["bursts"] = losses


def _lines(run: Run) -> None:
    figures = lines.measure(run.asked.rounds, run.asked.lines, run.place("lines"), run.asked.pop_before_smtp)
    ours = run.samples.get(receive.Cell(0, lines.LOGIN_SHARE), {}).get(OURS, [])
    if ours:
        figures[lines.UDP] = [sample.nanoseconds / 1e9 for sample in ours]
    _show(
        f"A log file of {run.asked.lines} lines, {lines.LOGIN_SHARE:.0%} logins; lines a CPU second, higher is better", lines.table(figures)
    )
    run.record["lines_cpu_seconds"] = figures


def _latency(run: Run) -> None:
    known = [each["rate"] for each in run.record.get("lossfree", {}).get(OURS, [])]
    levels = latency.measure(run.asked.rounds, run.place("latency"), run.asked.live, median(known) if known else 0.0)
    _show("From sendto() of a login until it is seen in the table and by sendmail", latency.table(levels))
    run.record["latency"] = [asdict(level) for level in levels]


def _memory(run: Run) -> None:
    found = memory.measure(run.place("memory"), run.asked.sizes)
    _show("Resident memory (PSS) of syslogauth", memory.tables(found))
    run.record["memory"] = asdict(found)


def _table(run: Run) -> None:
    figures = table.measure(run.asked.rounds, run.place("table"), run.asked.sizes)
    _show("The table of addresses", table.table(figures))
    run.record["table"] = figures


def _export(run: Run) -> None:
    figures = export.measure(run.asked.rounds, run.place("export"), run.asked.sizes)
    _show("The map, of which 1,000 addresses a second end and come", export.table(figures))
    run.record["export"] = figures


def _formats(run: Run) -> None:
    figures, by_format = formats.measure(run.asked.rounds, min(run.asked.count, formats.NOISE))
    title = "A message that is no login, with three formats (dovecot, qpopper, uw) on and with all; a login of each format"
    _show(title, formats.tables(figures, by_format))
    run.record["formats_cpu_seconds"] = {"noise": figures, "logins": by_format}


def _recognition(run: Run) -> None:
    whose = "of the corpus" if run.asked.corpus else "that syslogauth's own formats show"
    found = recognition.recognised(run.cases)
    _show(f"The lines {whose}: logins found, by server and in all, and what was taken wrongly", recognition.table(run.cases, found))
    run.record["recognition"] = {name: [sorted(addresses) for addresses in by_case] for name, by_case in found.items()}


def _instructions(run: Run) -> None:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("\nvalgrind is missing: no instructions are counted")
        return
    counts, accepted = instructions.count(run.place("instructions"), valgrind), instructions.baseline()
    found = instructions.ratios(counts)
    _show("Instructions in user space, counted by callgrind", instructions.table(counts, accepted))
    run.record["instructions"] = {name: asdict(one) for name, one in counts.items()}
    if run.asked.accept:
        instructions.accept(found)
        print(f"\nthe new baseline is in {instructions.BASELINE}")
    else:
        print("", *instructions.faults(found, accepted), *instructions.gains(found, accepted), sep="\n")


def _budgets(run: Run) -> None:
    if rows := budgets.measured(run.record):
        _show("The budgets that this run measured", budgets.table(rows))
        run.record["budgets"] = [asdict(row) for row in rows]


TABLES: dict[str, Callable[[Run], None]] = {
    "receive": _receive,
    "lossfree": _lossfree,
    "bursts": _bursts,
    "lines": _lines,
    "latency": _latency,
    "memory": _memory,
    "formats": _formats,
    "recognition": _recognition,
    "table": _table,
    "export": _export,
    "instructions": _instructions,
    "budgets": _budgets,
}


if __name__ == "__main__":
    sys.exit(main())
