import json
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from syslogauth.ledger import Ledger
from syslogauth.metrics import BOUNDS, COUNTER, FAMILIES, HISTOGRAM, SECONDS, Histogram, Samples, histogram

GOLDEN = Path(__file__).with_name("metrics.golden.txt")
LABELS = {  # label -> two values of it, in the order of the page
    "version": ("1.0.0", "1.0.1"),
    "where": ("kernel", "queue"),
    "app_name": ("dovecot", "imapd"),
    "transport": ("tcp", "udp"),
    "export": ("/var/lib/syslogauth/popauth", '/var/odd "path"'),
    "result": ("failed", "published"),
    "kind": ("new", "refreshed"),
    "server": ("dovecot", "qpopper"),
    "service": ("imap", "pop3"),
    "outcome": ("grant", "not_login"),
    "peer": ("127.0.0.0/8", "::1/128"),
    "process": ("exporter", "receiver"),
    "listen": ("127.0.0.1:514", "[::1]:514"),
    "reason": ("closed", "framing"),
    "certificate": ("certificate", "client_ca"),
    "file": ("/var/log/dovecot.log", "/var/log/maillog"),
}


def figures() -> Samples:
    """Two rows of every family, or one where it has no label; each figure another."""
    samples: Samples = {}
    number = 0
    for name, (kind, _, label_names) in FAMILIES.items():
        rows = []
        for turn in range(2 if label_names else 1):
            number += 1
            value: float | list[float] = number
            if kind == HISTOGRAM:
                observed = histogram(name)
                for seconds in (BOUNDS[name][0], BOUNDS[name][2], 2 * BOUNDS[name][-1]):
                    observed.observe(seconds * (turn + 1))
                value = observed.state()
            rows.append((tuple(LABELS[label][turn] for label in label_names), value))
        samples[name] = rows
    return samples


def page(ledger: Ledger) -> str:
    registry = CollectorRegistry()
    registry.register(ledger)
    return generate_latest(registry).decode()


def test_the_whole_page_is_the_golden_one() -> None:
    ledger = Ledger()
    ledger.update("receiver", figures())
    assert GOLDEN.read_text() == page(ledger)


def test_figures_survive_the_way_through_json() -> None:
    ledger = Ledger()
    ledger.update("receiver", json.loads(json.dumps(figures())))
    assert GOLDEN.read_text() == page(ledger)


def test_every_family_has_a_name_as_prometheus_asks_for() -> None:
    for name, (kind, words, labels) in FAMILIES.items():
        assert not name.endswith(("_total", "_count", "_bucket")), name
        assert words.endswith("."), name
        assert set(labels) <= LABELS.keys(), name
        assert (kind == HISTOGRAM) == (name in BOUNDS), name
    assert sorted(FAMILIES) == list(FAMILIES)


def test_the_figures_of_several_processes_are_added_up() -> None:
    ledger = Ledger()
    ledger.update("first", {"outcomes": [(("grant",), 2)], "table_errors": [((), 1)]})
    ledger.update("second", {"outcomes": [(("grant",), 3), (("malformed",), 4)]})
    assert (5, 4, 1) == (ledger.value("outcomes", ("grant",)), ledger.value("outcomes", ("malformed",)), ledger.value("table_errors"))
    ledger.update("second", {"outcomes": [(("grant",), 7)]})
    assert 9 == ledger.value("outcomes", ("grant",))


def test_what_several_workers_say_is_one_figure_by_its_kind() -> None:
    ledger = Ledger()
    at = ("peer_last_login_timestamp_seconds", ("::1/128",))
    for worker, (waiting, writable, login_at) in {"receiver1": (5, 1, 300.0), "receiver2": (2, 0, 200.0)}.items():
        ledger.update(worker, {"pending_grants": [((), waiting)], "table_writable": [((), writable)], at[0]: [(at[1], login_at)]})
    assert (7, 0, 300.0) == (ledger.value("pending_grants"), ledger.value("table_writable"), ledger.value(*at))
    ledger.end("receiver2")
    assert (5, 1, 300.0) == (ledger.value("pending_grants"), ledger.value("table_writable"), ledger.value(*at))
    ledger.end("receiver1")
    assert (0, 300.0) == (ledger.value("pending_grants"), ledger.value(*at))
    assert "table_writable" not in page(ledger)


def test_of_several_skews_the_furthest_from_zero_counts_and_it_goes_back_and_away() -> None:
    ledger = Ledger()
    name, labels = "peer_clock_skew_seconds", ("10.0.0.0/8",)
    for worker, skew in {"receiver1": 2.0, "receiver2": -7.0, "streams": 0.5}.items():
        ledger.update(worker, {name: [(labels, skew)]})
    assert (-7.0, {"10.0.0.0/8": -7.0}) == (ledger.value(name, labels), ledger.by_label(name))
    ledger.update("receiver2", {name: [(labels, 0.0)]})
    assert 2.0 == ledger.value(name, labels)
    for worker in ("receiver1", "receiver2", "streams"):
        ledger.end(worker)
    assert name not in page(ledger)


def test_no_counter_falls_when_a_process_dies_and_its_gauges_go_with_it() -> None:
    ledger = Ledger()
    for turn in range(1, 4):
        ledger.update("receiver", {"outcomes": [(("grant",), 10)], "pending_grants": [((), 5)], "commit_seconds": [((), commits(2))]})
        assert (10 * turn, 5, 2 * turn) == (
            ledger.value("outcomes", ("grant",)),
            ledger.value("pending_grants"),
            ledger.value("commit_seconds"),
        )
        ledger.end("receiver")
        assert (10 * turn, 0, 2 * turn) == (
            ledger.value("outcomes", ("grant",)),
            ledger.value("pending_grants"),
            ledger.value("commit_seconds"),
        )
    ledger.end("receiver")
    assert 30 == ledger.value("outcomes", ("grant",))
    assert "pending_grants" not in page(ledger)


def commits(count: int) -> list[float]:
    seen = histogram("commit_seconds")
    for _ in range(count):
        seen.observe(0.001)
    return seen.state()


def test_the_times_of_what_is_no_longer_configured_are_forgotten_and_its_counts_are_not() -> None:
    ledger = Ledger()
    for peer in ("mail1", "mail2"):
        times = [((peer,), 5.0)]
        ledger.update(peer, {"peer_last_message_timestamp_seconds": times, "peer_datagrams": [((peer,), 2)]})
        ledger.end(peer)
    ledger.forget("export", ())
    ledger.forget("peer", ("mail1",))
    assert {"mail1": 5.0} == ledger.by_label("peer_last_message_timestamp_seconds")
    assert {"mail1": 2, "mail2": 2} == ledger.by_label("peer_datagrams")


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (SECONDS[0], 0), (SECONDS[0] * 1.01, 1), (SECONDS[-1], len(SECONDS) - 1), (SECONDS[-1] * 2, len(SECONDS))],
)
def test_a_value_is_counted_in_the_first_bucket_that_is_not_below_it(seconds: float, bucket: int) -> None:
    seen = Histogram(SECONDS)
    seen.observe(seconds)
    assert (1, 1, seconds) == (seen.counts[bucket], sum(seen.counts), seen.total)


def test_no_scrape_sees_a_counter_fall_while_processes_die() -> None:
    ledger = Ledger()
    enough = threading.Event()
    falls: list[tuple[float, float]] = []

    def scrape() -> None:
        last = 0.0
        while not enough.is_set():
            now = ledger.value("table_errors")
            if now < last:
                falls.append((last, now))
            last = now

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for turn in range(3000):
        ledger.update("receiver", {"table_errors": [((), 1)], "outcomes": [((str(turn),), 1)]})
        ledger.end("receiver")
    enough.set()
    scraper.join()
    assert [] == falls
    assert 3000 == ledger.value("table_errors")


def test_counters_are_those_that_only_grow() -> None:
    kinds = {name: kind for name, (kind, _, _) in FAMILIES.items()}
    assert all(kinds[name] == COUNTER for name in ("outcomes", "datagrams_received", "grants", "exports", "process_restarts"))
