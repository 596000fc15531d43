"""`syslogauth doctor` on a mail host where everything is real: the appliance, rsyslogd, sendmail; all well, and then one thing wrong."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deadline import wait_until
from tests.e2e import syslogds
from tests.e2e.rig import Rig, rig
from tests.e2e.sendmail import build_cf
from tests.needs import need
from tests.processes import children, command_line
from tests.running import Site

CLIENT = "198.51.100.7"
UNKEPT = "clock"  # of the machine that tests
Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def host() -> Iterator[Rig]:
    """With /etc/mail/sendmail.cf in the host's own mounts, and one address that may relay."""
    need("root")
    for tool in ("sendmail", "logger"):
        need(tool)
    with rig("rsyslogd", 1800, start_servers=lambda _: None, addresses={"192.0.2.1": "mail1.example.org"}) as made:
        state = made.host.directory / "state"
        mail = made.host.directory / "etc-mail"
        mail.mkdir()
        shutil.copy(build_cf(made.host.directory / "sendmail", made.map_path), mail / "sendmail.cf")
        subprocess.run(made.host.command("mount", "--bind", mail, "/etc/mail"), check=True)
        assert 0 == made.appliance.ask("grant", CLIENT).returncode
        assert state.stat().st_uid == 0
        yield made


def told(made: Rig, *words: str, code: int) -> Told:
    done = made.appliance.ask("doctor", "--json", *words)
    assert (code, "") == (done.returncode, done.stderr), done.stdout
    found: Told = json.loads(done.stdout)
    return found


def of(found: Told, subject: str) -> list[str]:
    return [finding["level"] for finding in found if finding["subject"].startswith(subject)]


@contextmanager
def halted(pid: int, *above: int) -> Iterator[None]:
    """A process that does nothing for a while; an nsenter `above` it stops with it, and does not go on by itself."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for stopped in (pid, *above):
            os.kill(stopped, signal.SIGCONT)


def test_where_all_is_well_each_check_says_so(host: Rig) -> None:
    wait_until(lambda: Site.read(host.map_path.with_name("popauth.db")) == {CLIENT}, "the map to be written")
    found = told(host, "--send", code=0)
    assert [] == [finding for finding in found if finding["level"] != "OK" and finding["subject"] not in (UNKEPT, "state directory")]
    assert {
        *("configuration", "metrics", "state directory", "daemon", "sockets", "receive buffer", "drops", "syslogd", "repeated messages"),
        *("round trip", "logger", "table", "map and table", "sendmail.cf", "sendmail -bt", "clock"),
    } <= {finding["subject"] for finding in found}
    assert f"Kpopauth: {CLIENT} may relay, 192.0.2.254 may not" in [finding["text"] for finding in found]


def test_a_line_is_said_of_each_and_what_mends_it_below(host: Rig) -> None:
    done = host.appliance.ask("doctor")
    assert (0, "") == (done.returncode, done.stderr)
    assert re.search(r"^OK   daemon: runs and is ready: exporter, receiver$", done.stdout, re.MULTILINE)
    state = host.host.directory / "state"
    said, mend = f"{state} is root's, so that the daemon runs as root", f"chown -R syslogauth:0 {state}"
    assert f"WARN state directory: {said}\n       mend: {mend}\n" in done.stdout


def test_our_own_lines_give_nothing_to_anybody(host: Rig) -> None:
    before = host.appliance.figures()
    told(host, "--send", code=0)
    after = host.appliance.figures()
    assert 2 == after["outcomes_total own_message"] - before["outcomes_total own_message"]
    assert before["outcomes_total grant"] == after["outcomes_total grant"]
    assert [CLIENT] == [entry["address"] for entry in host.appliance.listed()]


def test_a_receiver_that_does_not_read_is_told(host: Rig) -> None:
    with halted(receiver(host)):
        found = told(host, code=1)
    assert ["FAIL"] == of(found, "round trip")


def receiver(host: Rig) -> int:
    """The process of the appliance's receiver, as we see it."""
    (pid,) = [pid for pid in children(host.appliance.parent()) if "receiver" in command_line(pid)]
    return pid


def test_a_syslogd_that_does_not_send_on_is_told(host: Rig) -> None:
    (nsenter,) = [process.pid for process in host.host.started if "rsyslogd" in str(process.args)]
    (rsyslogd,) = children(nsenter)
    with halted(rsyslogd, nsenter):
        found = told(host, "--send", code=1)
    assert (["OK"], ["FAIL"]) == (of(found, "round trip"), of(found, "logger"))


FORWARDING = "mail,daemon,local0.info @127.0.0.1:514"


@pytest.mark.parametrize(
    ("line", "levels", "said"),
    [
        ("", ["FAIL"], "rsyslogd has no line that sends to us"),
        ("mail.info @127.0.0.1:515", ["FAIL"], "sends to 127.0.0.1:515 over udp, where we do not listen"),
        ("mail.* stop\n" + FORWARDING, ["FAIL", "WARN"], "is stopped before it"),
        ("$RepeatedMsgReduction on\n" + FORWARDING, ["OK"], "sums them up"),
    ],
)
def test_the_running_syslogds_forwarding_line_is_judged(host: Rig, line: str, levels: list[str], said: str) -> None:
    """In the file that it was told on its command line; it goes on with what it has read at its start."""
    file = host.host.directory / "syslogd" / "rsyslog.conf"
    text = file.read_text()
    assert FORWARDING in text
    file.write_text(text.replace(FORWARDING, line))
    try:
        found = told(host, code=int("FAIL" in levels))
    finally:
        file.write_text(text)
    assert levels == of(found, "syslogd")
    assert any(said in finding["text"] for finding in found)


def test_a_sendmail_cf_without_our_map_is_told(host: Rig) -> None:
    file = host.host.directory / "etc-mail" / "sendmail.cf"
    text = file.read_text()
    file.write_text(text.replace(f"Kpopauth hash -a<OK> {host.map_path}", "Kpopauth hash -a<OK> /etc/mail/popauth"))
    try:
        assert ["FAIL"] == of(told(host, code=1), "sendmail.cf")
        file.unlink()
        assert ["FAIL"] == of(told(host, code=1), "sendmail.cf")
    finally:
        file.write_text(text)


def test_a_map_that_sendmail_may_not_read_is_told_and_the_command_mends_it(host: Rig) -> None:
    path = host.map_path.with_name("popauth.db")
    os.chown(path, 0, 65534)
    path.chmod(0o666)
    found = told(host, code=1)
    assert ["FAIL", "OK"] == of(found, f"map {path}")
    for finding in found:
        if finding["subject"] == f"map {path}" and finding["mend"]:
            subprocess.run(["sh", "-c", finding["mend"]], check=True)
    assert ["OK", "OK"] == of(told(host, code=0), f"map {path}")


def test_a_directory_that_is_open_to_others_is_a_fault_of_the_configuration_and_of_the_map(host: Rig) -> None:
    """check-config refuses it; all the rest is looked at all the same."""
    folder = host.host.directory
    folder.chmod(0o775)
    found = told(host, code=1)
    assert (["FAIL"], ["FAIL"], ["FAIL"]) == (of(found, "configuration"), of(found, "map /")[:1], of(found, "sendmail -bt"))
    (mend,) = [finding["mend"] for finding in found if finding["subject"] == "configuration"]
    subprocess.run(["sh", "-c", mend], check=True)
    assert 0o755 == folder.stat().st_mode & 0o777
    assert ["OK"] == of(told(host, code=0), "configuration")


def test_the_clock_and_the_summaries_of_a_peer_are_told(host: Rig) -> None:
    """A peer whose stamps are an hour behind, and that says how often it has left a line out."""
    stamp = time.strftime("%b %d %H:%M:%S", time.localtime(time.time() - 3600)).replace(" 0", "  ")
    lines = (f"<22>{stamp} mail2 dovecot: imap-login: Disconnected: Logged out", f"<22>{stamp} mail2 last message repeated 3 times")

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for line in lines * 3:
                peer.sendto(line.encode(), syslogds.LISTENER)

    host.host.inside(send)
    wait_until(lambda: host.appliance.figures().get("peer_repeated_total 127.0.0.0/8", 0) >= 3, "the summaries to be counted")
    found = told(host, code=0)
    assert (["WARN"], ["WARN"]) == (of(found, "clock of peer 127.0.0.0/8"), of(found, "repeated messages")[:1])


def test_another_user_is_not_told_that_what_he_cannot_see_is_right(host: Rig) -> None:
    setpriv = need("setpriv")
    command = host.appliance.command("doctor", "--json")
    at = len(host.host.command())
    as_nobody = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run([*command[:at], *as_nobody, *command[at:]], capture_output=True, text=True, check=False)
    found: Told = json.loads(done.stdout)
    for subject in ("table", "map and table", "sendmail -bt"):
        assert "OK" not in of(found, subject), found


# without a daemon, and with one that has lost something


def ask(site: Site, code: int) -> Told:
    done = site.appliance.ask("doctor", "--json")
    assert (code, "") == (done.returncode, done.stderr), done.stdout
    found: Told = json.loads(done.stdout)
    return found


def test_while_the_daemon_is_down_it_is_said_and_the_rest_is_looked_at(site: Site) -> None:
    """The kernel then grants a byte less than the most that can be asked for."""
    site.configure(site.text.replace("[policy]", "receive_buffer_bytes = 1073741824\n[policy]"))
    found = ask(site, 1)
    assert ["FAIL"] == of(found, "daemon")
    assert (["WARN"], ["WARN"]) == (of(found, "round trip"), of(found, "peers"))
    assert ["OK"] == of(found, "configuration")
    site.start()
    site.holds()
    found = ask_any(site)
    assert (["OK"], ["OK"], ["OK"]) == (of(found, "daemon"), of(found, "map and table"), of(found, "drops"))
    assert ["WARN"] == of(found, "receive buffer")


def ask_any(site: Site) -> Told:
    found: Told = json.loads(site.appliance.ask("doctor", "--json").stdout)
    return found


def test_lost_datagrams_are_told(site: Site) -> None:
    """The smallest buffer overflows while nobody reads."""
    site.configure(site.text.replace("[policy]", "receive_buffer_bytes = 4096\n[policy]"))
    site.start()
    with halted(site.child("receiver")), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(200):
            sender.sendto(b"<22>Nov 22 10:00:00 mail1 postfix/smtpd[1]: connect from unknown[192.0.2.9]", site.udp)
    wait_until(lambda: site.figures().get("datagrams_dropped_total kernel", 0) > 0, "the drops to be counted")
    found = ask_any(site)
    assert (["WARN"], ["OK"]) == (of(found, "drops"), of(found, "receive buffer"))


@pytest.mark.parametrize(("text", "code"), [("state_directory = ", 78), ("[listen]\nudp = 5\n", 78)])
def test_a_configuration_that_cannot_be_read_ends_with_78(text: str, code: int, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure(text)
    found = ask(site, code)
    assert {("configuration", "FAIL")} == {(finding["subject"], finding["level"]) for finding in found}
