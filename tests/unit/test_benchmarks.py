"""The benchmarks' corpus, their arithmetic, and the smallest run of the whole."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import budgets, formats, latency, lines, lossfree, plot, receive, sender
from benchmarks.corpus import SIZE, corpus, counted, fresh_login
from benchmarks.figures import Sample, Spread, markdown, quantile, ratio_to_better, spread
from benchmarks.peers import has_rsyslogd, starters
from benchmarks.processes import cpu_seconds, pss_bytes
from benchmarks.recognition import ALL, ONE, OURS, Case, cases_in, own_cases, recognised, table
from benchmarks.servers import SYSTEM_PATH
from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from tests.appliance import REPOSITORY
from tests.deadline import wait_until

PEER = ("127.0.0.1", 514)


def rows(table: str) -> list[str]:
    """The lines of a table without the blanks that align it."""
    return [re.sub(" +", " ", line) for line in table.splitlines()]


def intake() -> Intake:
    return Intake(Sources(Networks(("127.0.0.0/8",)), frozenset({"mail"})), Policy(1800.0, frozenset({"imap", "pop3"})))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_every_login_of_the_corpus_grants_an_address_of_its_own_and_nothing_else_does(share: float) -> None:
    entries, reader = corpus(share, 3000), intake()
    assert [entry.login for entry in entries] == [bool(reader.feed(Batch.of([(entry.datagram(), PEER)]), 1e9)) for entry in entries]
    grants = intake().feed(Batch.of([(entry.datagram(), PEER) for entry in entries]), 1e9)
    assert int(3000 * share) == len({grant.address for grant in grants})


def test_the_corpus_is_distinct_of_ordinary_length_and_the_same_each_time() -> None:
    datagrams = [entry.datagram() for entry in corpus(0.05)]
    assert len(set(datagrams)) == SIZE
    assert 150 <= sum(map(len, datagrams)) / SIZE <= 180
    assert datagrams == [entry.datagram() for entry in corpus.__wrapped__(0.05)]


def test_logins_are_counted_through_a_corpus_that_begins_anew() -> None:
    flags = [True, False, False, True, False]
    for count in range(14):
        assert sum([*flags * 3][:count]) == counted(flags, count)


def test_cost_is_for_each_datagram_that_was_received() -> None:
    sample = Sample(sent=1000, lost=200, cpu_seconds=0.0008, seconds=1.0)
    assert sample.nanoseconds == pytest.approx(1000.0)
    assert sample.loss == pytest.approx(0.2)


def test_ratios_are_taken_round_by_round_against_the_better_of_the_others() -> None:
    assert Spread(0.5, 0.25, 1.0) == ratio_to_better([2.0, 1.0, 1.0], [2.0, 2.0, 4.0], [9.0, 9.0, 1.0])
    assert Spread(2, 1, 4) == spread([4, 1, 2])
    assert spread([4, 1, 2]).text() == "2 [1-4]"


def rounds(*nanoseconds: float) -> list[Sample]:
    return [Sample(1000, 0, value * 1000 / 1e9, 1.0, wake_ups=500, late=0.01) for value in nanoseconds]


FLAT, PACED = receive.Cell(0, 0.05), receive.Cell(20000, 0.05)
SAMPLES: receive.Samples = {
    FLAT: {
        "syslogauth": rounds(1500, 1000, 2000),
        "rsyslogd queued": rounds(1000, 1000, 1000),
        "rsyslogd direct": rounds(2000, 3000, 2500),
        "syslog-ng": rounds(3000, 2000, 4000),
    },
    PACED: {
        "syslogauth": rounds(500),
        "rsyslogd queued": rounds(2000),
        "rsyslogd direct": rounds(1000),
        "syslog-ng": rounds(5000),
    },
}


def test_the_receive_tables_show_costs_losses_ratios_and_wake_ups() -> None:
    costs, ratios, waits = (
        rows(text) for text in (receive.table(SAMPLES, {}), receive.ratio_table(SAMPLES), receive.wake_up_table(SAMPLES))
    )
    assert costs[2].startswith("| flat out | 5% | 1500 [1000-2000] | 0.0% | 1000 [1000-1000] | 0.0% | 2500 [2000-3000] | 0.0% |")
    assert "| rate | logins | syslogauth : rsyslogd | syslogauth : syslog-ng |" == ratios[0]
    assert "| flat out | 5% | 1.50 [1.00-2.00] | 0.50 [0.50-0.50] |" == ratios[2]
    assert "| 20 k/s | 5% | 0.50 [0.50-0.50] | 0.10 [0.10-0.10] |" == ratios[3]
    assert "| 20 k/s | 5% | 0.50 | 0.50 | 0.50 | 0.50 | 1.0%, at most 1.0% |" == waits[3]


def record() -> dict[str, Any]:
    cells = [(cell, server, found) for cell, by_server in SAMPLES.items() for server, found in by_server.items()]
    return {
        "receive": [{"rate": cell.rate, "logins": cell.logins, "server": s, "samples": [asdict(one) for one in f]} for cell, s, f in cells],
        "lossfree": {name: [{"rate": rate}] for name, rate in (("syslogauth", 700e3), ("rsyslogd direct", 600e3), ("syslog-ng", 400e3))},
        "lines_cpu_seconds": {lines.STORED: [1e-6], lines.PERL_DB: [4e-6]},
        "latency": [
            {"live": 100_000, "share": 0.0, "table": [0.001, 0.002, 0.003], "map": [0.5]},
            {"live": 100_000, "share": 0.5, "table": [0.010, 0.030], "map": []},
            {"live": 100_000, "share": 0.9, "table": [9.0], "map": [9.0]},
        ],
        "memory": {"live": {"100000": {"parent": 20e6, "receiver": 50e6}}, "before": {"parent": 20e6}, "most": {"parent": 32e6}},
    }


def test_each_budget_that_was_measured_is_compared_with_its_figure() -> None:
    found = {row.what: (row.budget, row.measured, row.met) for row in budgets.measured(record())}
    assert {
        "CPU a datagram, saturated, 5% logins : rsyslogd": ("<= 1", "1.50 [1.00-2.00]", False),
        "CPU a datagram, 20 k/s, 5% logins : rsyslogd": ("<= 0.3", "0.50 [0.50-0.50]", False),
        "CPU a datagram, saturated, 5% logins : syslog-ng": ("<= 0.5", "0.50 [0.50-0.50]", True),
        "CPU a datagram, 20 k/s, 5% logins : syslog-ng": ("<= 0.2", "0.10 [0.10-0.10]", True),
        "loss-free rate : rsyslogd": (">= 1", "1.17 [1.17-1.17]", True),
        "loss-free rate : syslog-ng": (">= 2", "1.75 [1.75-1.75]", False),
        f"lines a CPU second, {lines.STORED} : {lines.PERL_DB}": (">= 3", "4.00 [4.00-4.00]", True),
        "login to table, p50, idle, 100000 live": ("<= 2 ms", "2.0 ms", True),
        "login to table, p50, 50% of the loss-free rate, 100000 live": ("<= 12 ms", "10.0 ms", True),
        "login to table, p99, 50% of the loss-free rate, 100000 live": ("<= 25 ms", "30.0 ms", False),
        "login to sendmail's answer, p99, idle, 100000 live": ("<= 1500 ms", "500 ms", True),
        "PSS of the receiver, 100000 live": ("<= 60 MB", "50.0 MB", True),
        "growth in an overload of 10 s, all processes": ("<= 10 MB", "12.0 MB", False),
    } == found
    assert "| loss-free rate : syslog-ng | >= 2 | 1.75 [1.75-1.75] | **no** |" in rows(budgets.table(budgets.measured(record())))
    assert [] == budgets.measured({})


def test_the_plot_is_well_formed_and_has_a_line_a_label_and_whiskers_for_each_program() -> None:
    picture = plot.receive(SAMPLES, "a <fast> machine")
    space = "{http://www.w3.org/2000/svg}"
    drawn = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert len(drawn.findall(f"{space}polyline")) == 4
    assert len(drawn.findall(f"{space}path[@class='whisker']")) == 8
    texts = [element.text for element in drawn.findall(f"{space}text")]
    assert {"syslogauth", "rsyslogd queued", "rsyslogd direct", "syslog-ng", "a <fast> machine"} <= {*texts}
    heights = sorted(float(element.get("y", "0")) for element in drawn.findall(f"{space}text") if element.text in SAMPLES[FLAT])
    assert all(high - low >= plot.LABEL_APART for low, high in pairwise(heights))


@pytest.mark.parametrize("limit", [5_001.0, 44_000.0, 310_000.0, 1_199_000.0])
def test_the_bisection_ends_just_below_what_loses(limit: float) -> None:
    tried: list[float] = []

    def passes(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    found = lossfree.highest(passes)
    assert limit / 1.02 < found <= limit
    assert len(tried) == lossfree.STEPS + 1


def test_the_bisection_gives_nothing_where_the_least_rate_loses() -> None:
    assert lossfree.highest(lambda rate: False) == 0.0


def test_the_loss_free_table_marks_what_the_sender_could_not_keep() -> None:
    def of(rate: float, by_sender: bool = False) -> list[lossfree.LossFree]:
        return [lossfree.LossFree(rate, by_sender)]

    table = rows(lossfree.table({"syslogauth": of(500e3), "rsyslogd direct": of(250e3), "syslog-ng": of(1000e3, True)}))
    assert "| syslogauth | 500 [500-500] | 1 |" == table[2]
    assert "| rsyslogd direct | 250 [250-250] | 2.00 [2.00-2.00] |" == table[3]
    assert "| syslog-ng | 1000 [1000-1000] (the sender's limit) | 0.50 [0.50-0.50] |" == table[4]


def test_the_sender_s_instants_are_a_poisson_process_of_the_rate_and_the_same_each_time() -> None:
    due = sender.instants(20_000, 10_000.0)
    assert due == sender.instants(20_000, 10_000.0) == sorted(due)
    assert len(due) == 20_000
    assert 0 <= due[0] < due[-1] <= 2.0
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert sum(gap > 0.0001 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.01)  # as exponential gaps have it


@pytest.mark.parametrize(("rate", "size"), [(1000.0, 1), (100_000.0, 1), (100_001.0, 8), (290_000.0, 20), (700_000.0, 50), (9e9, 50)])
def test_datagrams_go_together_only_where_one_at_a_time_would_be_too_many(rate: float, size: int) -> None:
    assert size == sender.group(rate)
    assert SIZE % size == 0
    assert len(sender.instants(1001, rate)) == -(-1001 // size)


def test_fresh_logins_are_of_addresses_of_their_own() -> None:
    grants = intake().feed(Batch.of((fresh_login(number), PEER) for number in (0, 1, 255, 256, 99_999, 999_999)), 1e9)
    assert [(10, 0, 0, 0), (10, 0, 0, 1), (10, 0, 0, 255), (10, 0, 1, 0), (10, 1, 134, 159), (10, 15, 66, 63)] == [
        tuple(grant.address) for grant in grants
    ]


def test_one_login_in_ten_is_of_ipv6() -> None:
    logins = [entry for entry in corpus(0.05) if entry.login]
    assert 0.07 < sum("rip=2001:db8:" in entry.text for entry in logins) / len(logins) < 0.13


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert [1, 2, 4, 4] == [quantile([4, 1, 3, 2], share) for share in (0.01, 0.5, 0.99, 1.0)]


def test_the_lines_table_shows_lines_a_cpu_second_of_ours_as_a_multiple_of_each_program_s() -> None:
    table = rows(lines.table({lines.REPLAY: [4e-6], lines.STORED: [5e-6], lines.PERL_1: [1e-6], lines.MTAIL: [8e-6]}))
    assert f"| {lines.REPLAY} | 4000 [4000-4000] | 1 | 0.80 [0.80-0.80] |" == table[2]
    assert f"| {lines.MTAIL} | 8000 [8000-8000] | 2.00 [2.00-2.00] | 1.60 [1.60-1.60] |" == table[5]


def test_a_table_is_aligned() -> None:
    assert markdown(["a", "b"], [["one", "2"]]) == "| a   | b |\n|-----|---|\n| one | 2 |"


def test_the_formats_table_shows_three_and_all_and_their_ratio() -> None:
    table = rows(formats.tables({formats.FEED: ([1e-6] * 3, [1.1e-6, 1e-6, 1.2e-6])}, {"uw": [4e-5]}))
    assert f"| {formats.FEED} | 1000 [1000-1000] | 1100 [1000-1200] | 1.100 [1.000-1.200] |" == table[2]
    assert "| uw | 40000 [40000-40000] |" == table[-1]


LOGIN = "Nov 22 10:00:00 mail1 imapd[7]: Login user=bob host=[192.0.2.25]"
TWO_LINES = ["popa3d[7]: Session from 192.0.2.25", "popa3d[7]: Authentication passed for bob"]
ROWS = (
    {"line": LOGIN, "daemon": "uw-imap", "login": True, "ip": "192.0.2.25"},
    {"line": LOGIN.replace("Login user", "Login failed user"), "daemon": "uw-imap", "login": False, "ip": None},
    {
        "line": "imap-login: Logged in: user=<b>, method=PLAIN, rip=2001:db8::9, lip=::1",
        "daemon": "dovecot",
        "login": True,
        "ip": "2001:db8::9",
    },
    {"line": LOGIN, "daemon": "uw-imap", "login": True, "ip": "192.0.2.9", "optional": True},
    {"line": "teapop[9]: Successful login for bob [9.9.9.9] from x [192.0.2.25]", "login": False, "forged_ip": "9.9.9.9"},
    {"lines": TWO_LINES, "daemon": "popa3d", "login": True, "ip": "192.0.2.25"},
)


@pytest.fixture
def corpus_directory(tmp_path: Path) -> Path:
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_recognition_counts_logins_by_server_and_what_is_taken_wrongly(corpus_directory: Path) -> None:
    cases = cases_in(corpus_directory)
    assert len(ROWS) - 1 == len(cases)
    found = recognised(cases)
    assert [{"192.0.2.25"}, set(), {"2001:db8::9"}, {"192.0.2.25"}, {"192.0.2.25"}] == found[OURS]
    lines = rows(table(cases, {OURS: found[OURS]}))
    assert "| UW, Panda | 1 | 1 |" in lines
    assert "| **all logins** | 3 | 3 |" in lines
    assert "| attacks: forged address taken | 1 | 0 |" in lines
    if shutil.which("perl"):
        assert [{"192.0.2.25"}, set(), set(), {"9.9.9.9"}, {"192.0.2.25"}] == found[ALL] == found[ONE]


def test_another_client_s_address_counts_as_wrong_and_not_as_found() -> None:
    cases = [Case("UW", "uw", (LOGIN,), "192.0.2.9"), Case("UW", "uw", (LOGIN,))]
    lines = rows(table(cases, {OURS: [{"192.0.2.25"}, {"192.0.2.25"}]}))
    assert {"| UW | 1 | 0 |", "| logins: another address taken | 1 | 1 |", "| no login: taken for one | 1 | 1 |"} <= {*lines}


def test_our_own_samples_are_all_recognised_and_no_near_miss_is() -> None:
    cases = own_cases()
    assert [{case.address} - {""} for case in cases] == recognised(cases)[OURS]


def test_a_row_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"line": "x", "login": true}\n')
    with pytest.raises(ValueError, match=r"some\.jsonl, line 1: KeyError"):
        cases_in(tmp_path)


def test_the_smallest_run_measures_every_program_that_is_there(tmp_path: Path) -> None:
    out, svg = tmp_path / "figures.json", tmp_path / "figures.svg"
    words = ["receive", "lines", "formats", "recognition", "budgets", "--rounds", "1", "--count", "400", "--lines", "2000", "--rate", "max"]
    words += ["--beside", "rsyslogd direct", "--logins", "5", "--json", str(out), "--svg", str(svg)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "benchmarks", *words]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, env=environment)
    if sys.platform != "linux":
        assert run.returncode == 69
        return
    assert run.returncode == 0, run.stderr
    figures = json.loads(out.read_text())
    servers = ["syslogauth", *(["rsyslogd direct"] if has_rsyslogd() else [])]
    assert servers == [row["server"] for row in figures["receive"]]
    for row in figures["receive"]:
        (sample,) = row["samples"]
        assert (sample["sent"], sample["lost"]) == (400, 0)
        assert 0 < sample["cpu_seconds"] < 10
    programs = {lines.REPLAY, lines.STORED, lines.UDP}
    programs |= {lines.PERL_1, lines.PERL_5, lines.PERL_DB} if shutil.which("perl") else set()
    programs |= {name for name, program in ((lines.MTAIL, "mtail"), (lines.FAIL2BAN, "fail2ban-regex")) if shutil.which(program)}
    assert programs == set(figures["lines_cpu_seconds"])
    assert "ratio" in run.stdout
    assert svg.read_text().startswith("<svg ")
    few, many = figures["formats_cpu_seconds"]["noise"][formats.FEED]
    assert 0 < few[0] < 1e-4 > many[0] > 0
    assert OURS in figures["recognition"]
    assert [row["what"] for row in figures["budgets"]]


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize("name", starters([""]))
def test_a_peer_sees_every_login_that_it_can(name: str, tmp_path: Path) -> None:
    with starters([name])[name](tmp_path / "peer", 1 << 20) as peer:
        assert {"sent": 400} == {word: count for word, count in sender.send(peer.port, 400, 0, 0.05).items() if word == "sent"}
        expected = sum(entry.login and (peer.takes_forwarded or not entry.forwarded) for entry in corpus(0.05)[:400])
        wait_until(lambda: peer.logins() == expected, f"{name} to see {expected} logins")
        assert 0 < sum(map(cpu_seconds, peer.pids)) < 10
        assert sum(map(pss_bytes, peer.pids)) > 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_latency_is_that_of_logins_which_the_table_and_sendmail_have_seen(tmp_path: Path) -> None:
    (level,) = latency.measure(1, tmp_path, (10,), 20_000.0, seconds=1.5, shares=(0.1,))
    assert (0, 0, 2000.0) == (level.missed, level.lost, level.rate)
    assert 2 < len(level.table) < 60
    assert 0 < min(level.table) <= max(level.table) < 2
    if shutil.which("sendmail", path=SYSTEM_PATH):
        assert len(level.table) == len(level.map)
        assert all(seen < listed for seen, listed in zip(level.table, level.map, strict=True))
    assert "| 10 | 10%, 2 k/s |" in rows(latency.table([level]))[2]
