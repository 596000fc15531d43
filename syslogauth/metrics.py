"""Every metric: its name, type, words and labels. A process keeps plain ints and sends all of them, as they stand, once a second
(`Samples`, which survives JSON); ledger.py makes one page of those of several processes.

Labels are bounded: never an address or a user; a peer is the text of its configured network, an export its configured path.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
LEAST = "least"  # a gauge of which the smallest counts: whether all is well
FURTHEST = "furthest"  # a gauge of which the one furthest from zero counts
LATEST = "latest"  # a gauge of which the largest counts, and which outlives its process: the time of an event
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
WAITS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)

FAMILIES: dict[str, tuple[str, str, tuple[str, ...]]] = {  # name without prefix -> type, help, labels
    "build_info": (GAUGE, "Always 1; the version of syslogauth.", ("version",)),
    "clock_steps": (COUNTER, "Times that the wall clock was seen to jump; the table was read anew.", ()),
    "commit_seconds": (HISTOGRAM, "Time to commit one batch of grants durably.", ()),
    "config_last_reload_success_timestamp_seconds": (GAUGE, "Unix time of the last configuration that was taken.", ()),
    "config_last_reload_successful": (GAUGE, "1 if the last configuration file read was taken, 0 if it was bad.", ()),
    "datagrams_dropped": (COUNTER, "Datagrams lost before they could be read: kernel = its buffer was full.", ("where",)),
    "datagrams_received": (COUNTER, "Datagrams read; equal to the sum of syslogauth_outcomes_total.", ("transport",)),
    "export_duration_seconds": (HISTOGRAM, "Time to render and publish one map.", ("export",)),
    "export_entries": (GAUGE, "Addresses in the map as last published.", ("export",)),
    "export_interval_seconds": (GAUGE, "Shortest time between publications; grows lest they take over a quarter of a core.", ("export",)),
    "export_last_success_timestamp_seconds": (LATEST, "Unix time when the map was last known to agree with the table.", ("export",)),
    "export_lock_seconds": (HISTOGRAM, "Time that readers of the map were locked out by one publication.", ("export",)),
    "exports": (COUNTER, "Publications by result: published, whole (every byte written), failed.", ("export", "result")),
    "file_readable": (LEAST, "1 unless the followed file is missing for longer than a rotation takes, or cannot be read.", ("file",)),
    "file_rotations": (COUNTER, "Rotations of a followed file that were seen: renamed, or truncated after a copy.", ("file", "kind")),
    "file_unread_bytes": (GAUGE, "Bytes of the followed file, and of what it was rotated to, that are still to be read.", ("file",)),
    "grants": (COUNTER, "What became of grants in the table: new, refreshed, or void: why (denied, revoked, full, a limit).", ("kind",)),
    "grants_expired": (COUNTER, "Grants whose time was over.", ()),
    "login_to_export_seconds": (HISTOGRAM, "From the receipt of a new address's login to its publication: the user's wait.", ()),
    "logins": (COUNTER, "Logins recognised, granted or not.", ("server", "service")),
    "open_sessions": (GAUGE, "Sessions known to be open that hold the grant of their address; those that share a key are one.", ()),
    "outcomes": (COUNTER, "Datagrams by what became of them: grant, or the reason for none.", ("outcome",)),
    "peer_clock_skew_seconds": (FURTHEST, "Stamp of a peer's message less the time of receipt: the worst of its senders.", ("peer",)),
    "peer_datagrams": (COUNTER, "Datagrams of a listed peer.", ("peer",)),
    "peer_last_login_timestamp_seconds": (LATEST, "Unix time of the last login of a listed peer.", ("peer",)),
    "peer_last_message_timestamp_seconds": (LATEST, "Unix time of the last datagram of a listed peer.", ("peer",)),
    "peer_repeated": (COUNTER, "Summaries of a listed peer that name no message: `last message repeated N times`.", ("peer",)),
    "pending_capacity": (GAUGE, "Addresses that may wait for a commit; at this number the sockets are not read.", ()),
    "pending_grants": (GAUGE, "Addresses that wait for a commit.", ()),
    "process_cpu_seconds": (COUNTER, "User and system time of a process of syslogauth.", ("process",)),
    "process_peak_resident_bytes": (GAUGE, "Largest resident size of a process of syslogauth.", ("process",)),
    "process_restarts": (COUNTER, "Times that a process of syslogauth died and was started again.", ("process",)),
    "process_up": (GAUGE, "1 while a process of syslogauth runs.", ("process",)),
    "receive_batching": (LEAST, "1 if datagrams are read in batches, 0 if one by one (a Python that asyncio's reading fits not).", ()),
    "receive_buffer_bytes": (GAUGE, "Receive buffer that the kernel granted; each worker's socket, the smallest of them.", ("listen",)),
    "received_bytes": (COUNTER, "Bytes of the datagrams read.", ("transport",)),
    "sessions_refused": (COUNTER, "Sessions that hold no grant, because too many are open.", ()),
    "stream_connections": (GAUGE, "Open connections, TLS handshakes among them.", ("transport",)),
    "stream_connections_ended": (COUNTER, "Connections that ended or were refused, by why.", ("transport", "reason")),
    "table_denies": (GAUGE, "Denied addresses and networks.", ()),
    "table_entries": (GAUGE, "Addresses in the table.", ()),
    "table_errors": (COUNTER, "Commits that failed and were tried again.", ()),
    "table_map_size_bytes": (GAUGE, "Size at which the table is full.", ()),
    "table_used_bytes": (GAUGE, "Size of the table.", ()),
    "table_writable": (LEAST, "1 unless the last commit failed.", ()),
    "tls_certificate_expiry_timestamp_seconds": (
        GAUGE,
        "Unix time when a certificate ends: ours (certificate), or the first of those that sign the peers' (client_ca).",
        ("certificate",),
    ),
    "unrecognised": (COUNTER, "Lines of known servers that look like logins and were refused: a server may log anew.", ("app_name",)),
}  # fmt: skip

Labels = tuple[str, ...]
Buckets = list[float]  # counts of the buckets, +Inf last, and then the sum of the observed values
Samples = dict[str, list[tuple[Labels, float | Buckets]]]


@dataclass(slots=True)
class Histogram:
    """Plain counts in the hot path; `state()` is what travels."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def state(self) -> Buckets:
        return [*self.counts, self.total]


BOUNDS = {"commit_seconds": SECONDS, "export_duration_seconds": SECONDS, "export_lock_seconds": SECONDS, "login_to_export_seconds": WAITS}


def histogram(name: str) -> Histogram:
    return Histogram(BOUNDS[name])
