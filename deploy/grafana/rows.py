"""What the dashboard shows: of each panel a title, what is asked of Prometheus, in which unit, and a word on how to read it.

`ALL` in a query stands for the job and instance that are chosen above the panels.
"""

from collections.abc import Sequence

from panels import Json, graph, grid, heatmap, number, quantiles, rate

PEER = ',peer=~"$peer"'
REFUSED = ',outcome!~"grant|not_login|connected|logout|repeated"'
ROWS: Sequence[tuple[str, Sequence[Json]]] = (
    (
        "At a glance",
        (
            number("Answers", "min(up{ALL})", "short", "Whether Prometheus reaches every instance.", says={1: "yes", 0: "no"}),
            number(
                "Logins", "sum(rate(syslogauth_logins_total{ALL}[$__rate_interval])) or vector(0)", "cps", "Recognised, granted or not."
            ),
            number("Addresses", "max(syslogauth_export_entries{ALL})", "short", "That may relay now: the entries of the largest map."),
            number(
                "Age of the map",
                "max(time() - syslogauth_export_last_success_timestamp_seconds{ALL})",
                "s",
                "Since the oldest map was last known to agree with the table: some seconds, half a minute under great load.",
                orange=60,
                red=120,
            ),
            number(
                "Lost in an hour",
                "sum(increase(syslogauth_datagrams_dropped_total{ALL}[1h]))",
                "short",
                "Datagrams that found the receive buffer full. Raise net.core.rmem_max or kern.ipc.maxsockbuf.",
                red=1,
            ),
            number(
                "Table",
                "min(syslogauth_table_writable{ALL})",
                "short",
                "Whether the last commit went well.",
                says={1: "writable", 0: "stuck"},
            ),
            number(
                "Quietest peer",
                f"max(time() - syslogauth_peer_last_message_timestamp_seconds{{ALL{PEER}}})",
                "s",
                "Since the last message of the peer that has been silent for longest.",
                orange=900,
            ),
            number(
                "Configuration",
                "min(syslogauth_config_last_reload_successful{ALL})",
                "short",
                "Whether the file that was read last was taken. A bad one leaves the old one at work.",
                says={1: "taken", 0: "refused"},
            ),
        ),
    ),
    (
        "Logins",
        (
            graph(
                "Logins by server", rate("syslogauth_logins_total", "server, service"), "cps", "Recognised, granted or not.", stacked=True
            ),
            graph(
                "Grants by kind",
                rate("syslogauth_grants_total", "kind"),
                "cps",
                "new: an address that could not relay before. The limits and full are logins that were refused: see policy.",
            ),
            graph(
                "Unrecognised",
                rate("syslogauth_unrecognised_total", "app_name"),
                "cps",
                "Lines that look like logins and were refused. After a server's upgrade: syslogauth match --missed FILE.",
            ),
            graph("What became of messages", rate("syslogauth_outcomes_total", "outcome"), "cps", "Each has one outcome.", stacked=True),
            graph(
                "Refused",
                {"{{outcome}}": f"topk(8, sum by (outcome) (rate(syslogauth_outcomes_total{{ALL{REFUSED}}}[$__rate_interval])))"},
                "cps",
                "The eight most frequent reasons. syslogauth match LINE says what each means.",
            ),
            graph(
                "Sessions that hold a grant",
                {
                    "open": "sum(syslogauth_open_sessions{ALL})",
                    "refused a second": "sum(rate(syslogauth_sessions_refused_total{ALL}[$__rate_interval]))",
                },
                "short",
                "With policy.hold_while_connected. Refused: too many are open.",
            ),
        ),
    ),
    (
        "Receiving",
        (
            graph("Messages", rate("syslogauth_datagrams_received_total", "transport"), "cps", "By how they came.", stacked=True),
            graph("Bytes", rate("syslogauth_received_bytes_total", "transport"), "Bps", "By how they came.", stacked=True),
            graph("Lost", rate("syslogauth_datagrams_dropped_total", "instance, where"), "cps", "kernel: the receive buffer was full."),
            graph(
                "Receive buffers",
                {"{{instance}} {{listen}}": "syslogauth_receive_buffer_bytes{ALL}"},
                "bytes",
                "What the kernel granted; listen.receive_buffer_bytes asks for 16 MiB.",
            ),
            graph(
                "Grants that wait for a commit",
                {"{{instance}}": "syslogauth_pending_grants{ALL}", "{{instance}} at most": "syslogauth_pending_capacity{ALL}"},
                "short",
                "At their limit the sockets are not read.",
            ),
            graph(
                "Messages without an outcome, reading one by one",
                {
                    "{{instance}} without": (
                        "sum by (instance) (syslogauth_datagrams_received_total{ALL}) - sum by (instance) (syslogauth_outcomes_total{ALL})"
                    ),
                    "{{instance}} one by one": "1 - syslogauth_receive_batching{ALL}",
                },
                "short",
                "Both are zero. The first is a mistake of syslogauth; the second a Python whose asyncio does not pass batches on.",
                low=False,
            ),
        ),
    ),
    (
        "Peers",
        (
            grid(
                "Peers",
                "peer",
                {
                    "last message": (f"max by (peer) (time() - syslogauth_peer_last_message_timestamp_seconds{{ALL{PEER}}})", "s"),
                    "last login": (f"max by (peer) (time() - syslogauth_peer_last_login_timestamp_seconds{{ALL{PEER}}})", "s"),
                    "messages": (f"sum by (peer) (rate(syslogauth_peer_datagrams_total{{ALL{PEER}}}[$__rate_interval]))", "cps"),
                    "clock": (f"max by (peer) (syslogauth_peer_clock_skew_seconds{{ALL{PEER}}})", "s"),
                },
                "Ages of the last message and the last login; clock: the stamp of its messages less the time of receipt.",
            ),
            graph(
                "Messages by peer",
                rate("syslogauth_peer_datagrams_total", "peer", PEER),
                "cps",
                "By entry of listen.peers.",
                stacked=True,
            )
            | {"gridPos": {"h": 7, "w": 12}},
            graph(
                "Since the last message",
                {"{{peer}}": f"max by (peer) (time() - syslogauth_peer_last_message_timestamp_seconds{{ALL{PEER}}})"},
                "s",
                "A mail server that fell silent.",
                limit=900,
            ),
            graph(
                "Clock skew",
                {"{{peer}}": f"max by (peer) (syslogauth_peer_clock_skew_seconds{{ALL{PEER}}})"},
                "s",
                "Negative: its clock is behind, or its messages come late.",
                low=False,
            ),
            graph(
                "Summaries of repeated messages",
                rate("syslogauth_peer_repeated_total", "peer", PEER),
                "cps",
                "`last message repeated N times` renews a grant late: switch it off where you can (FreeBSD: syslogd -cc).",
            ),
        ),
    ),
    (
        "Map",
        (
            heatmap(
                "From login to map",
                "sum by (le) (increase(syslogauth_login_to_export_seconds_bucket{ALL}[$__rate_interval]))",
                "The wait of each user whose address is new.",
            ),
            graph(
                "From login to map: quantiles",
                quantiles("syslogauth_login_to_export_seconds"),
                "s",
                "The wait of a user whose address is new.",
            ),
            graph(
                "Age of the map",
                {"{{instance}} {{export}}": "time() - syslogauth_export_last_success_timestamp_seconds{ALL}"},
                "s",
                "Since it was last known to agree with the table.",
                limit=120,
            ),
            graph("Entries", {"{{instance}} {{export}}": "syslogauth_export_entries{ALL}"}, "short", "Addresses in the map."),
            graph(
                "Publications",
                rate("syslogauth_exports_total", "export, result"),
                "ops",
                "published: the changed pages; whole: every byte; failed: tried again, see the log.",
            ),
            graph(
                "Least time between publications",
                {"{{instance}} {{export}}": "syslogauth_export_interval_seconds{ALL}"},
                "s",
                "Grows, to 30 s at most, lest the exporter takes more than a quarter of a core.",
            ),
            graph("Time to publish", quantiles("syslogauth_export_duration_seconds", "export"), "s", "To render and write one map."),
            graph(
                "Readers locked out",
                quantiles("syslogauth_export_lock_seconds", "export"),
                "s",
                "For how long one publication holds the lock.",
            ),
            graph(
                "Grants that ended",
                {"{{instance}}": "rate(syslogauth_grants_expired_total{ALL}[$__rate_interval])"},
                "cps",
                "Their time was over.",
            ),
        ),
    ),
    (
        "Table",
        (
            graph(
                "Addresses",
                {"{{instance}}": "syslogauth_table_entries{ALL}", "{{instance}} denied": "syslogauth_table_denies{ALL}"},
                "short",
                "In the table; those that are over stay in it until the next sweep.",
            ),
            graph(
                "Size",
                {"{{instance}}": "syslogauth_table_used_bytes{ALL} / syslogauth_table_map_size_bytes{ALL}"},
                "percentunit",
                "Of the size at which it is full, which policy.max_addresses determines.",
                limit=0.8,
            ),
            graph("Time to commit", quantiles("syslogauth_commit_seconds"), "s", "Of one group of grants, durably."),
            graph("Commits", {"{{instance}}": "rate(syslogauth_commit_seconds_count{ALL}[$__rate_interval])"}, "ops", "Groups of grants."),
            graph(
                "Failures",
                {
                    "{{instance}} commits": "increase(syslogauth_table_errors_total{ALL}[$__rate_interval])",
                    "{{instance}} steps of the clock": "increase(syslogauth_clock_steps_total{ALL}[$__rate_interval])",
                },
                "short",
                "Commits that failed are tried again; at a step of the clock the table is read anew.",
            ),
            graph(
                "Since the configuration was taken",
                {"{{instance}}": "time() - syslogauth_config_last_reload_success_timestamp_seconds{ALL}"},
                "s",
                "By a start or a reload.",
            ),
        ),
    ),
    (
        "TCP, TLS and files",
        (
            graph("Connections", {"{{transport}}": "sum by (transport) (syslogauth_stream_connections{ALL})"}, "short", "Open now."),
            graph("Connections that ended", rate("syslogauth_stream_connections_ended_total", "transport, reason"), "ops", "And why."),
            graph(
                "Certificates end in",
                {"{{instance}} {{certificate}}": "syslogauth_tls_certificate_expiry_timestamp_seconds{ALL} - time()"},
                "s",
                "Renew and reload before.",
                low=False,
            ),
            graph(
                "Unread",
                {"{{file}}": "sum by (file) (syslogauth_file_unread_bytes{ALL})"},
                "bytes",
                "What is written and not yet read of each file.",
            ),
            graph(
                "Rotations, and files that cannot be read",
                {
                    "{{file}} {{kind}}": "sum by (file, kind) (increase(syslogauth_file_rotations_total{ALL}[$__rate_interval]))",
                    "{{file}} cannot be read": "1 - min by (file) (syslogauth_file_readable{ALL})",
                },
                "short",
                "Renamed, or copied and truncated.",
            ),
        ),
    ),
    (
        "Processes",
        (
            graph(
                "CPU",
                rate("syslogauth_process_cpu_seconds_total", "process")
                | {"parent": "sum(rate(process_cpu_seconds_total{ALL}[$__rate_interval]))"},
                "percentunit",
                "Of one core.",
                stacked=True,
            ),
            graph(
                "Memory",
                {
                    "{{instance}} {{process}}, at most": "syslogauth_process_peak_resident_bytes{ALL}",
                    "{{instance}} parent": "process_resident_memory_bytes{ALL}",
                },
                "bytes",
                "Resident: of the children the most that they ever had, of the parent what it has now.",
            ),
            graph(
                "Running, and deaths",
                {
                    "{{instance}} {{process}}": "syslogauth_process_up{ALL}",
                    "{{instance}} {{process}} died": "increase(syslogauth_process_restarts_total{ALL}[$__rate_interval])",
                },
                "short",
                "A child that dies is started again; its log line has the exit code.",
            ),
            graph(
                "Descriptors of the parent",
                {"{{instance}}": "process_open_fds{ALL}", "{{instance}} at most": "process_max_fds{ALL}"},
                "short",
                "It owns the sockets.",
            ),
            graph("Running since", {"{{instance}}": "time() - process_start_time_seconds{ALL}"}, "s", "The parent."),
            graph(
                "Versions",
                {"{{version}}": "count by (version) (syslogauth_build_info{ALL})"},
                "short",
                "How many instances of each.",
                stacked=True,
            ),
        ),
    ),
)
