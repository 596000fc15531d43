"""`top` and `stats` beside a running daemon, and the picture that `top` draws."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from rich.console import Console

from syslogauth.cli.frame import frame
from syslogauth.cli.top import LOOKED_AT, History, newest
from syslogauth.core.login import Grant
from syslogauth.record import Bounds
from syslogauth.scrape import Figures, scrape
from syslogauth.settings import Endpoint
from syslogauth.table import Table
from tests.appliance import clean_environment
from tests.deadline import wait_until
from tests.running import Site, log_in, send
from tests.terminal import Terminal, lines, pictures

ADDRESSES = [f"198.51.100.{n}" for n in range(1, 21)]
NOISE = "<22>Nov 22 10:09:49 mail1 postfix/smtpd[1]: connect from client.example.org[192.0.2.66]"
EVE = "[bold]eve[/bold]"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("top"))
    site.start()
    try:
        log_in(site.udp, *ADDRESSES, user=EVE)
        send(site.udp, *[NOISE] * 30)
        wait_until(lambda: site.figures()["datagrams_received_total udp"] == 50, "the figures")
        wait_until(lambda: site.figures().get(f"export_entries {site.directory}/popauth") == 20, "the exporter's figures")
        yield site
    finally:
        site.appliance.stop()


def test_stats_are_one_object_of_numbers(running: Site) -> None:
    known = json.loads(running.appliance.ask("stats", "--json").stdout)
    assert ["at", "table", "maps", "daemon"] == [*known]
    daemon = known["daemon"]
    assert (True, None, True, 1) == tuple(daemon[name] for name in ("ready", "reason", "table_writable", "workers"))
    assert (50, 20, 30) == (daemon["datagrams_received"]["udp"], daemon["outcomes"]["grant"], daemon["outcomes"]["not_login"])
    assert [{"server": "dovecot", "service": "imap", "count": 20}] == daemon["logins"]
    assert 20 == known["table"]["entries"] == daemon["exports"][0]["addresses"]
    (peer,) = (peer for peer in daemon["peers"] if peer["last_login_at"])
    assert ("127.0.0.0/8", True) == (peer["peer"], abs(peer["last_message_at"] - time.time()) < 600)
    assert {"exporter", "receiver"} <= {process["process"] for process in daemon["processes"] if process["up"]}
    said = dict(line.rsplit(maxsplit=1) for line in running.appliance.ask("stats").stdout.splitlines())
    assert ("20", "30") == (said["daemon.outcomes.grant"], said["daemon.outcomes.not_login"])


def test_once_tells_rates_and_the_newest_in_one_object(running: Site) -> None:
    done = running.appliance.ask("top", "--once", "--json", "--interval", "0.3")
    known = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert ["at", "table", "maps", "daemon", "rates", "newest"] == [*known]
    rates = known["rates"]
    assert 0.3 <= rates["seconds"] < 5
    assert {"grant", "not_login"} <= rates["outcomes"].keys()
    assert {"exporter", "receiver"} <= rates["processes"].keys()
    assert set(ADDRESSES) == {row["address"] for row in known["newest"]}
    assert {("imap", EVE)} == {(row["service"], row["user"]) for row in known["newest"]}


def test_where_there_is_no_terminal_it_looks_once(running: Site) -> None:
    done = running.appliance.ask("top", "--interval", "0.2")
    assert (0, "") == (done.returncode, done.stderr)
    assert "\x1b" not in done.stdout
    assert ["syslogauth", "datagrams", "table", "map", "processes"] == [line.split()[0] for line in done.stdout.splitlines()[:5]]
    assert 20 == done.stdout.count(EVE)


def watch(site: Site, *words: str, rows: int = 24, columns: int = 80, **environment: str) -> Terminal:
    command = [sys.executable, "-m", "syslogauth", "top", "--config", str(site.appliance.config), "--interval", "0.2", *words]
    return Terminal(command, clean_environment() | environment, rows, columns)


@pytest.mark.parametrize("end", ["q", "^C", "TERM"])
def test_it_looks_again_and_again_until_it_is_told_to_end(running: Site, end: str) -> None:
    with watch(running) as screen:
        wait_until(lambda: len(pictures(screen.read())) > 2, "three pictures")
        assert not screen.as_it_was()
        if end == "TERM":
            os.kill(screen.program.pid, signal.SIGTERM)
        else:
            screen.type(b"q" if end == "q" else b"\x03")
            if end == "^C":  # the terminal is nobody's controlling one here, so that its ^C signals nobody
                os.kill(screen.program.pid, signal.SIGINT)
        assert 0 == screen.ended()
        assert screen.as_it_was()
    assert (1, 1) == (screen.written.count(b"\x1b[?1049h"), screen.written.count(b"\x1b[?1049l"))
    assert screen.written.rindex(b"\x1b[?25h") > screen.written.rindex(b"\x1b[?25l")
    for picture in pictures(screen.written):
        assert len(picture) <= 24
        assert max(map(len, picture)) <= 80
        assert "NEWEST GRANT" in "\n".join(picture)


def test_it_grows_with_the_terminal_at_once(running: Site) -> None:
    with watch(running, "--interval", "60", rows=30, columns=80) as screen:
        wait_until(lambda: b"NEWEST GRANT" in screen.read(), "the first picture")
        screen.size(40, 140)
        os.kill(screen.program.pid, signal.SIGWINCH)
        wait_until(lambda: screen.read().count(b"NEWEST GRANT") > 1, "the second picture")
        screen.type(b"q")
        assert 0 == screen.ended()


def test_a_dumb_terminal_is_told_once(running: Site) -> None:
    with watch(running, TERM="dumb") as screen:
        assert 0 == screen.ended()
    assert b"\x1b" not in screen.written
    assert "NEWEST GRANT" in "\n".join(lines(screen.written))


def test_without_a_daemon_the_table_is_told_and_69(running: Site, tmp_path: Path) -> None:
    text = running.text.replace(f"127.0.0.1:{running.metrics[1]}", "127.0.0.1:1")
    other = tmp_path / "syslogauth.toml"
    other.write_text(text)
    running_config, running.appliance.config = running.appliance.config, other
    try:
        done = running.appliance.ask("top")
        told = json.loads(running.appliance.ask("top", "--json").stdout)
    finally:
        running.appliance.config = running_config
    assert (69, "syslogauth: no daemon answers at http://127.0.0.1:1/metrics; start it: syslogauth run\n") == (done.returncode, done.stderr)
    assert (True, 20) == ("does not answer" in done.stdout, done.stdout.count(EVE))
    assert (None, None, 20) == (told["daemon"], told["rates"], told["table"]["entries"])


@pytest.mark.parametrize("page", [b"hello {", b"\xff\xfe", b"node_build_info 1\n", b""])
def test_a_stranger_at_the_place_is_not_the_daemon(page: bytes) -> None:
    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [page]

    with make_server("127.0.0.1", 0, answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert scrape(Endpoint("127.0.0.1", server.server_port)) is None


# the rates


def scraped(grants: float, noise: float = 0) -> Figures:
    return {
        "outcomes_total": [({"outcome": "grant"}, grants), ({"outcome": "not_login"}, noise)],
        "datagrams_received_total": [({"transport": "udp"}, grants + noise)],
        "process_cpu_seconds_total": [({}, 9.0), ({"process": "receiver"}, grants / 100)],
    }


def test_rates_are_what_grew_in_the_window() -> None:
    history = History()
    for at in range(30):
        history.add(scraped(10 * at, 1000), float(at))
    rates = history.rates()
    assert rates
    assert (10.0, 10.0, 0.0) == (rates["datagrams_per_second"], rates["outcomes"]["grant"], rates["outcomes"]["not_login"])
    assert {"receiver": 0.1} == rates["processes"]
    assert 9 <= rates["seconds"] <= 11


def test_a_daemon_that_was_started_anew_begins_its_rates_anew() -> None:
    history = History()
    for at, figures in ((0.0, scraped(1000)), (1.0, scraped(1100)), (2.0, scraped(5))):
        history.add(figures, at)
    rates = history.rates()
    assert rates
    assert (None, 0.0) == (rates["datagrams_per_second"], rates["seconds"])
    history.add(scraped(25), 4.0)
    assert (10.0, None) == ((history.rates() or {})["datagrams_per_second"], history.add(None, 5.0))
    assert history.rates() is None


# the newest


def test_the_newest_are_found_at_the_end_of_the_log_of_changes(tmp_path: Path) -> None:
    table, now = Table(tmp_path / "table", 10_000, Bounds(1800, 7200)), 1_800_000_000.0
    for n in range(2 * LOOKED_AT):
        table.commit([Grant((167772160 + n).to_bytes(4), now + n + 1800, now + n, "imap", "dovecot", "u", "h", "p")], now + n)
    last = 2 * LOOKED_AT - 1
    table.revoke((167772160 + last).to_bytes(4), now + last)
    table.deny((167772160 + last - 1).to_bytes(4), None, now + last)
    rows = newest(table, now + last, 3)
    assert [now + last - n for n in (2, 3, 4)] == [row["granted_at"] for row in rows]
    assert LOOKED_AT > len(newest(table, now + last, 10_000)) > LOOKED_AT - 10
    table.close()


# the picture


def known(outcomes: int = 12, peers: int = 20, maps: int = 1, users: tuple[str, ...] = ("alice",) * 60) -> dict[str, Any]:
    """What `top` looks at, of a large site."""
    at = 1_800_000_000.0
    names = [f"outcome_{n}" for n in range(outcomes)]
    nets = [f"2001:db8:{n}::/48" for n in range(peers)]
    daemon = {
        "version": "1.0",
        "ready": False,
        "reason": "exporter: the table cannot be read: no space",
        "config_good": False,
        "table_writable": False,
        "datagrams_dropped": 12_345_678,
        "pending_grants": 99_999,
        "stream_connections": {"tls": 1000, "tcp": 7},
        "outcomes": dict.fromkeys(names, 123_456_789) | {"grant": 1},
        "peers": [{"peer": net, "last_message_at": at - 5, "last_login_at": None} for net in nets],
        "exports": [
            {"path": f"/etc/mail/map{n}", "addresses": 10**6, "age_seconds": 99.0, "interval_seconds": 30.0, "failed": 3}
            for n in range(maps)
        ],
        "processes": [{"process": f"receiver{n}", "up": True, "restarts": 2, "peak_resident_bytes": 5 * 10**7} for n in range(4)],
    }
    table = {"entries": 4_999_999, "max_addresses": 5_000_000, "entries_ratio": 1.0, "used_bytes": 7 * 10**9, "map_size_bytes": 77 * 10**8}
    times = {"expires_at": at + 99, "granted_at": at - 1, "seconds_left": 99.0}
    row = {"address": "2001:db8:1234:5678:9abc:def0:1234:5678", "kind": "login", "service": "managesieve", "server": "dovecot", **times}
    return {
        "at": at,
        "table": table | {"used_ratio": 0.9, "denies": 10**6, "sessions": 10**7},
        "maps": [],
        "daemon": daemon,
        "rates": {"datagrams_per_second": 123_456.7, "dropped_per_second": 1.0, "outcomes": dict.fromkeys(names, 9.0), "peers": {}},
        "newest": [row | {"hostname": "mail1.example.org", "user": user} for user in users],
    }


def drawn(looked_at: dict[str, Any], width: int, height: int | None) -> list[str]:
    console = Console(width=width, force_terminal=False, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(frame(looked_at, width, height))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (120, 24), (200, 60)])
@pytest.mark.parametrize("looked_at", [known(), known(outcomes=1, peers=0), known(outcomes=30, peers=200, maps=9), known(users=())])
def test_the_picture_fits_and_uses_the_room(looked_at: dict[str, Any], width: int, height: int) -> None:
    picture = drawn(looked_at, width, height)
    assert len(picture) <= height
    assert max(map(len, picture)) <= width
    assert len(picture) >= min(height - 1, 8 + len(looked_at["newest"]))


def test_the_picture_without_a_daemon_has_the_table_and_the_maps() -> None:
    lone = known() | {"daemon": None, "rates": None}
    lone["maps"] = [{"path": "/etc/mail/popauth.db", "error": "No such file or directory", "written_at": None}]
    text = "\n".join(drawn(lone, 120, None))
    assert "does not answer" in text
    assert "No such file or directory  /etc/mail/popauth.db" in text
    assert 60 == text.count("alice")


def test_no_text_of_a_client_is_markup_or_drives_the_terminal() -> None:
    picture = "\n".join(drawn(known(users=("[red]eve[/]", "mal\x1b[2J\x9b\u202elory", ":smile:", "\\[x]", "\u4e2d" * 99)), 140, None))
    assert "[red]eve[/]" in picture
    assert "mal\\x1b[2J\\x9b\\u202elory" in picture
    assert ":smile:" in picture
    assert "\\[x]" in picture
    assert set() == set("\x1b\x9b\u202e") & set(picture)


def test_a_site_that_stores_no_users_has_none_to_show() -> None:
    assert "-" == drawn(known(users=("",)), 120, None)[-1].split()[-1]
