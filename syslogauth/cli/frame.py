"""One picture of `top`: the object that it looks at (top.py) as lines that fit a terminal of 80 by 24 and grow with it.

Everything that came from outside goes in as plain Text, escaped: no markup of rich's, no control byte reaches the terminal.
"""

import time
from typing import Any

from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from syslogauth.cli.listing import escaped

LEAST_ROWS = 3  # of each list, however low the terminal
MOST_MAPS = 3
WIDE_ADDRESS = 110  # columns from which an IPv6 address has room


def frame(known: dict[str, Any], width: int, height: int | None) -> Group:
    """`known` as top.py makes it; `height` None: as long as it gets."""
    head = [
        _title(known),
        _traffic(known),
        _room(known["table"]),
        *_maps(known),
        *_processes(known, (known["rates"] or {}).get("processes", {})),
    ]
    daemon, rates = known["daemon"] or {}, known["rates"] or {}
    outcomes = _outcomes(daemon.get("outcomes", {}), rates.get("outcomes", {}))
    peers = daemon.get("peers", [])
    lists = max(len(outcomes), len(peers))
    room = None if height is None else height - len(head) - 4  # two headings, two empty lines
    if room is not None:
        lists = min(lists, max(LEAST_ROWS, room // 2))
    left = None if room is None else max(LEAST_ROWS, room - lists)
    parts: list[Any] = [*head, Text("")]
    if daemon:
        both = Grid.grid(expand=True, padding=(0, 2, 0, 0))
        both.add_column(ratio=4)
        both.add_column(ratio=5)
        both.add_row(_outcome_grid(outcomes[:lists]), _peer_grid(peers[:lists], rates.get("peers", {}), known["at"]))
        parts += [both, Text("")]
    parts.append(_newest(known["newest"][:left], known["at"], width))
    return Group(*parts)


def _title(known: dict[str, Any]) -> Text:
    daemon = known["daemon"]
    if daemon is None:
        text = Text("syslogauth  ").append("does not answer", "bold red")
    else:
        text = Text(f"syslogauth {escaped(daemon['version'] or '?')}  ")
        text.append("ready" if daemon["ready"] else f"not ready: {escaped(daemon['reason'])}", "green" if daemon["ready"] else "bold red")
        if not daemon["config_good"]:
            text.append("  the last reload was refused", "bold red")
        if not daemon["table_writable"]:
            text.append("  the table cannot be written", "bold red")
    return _line(text.append(time.strftime("  %H:%M:%S", time.localtime(known["at"]))))


def _traffic(known: dict[str, Any]) -> Text:
    daemon, rates = known["daemon"], known["rates"] or {}
    text = _label("datagrams")
    if daemon is None:
        return _line(text.append("-"))
    text.append(f"{_rate(rates.get('datagrams_per_second'))}/s  grants {_rate((rates.get('outcomes') or {}).get('grant'))}/s  ")
    lost = daemon["datagrams_dropped"]
    text.append(f"dropped {lost:,} ({_rate(rates.get('dropped_per_second'))}/s)", "bold red" if lost else "")
    text.append(f"  pending {daemon['pending_grants'] or 0:,}")
    if daemon["stream_connections"]:
        text.append("  " + ", ".join(f"{count:,} {escaped(name)}" for name, count in sorted(daemon["stream_connections"].items())))
    return _line(text)


def _room(table: dict[str, Any]) -> Text:
    full = max(table["entries_ratio"], table["used_ratio"])
    text = _label("table").append(f"{table['entries']:,} of {table['max_addresses']:,} ({table['entries_ratio']:.1%})  ")
    size = f"{_bytes(table['used_bytes'])} of {_bytes(table['map_size_bytes'])} ({table['used_ratio']:.1%})"
    text.append(size, "bold red" if full > 0.8 else "")
    return _line(text.append(f"  denied {table['denies']:,}  sessions {table['sessions']:,}"))


def _maps(known: dict[str, Any]) -> list[Text]:
    """Of the daemon's exports; where it does not answer, of what lies on the disk."""
    lines = []
    if known["daemon"] is not None:
        for export in known["daemon"]["exports"][:MOST_MAPS]:
            text = _label("map").append(f"{export['addresses'] or 0:,} addresses  ")
            age = export["age_seconds"]
            text.append("never agreed" if age is None else f"agreed {_span(age)} ago", "bold red" if age is None or age > 60 else "")
            text.append(f"  every {export['interval_seconds'] or 0:g} s  ")
            if export["failed"]:
                text.append(f"failed {export['failed']:,}  ", "bold red")
            lines.append(_line(text.append(escaped(export["path"]))))
        return lines
    for found in known["maps"][:MOST_MAPS]:
        said = found["error"] or f"written {_span(max(0.0, known['at'] - found['written_at']))} ago"
        lines.append(_line(_label("map").append(f"{said}  {escaped(found['path'])}")))
    return lines


def _processes(known: dict[str, Any], cpu: dict[str, float | None]) -> list[Text]:
    """Share of a core and largest size; the workers together as one."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for process in (known["daemon"] or {}).get("processes", []):
        if process["up"] is not None or process["peak_resident_bytes"]:  # else a worker that a reload has taken away
            kinds.setdefault(process["process"].rstrip("0123456789"), []).append(process)
    if not kinds:
        return []
    text = _label("processes")
    for number, (kind, them) in enumerate(kinds.items()):
        restarts, up = sum(one["restarts"] or 0 for one in them), all(one["up"] is not False for one in them)
        said = f"{len(them)} {kind}s" if len(them) > 1 else kind
        text.append(", " if number else "").append(said, "" if up else "bold red")
        text.append("" if up else " down").append(f" {sum(cpu.get(one['process']) or 0 for one in them):.1%} cpu")
        text.append(f" {_bytes(sum(one['peak_resident_bytes'] or 0 for one in them))}")
        if restarts:
            text.append(f" {restarts:,} restarts", "bold red")
    return [_line(text)]


def _outcomes(counts: dict[str, int], rates: dict[str, float | None]) -> list[tuple[str, float | None, int]]:
    """The grants first, then what is most frequent now, then what was."""
    rows = [(name, rates.get(name), count) for name, count in counts.items() if count or name == "grant"]
    return sorted(rows, key=lambda row: (row[0] != "grant", -(row[1] or 0), -row[2]))


def _outcome_grid(rows: list[tuple[str, float | None, int]]) -> Grid:
    grid = _grid(("OUTCOME", "left", 1), ("/S", "right", None), ("ALL", "right", None))
    for name, rate, count in rows:
        grid.add_row(Text(escaped(name), "green" if name == "grant" else ""), Text(_rate(rate)), Text(_count(count)))
    return grid


def _peer_grid(peers: list[dict[str, Any]], rates: dict[str, float | None], now: float) -> Grid:
    grid = _grid(("PEER", "left", 1), ("/S", "right", None), ("MESSAGE", "right", None), ("LOGIN", "right", None))
    for peer in sorted(peers, key=lambda peer: (-(rates.get(peer["peer"]) or 0), -(peer["last_message_at"] or 0))):
        times = (Text(_ago(peer[name], now)) for name in ("last_message_at", "last_login_at"))
        grid.add_row(Text(escaped(peer["peer"])), Text(_rate(rates.get(peer["peer"]))), *times)
    return grid


def _newest(rows: list[dict[str, Any]], now: float, width: int) -> Grid:
    grid = _grid(("NEWEST GRANT", "left", None), ("AGO", "right", None), ("LEFT", "right", None), ("SERVICE", "left", None))
    for name, ratio in (("SERVER", None), ("HOST", 1), ("USER", 2)):
        grid.add_column(Text(name, "bold"), ratio=ratio, no_wrap=True, overflow="ellipsis", min_width=4)
    grid.columns[0].width = 39 if width >= WIDE_ADDRESS else 16
    for row in rows:
        left = "ever" if row["expires_at"] is None else _span(row["seconds_left"])
        who = (escaped(text) or "-" for text in (row["service"], row["server"] or row["kind"], row["hostname"], row["user"]))
        grid.add_row(*map(Text, (row["address"], _ago(row["granted_at"], now), left, *who)))
    return grid


def _grid(*columns: tuple[str, Any, int | None]) -> Grid:
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, header_style="bold")
    for name, justify, ratio in columns:
        grid.add_column(Text(name, "bold"), justify=justify, ratio=ratio, no_wrap=True, overflow="ellipsis")
    return grid


def _label(name: str) -> Text:
    return Text(f"{name:<11}", "bold")


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.1f}" if rate < 1000 else f"{rate:,.0f}"


def _count(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"{count / 1e9:,.1f} G"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _ago(at: float | None, now: float) -> str:
    return "-" if not at else _span(max(0.0, now - at))


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
