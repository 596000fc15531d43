"""The benchmarks' corpus, their arithmetic, and the smallest run of the whole."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import formats, lines, receive
from benchmarks.__main__ import UDP_PATH
from benchmarks.corpus import SIZE, corpus, counted, repeated
from benchmarks.figures import Sample, Spread, markdown, ratio_to_better, spread
from benchmarks.recognition import ALL, ONE, OURS, Case, cases_in, own_cases, recognised, table
from benchmarks.servers import has_rsyslogd
from syslogauth.core.address import Networks
from syslogauth.core.intake import Intake, Sources
from syslogauth.core.policy import Policy
from tests.appliance import REPOSITORY

PEER = ("127.0.0.1", 514)


def rows(table: str) -> list[str]:
    """The lines of a table without the blanks that align it."""
    return [re.sub(" +", " ", line) for line in table.splitlines()]


def intake() -> Intake:
    return Intake(Sources(Networks(("127.0.0.0/8",)), frozenset({"mail"})), Policy(1800.0, frozenset({"imap", "pop3"})))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_every_login_of_the_corpus_grants_an_address_of_its_own_and_nothing_else_does(share: float) -> None:
    entries, reader = corpus(share, 3000), intake()
    assert [entry.login for entry in entries] == [bool(reader.feed([(entry.datagram(), PEER)], 1e9)) for entry in entries]
    grants = intake().feed([(entry.datagram(), PEER) for entry in entries], 1e9)
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
    assert list(repeated([b"a", b"b"], 5)) == [b"a", b"b", b"a", b"b", b"a"]


def test_cost_is_for_each_datagram_that_was_received() -> None:
    sample = Sample(sent=1000, lost=200, cpu_seconds=0.0008, seconds=1.0)
    assert sample.nanoseconds == pytest.approx(1000.0)
    assert sample.loss == pytest.approx(0.2)


def test_ratios_are_taken_round_by_round_against_the_better_of_the_others() -> None:
    assert Spread(0.5, 0.25, 1.0) == ratio_to_better([2.0, 1.0, 1.0], [2.0, 2.0, 4.0], [9.0, 9.0, 1.0])
    assert Spread(2, 1, 4) == spread([4, 1, 2])
    assert spread([4, 1, 2]).text() == "2 [1-4]"


def test_the_receive_table_shows_costs_losses_and_ratios() -> None:
    def rounds(*nanoseconds: float) -> list[Sample]:
        return [Sample(1000, 0, value * 1000 / 1e9, 1.0) for value in nanoseconds]

    flat, paced = receive.Cell(0, 0.05), receive.Cell(20000, 0.0)
    samples = {
        flat: {
            "syslogauth": rounds(1500, 1000, 2000),
            "rsyslogd queued": rounds(1000, 1000, 1000),
            "rsyslogd direct": rounds(2000, 3000, 2500),
        },
        paced: {"syslogauth": rounds(500), "rsyslogd queued": rounds(2000), "rsyslogd direct": rounds(1000)},
    }
    table = rows(receive.table(samples, {}))
    assert table[2] == "| flat out | 5% | 1500 [1000-2000] | 0.0% | 1000 [1000-1000] | 0.0% | 2500 [2000-3000] | 0.0% | 1.50 [1.00-2.00] |"
    assert table[3] == "| 20 k/s | 0% | 500 [500-500] | 0.0% | 2000 [2000-2000] | 0.0% | 1000 [1000-1000] | 0.0% | 0.50 [0.50-0.50] |"


def test_the_lines_table_shows_lines_a_cpu_second_as_a_multiple_of_each_loop() -> None:
    table = rows(lines.table({lines.REPLAY: [4e-6], lines.PERL_1: [1e-6], lines.PERL_5: [2e-6]}))
    assert f"| {lines.REPLAY} | 4000 [4000-4000] | 0.25 [0.25-0.25] | 0.50 [0.50-0.50] |" == table[2]
    assert f"| {lines.PERL_5} | 2000 [2000-2000] | 0.50 [0.50-0.50] | 1 |" == table[4]


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
    out = tmp_path / "figures.json"
    words = ["--rounds", "1", "--count", "400", "--rate", "max", "--logins", "5", "--json", str(out)]
    run = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    if sys.platform != "linux":
        assert run.returncode == 69
        return
    assert run.returncode == 0, run.stderr
    figures = json.loads(out.read_text())
    servers = ["syslogauth", *(["rsyslogd queued", "rsyslogd direct"] if has_rsyslogd() else [])]
    assert servers == [row["server"] for row in figures["receive"]]
    for row in figures["receive"]:
        (sample,) = row["samples"]
        assert (sample["sent"], sample["lost"]) == (400, 0)
        assert 0 < sample["cpu_seconds"] < 10
    programs = {lines.REPLAY, UDP_PATH, *((lines.PERL_1, lines.PERL_5) if shutil.which("perl") else ())}
    assert programs == set(figures["lines_cpu_seconds"])
    assert "ratio" in run.stdout
    few, many = figures["formats_cpu_seconds"]["noise"][formats.FEED]
    assert 0 < few[0] < 1e-4 > many[0] > 0
    assert OURS in figures["recognition"]
