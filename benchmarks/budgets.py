"""What the project promises of its speed, beside what one run gave: a row for each promise that the run has measured. No I/O.

Ratios are ours divided by theirs, of the same round, and the median of the rounds counts; latencies are of all rounds together. `record`
is what __main__ writes as JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import lines
from benchmarks.figures import Sample, Spread, markdown, quantile, ratio_to_better, spread
from benchmarks.servers import OURS

LOGINS = 0.05
RECEIVE = (  # rate (0: flat out), beside what, the ratio at most
    (0.0, "rsyslogd", 1.0),
    (100_000.0, "rsyslogd", 0.5),
    (20_000.0, "rsyslogd", 0.3),
    (1_000.0, "rsyslogd", 1.0),
    (0.0, "syslog-ng", 0.5),
    (20_000.0, "syslog-ng", 0.2),
)
LOSS_FREE = (("rsyslogd", 1.0), ("syslog-ng", 2.0))  # at least
LINES = 3.0  # times those of pop-before-smtp with its DB, at least
IDLE_P50_MS, LOADED_P50_MS, LOADED_P99_MS, LOADED = 2.0, 12.0, 25.0, 0.5
MAP_P99_MS = {100_000: 1500.0, 1_000_000: 3000.0}
LOCK_MS = {100_000: 5.0, 1_000_000: 15.0}
GROWTH_MB = 10.0
RECEIVER_MB, ALL_MB = (100_000, 60.0), (1_000_000, 400.0)
TEST_MS = 40.0


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    budget: str
    measured: str
    met: bool


def measured(record: Mapping[str, Any]) -> list[Row]:
    return [*_receive(record), *_loss_free(record), *_lines(record), *_latency(record), *_lock(record), *_memory(record), *_test(record)]


def table(rows: Sequence[Row]) -> str:
    return markdown(
        ["what", "budget", "measured", "met"], [[row.what, row.budget, row.measured, "yes" if row.met else "**no**"] for row in rows]
    )


def _most(what: str, value: float | Spread, limit: float, unit: str = "", digits: int = 2) -> Row:
    return Row(what, f"<= {limit:g}{unit}", _text(value, digits) + unit, _middle(value) <= limit)


def _least(what: str, value: float | Spread, limit: float) -> Row:
    return Row(what, f">= {limit:g}", _text(value, 2), _middle(value) >= limit)


def _text(value: float | Spread, digits: int) -> str:
    return value.text(digits) if isinstance(value, Spread) else f"{value:.{digits}f}"


def _middle(value: float | Spread) -> float:
    return value.median if isinstance(value, Spread) else value


def _receive(record: Mapping[str, Any]) -> Iterator[Row]:
    costs: dict[tuple[float, str], list[float]] = {}
    for row in record.get("receive", ()):
        if row["logins"] == LOGINS:
            costs[row["rate"], row["server"]] = [Sample(**sample).nanoseconds for sample in row["samples"]]
    for rate, beside, limit in RECEIVE:
        others = [found for (at, server), found in costs.items() if at == rate and server.startswith(beside)]
        if others and (rate, OURS) in costs:
            name = f"{rate / 1000:g} k/s" if rate else "saturated"
            ratio = ratio_to_better(costs[rate, OURS], *others)
            yield _most(f"CPU a datagram, {name}, {LOGINS:.0%} logins : {beside}", ratio, limit)


def _loss_free(record: Mapping[str, Any]) -> Iterator[Row]:
    rates = {name: [each["rate"] for each in rounds] for name, rounds in record.get("lossfree", {}).items()}
    for beside, limit in LOSS_FREE:
        others = [found for name, found in rates.items() if name.startswith(beside)]
        if others:
            best = max(others, key=median)
            ratio = spread([ours / max(1.0, its) for ours, its in zip(rates[OURS], best, strict=True)])
            yield _least(f"loss-free rate : {beside}", ratio, limit)


def _lines(record: Mapping[str, Any]) -> Iterator[Row]:
    figures = record.get("lines_cpu_seconds", {})
    theirs = next((name for name in (lines.SCRIPT_DB, lines.PERL_DB) if name in figures), None)
    if theirs:
        for ours in (lines.STORED, lines.UDP):
            if ours in figures:
                yield _least(f"lines a CPU second, {ours} : {theirs}", ratio_to_better(figures[theirs], figures[ours]), LINES)


def _latency(record: Mapping[str, Any]) -> Iterator[Row]:
    levels = [level for level in record.get("latency", ()) if level["share"] <= LOADED]
    for level in levels:
        where, ms = _load(level), [seconds * 1000 for seconds in level["table"]]
        if ms and not level["share"]:
            yield _most(f"login to table, p50, {where}", quantile(ms, 0.5), IDLE_P50_MS, " ms", 1)
        elif ms:
            yield _most(f"login to table, p50, {where}", quantile(ms, 0.5), LOADED_P50_MS, " ms", 1)
            yield _most(f"login to table, p99, {where}", quantile(ms, 0.99), LOADED_P99_MS, " ms", 1)
    for level in levels:
        if level["map"] and level["live"] in MAP_P99_MS:
            p99 = quantile(level["map"], 0.99) * 1000
            yield _most(f"login to sendmail's answer, p99, {_load(level)}", p99, MAP_P99_MS[level["live"]], " ms", 0)


def _load(level: Mapping[str, Any]) -> str:
    return f"{level['share']:.0%} of the loss-free rate, {level['live']} live" if level["share"] else f"idle, {level['live']} live"


def _test(record: Mapping[str, Any]) -> Iterator[Row]:
    for command, took in record.get("table", {}).get("processes", {}).items():
        if "test" in command.split():
            yield _most(f"`{command}`, the whole process", spread([seconds * 1000 for seconds in took["wall"]]), TEST_MS, " ms", 1)


def _lock(record: Mapping[str, Any]) -> Iterator[Row]:
    for size, limit in LOCK_MS.items():
        held = [
            figures["lock_max"] * 1000
            for figures in record.get("export", {}).get("followed", {}).get(str(size), ())
            if "lock_max" in figures
        ]
        if held:
            yield _most(f"lock of the map held while publishing, the longest, {size} live", spread(held), limit, " ms", 1)


def _memory(record: Mapping[str, Any]) -> Iterator[Row]:
    found = record.get("memory")
    if not found:
        return
    live = {int(size): by_process for size, by_process in found["live"].items()}
    size, limit = RECEIVER_MB
    if size in live:
        receivers = [count for name, count in live[size].items() if name.startswith("receive")]
        yield _most(f"PSS of the receiver, {size} live", max(receivers, default=0) / 1e6, limit, " MB", 1)
    size, limit = ALL_MB
    if size in live:
        yield _most(f"PSS of all processes, {size} live", sum(live[size].values()) / 1e6, limit, " MB", 1)
    growth = sum(found["most"].values()) - sum(found["before"].values())
    yield _most("growth in an overload of 10 s, all processes", growth / 1e6, GROWTH_MB, " MB", 1)
