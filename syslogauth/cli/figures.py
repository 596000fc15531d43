"""What `stats` and `top` tell, as one object. Scripts read it: keys are lower case, with their unit; none is taken away, new ones may come.

    at       Unix seconds of the look
    table    entries, max_addresses, entries_ratio, denies, sessions, used_bytes, map_size_bytes, used_ratio
    maps     an array: path, format, bytes, written_at, error (null, or why there is nothing to tell)
    daemon   null where none answers; else what it counts since its start:
             version, ready, reason (null, or why it is not), config_taken_at, config_good
             datagrams_received by transport, received_bytes, datagrams_dropped, outcomes by outcome, grants by kind, grants_expired,
             unrecognised by tag, pending_grants, pending_capacity, open_sessions, table_writable, table_errors, commit_mean_seconds,
             login_to_export_mean_seconds, workers, stream_connections by transport
             logins     an array: server, service, count
             peers      an array: peer, datagrams, repeated, clock_skew_seconds, last_message_at, last_login_at
             exports    an array: path, addresses, agreed_at, age_seconds, interval_seconds, published, failed
             processes  an array: process, up, restarts, cpu_seconds, peak_resident_bytes

A figure that the daemon does not have is null; of an array's own the key is there all the same. No key or text is a client's.
"""

import time
from collections.abc import Iterable
from typing import Any

from syslogauth.assembly import maps_of
from syslogauth.config import Config
from syslogauth.scrape import Figures, total
from syslogauth.settings import map_file
from syslogauth.table import Table

PEER_FIGURES = {
    "datagrams": "peer_datagrams_total",
    "repeated": "peer_repeated_total",
    "clock_skew_seconds": "peer_clock_skew_seconds",
    "last_message_at": "peer_last_message_timestamp_seconds",
    "last_login_at": "peer_last_login_timestamp_seconds",
}
PROCESS_FIGURES = {
    "restarts": "process_restarts_total",
    "cpu_seconds": "process_cpu_seconds_total",
    "peak_resident_bytes": "process_peak_resident_bytes",
}


def look(config: Config, table: Table, figures: Figures | None, unready: str | None) -> dict[str, Any]:
    """The object."""
    now = time.time()
    return {
        "at": round(now, 3),
        "table": of_table(table, config.policy.max_addresses),
        "maps": of_maps(config),
        "daemon": of_daemon(figures, unready, now),
    }


def of_table(table: Table, max_addresses: int) -> dict[str, Any]:
    """Takes no longer at a million entries."""
    sizes = table.sizes()
    full, used = sizes["entries"] / max_addresses, sizes["used_bytes"] / sizes["map_size_bytes"]
    return {**sizes, "max_addresses": max_addresses, "entries_ratio": round(full, 6), "used_ratio": round(used, 6)}


def of_maps(config: Config) -> list[dict[str, Any]]:
    """What lies on the disk."""
    rows: list[dict[str, Any]] = []
    for settings in maps_of(config):
        path = map_file(settings.path)
        row: dict[str, Any] = {"path": str(path), "format": settings.format, "bytes": None, "written_at": None, "error": None}
        try:
            found = path.stat()
            row |= {"bytes": found.st_size, "written_at": found.st_mtime}
        except OSError as error:
            row["error"] = error.strerror
        rows.append(row)
    return rows


def of_daemon(figures: Figures | None, unready: str | None, now: float) -> dict[str, Any] | None:
    """What the daemon counts. `unready`: why it is not ready."""
    if figures is None:
        return None
    return {
        "version": next((labels["version"] for labels, _ in figures.get("build_info", ())), None),
        "ready": unready is None,
        "reason": unready,
        "config_taken_at": _one(figures, "config_last_reload_success_timestamp_seconds"),
        "config_good": total(figures, "config_last_reload_successful") == 1,
        "datagrams_received": _by(figures, "datagrams_received_total", "transport"),
        "received_bytes": int(total(figures, "received_bytes_total")),
        "datagrams_dropped": int(total(figures, "datagrams_dropped_total")),
        "outcomes": _by(figures, "outcomes_total", "outcome"),
        "grants": _by(figures, "grants_total", "kind"),
        "grants_expired": int(total(figures, "grants_expired_total")),
        "unrecognised": _by(figures, "unrecognised_total", "app_name"),
        **{name: _whole(_one(figures, name)) for name in ("pending_grants", "pending_capacity", "open_sessions")},
        "table_writable": _one(figures, "table_writable") == 1,
        "table_errors": int(total(figures, "table_errors_total")),
        "commit_mean_seconds": _mean(figures, "commit_seconds"),
        "login_to_export_mean_seconds": _mean(figures, "login_to_export_seconds"),
        "workers": sum(labels["process"].startswith("receiver") for labels, _ in figures.get("process_up", ())),
        "stream_connections": _by(figures, "stream_connections", "transport"),
        "logins": [{**labels, "count": int(count)} for labels, count in figures.get("logins_total", ())],
        "peers": [_row(figures, "peer", peer, PEER_FIGURES) for peer in _names(figures, "peer", PEER_FIGURES.values())],
        "exports": [_export(figures, path, now) for path in _names(figures, "export", ("export_entries", "exports_total"))],
        "processes": [_process(figures, name) for name in _names(figures, "process", ("process_up", *PROCESS_FIGURES.values()))],
    }


def _export(figures: Figures, path: str, now: float) -> dict[str, Any]:
    agreed = _one(figures, "export_last_success_timestamp_seconds", export=path)
    results = {labels["result"]: count for labels, count in figures.get("exports_total", ()) if labels["export"] == path}
    return {
        "path": path,
        "addresses": _whole(_one(figures, "export_entries", export=path)),
        "agreed_at": agreed or None,
        "age_seconds": round(max(0.0, now - agreed), 1) if agreed else None,
        "interval_seconds": _one(figures, "export_interval_seconds", export=path),
        "published": int(results.get("published", 0) + results.get("whole", 0)),
        "failed": int(results.get("failed", 0)),
    }


def _process(figures: Figures, name: str) -> dict[str, Any]:
    up = _one(figures, "process_up", process=name)  # null: the parent's, or of a worker that a reload has taken away
    return {"process": name, "up": None if up is None else up == 1, **_row(figures, "process", name, PROCESS_FIGURES)}


def _row(figures: Figures, label: str, name: str, wanted: dict[str, str]) -> dict[str, Any]:
    found = {key: _one(figures, sample, **{label: name}) for key, sample in wanted.items()}
    return {label: name} | {key: _whole(value) if not key.endswith(("_seconds", "_at")) else value for key, value in found.items()}


def _names(figures: Figures, label: str, samples: Iterable[str]) -> list[str]:
    """Python's own process_cpu_seconds_total, which has no label, is not ours."""
    return sorted({labels[label] for sample in samples for labels, _ in figures.get(sample, ()) if label in labels})


def _by(figures: Figures, name: str, label: str) -> dict[str, int]:
    return {labels[label]: int(value) for labels, value in figures.get(name, ())}


def _one(figures: Figures, name: str, **labels: str) -> float | None:
    return next((value for of, value in figures.get(name, ()) if labels.items() <= of.items()), None)


def _mean(figures: Figures, name: str) -> float | None:
    count = total(figures, f"{name}_count")
    return round(total(figures, f"{name}_sum") / count, 6) if count else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
