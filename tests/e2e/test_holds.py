"""hold_while_connected on the whole chain: a real mail server's lines, sent on by the real rsyslogd, to the map.

Everything is about time, and every server is given the same course of events at the same time as the others: see course(). The tests are
about what was seen of it.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pytest

from tests import live_map
from tests.deadline import wait_until
from tests.e2e import courier, cyrus, dovecot
from tests.e2e.dovecot import Dialogue
from tests.e2e.logins import PASSWORD, USER, Service, imap_login, pop3_user_pass, sent
from tests.e2e.netns import Netns
from tests.e2e.rig import CLIENTS4, CLIENTS6, Rig, rig, server_for

GRACE_SECONDS = 2
HOLD_MAX_SECONDS = 3
SLACK_SECONDS = 10.0  # from the end of a grant to a map without it: a second or two, where four mail hosts do not share a processor
BY_HAND = "203.0.113.1"

HOLD = "hold_while_connected = true"
IMAP, POP3 = Service("imap", 143, (imap_login,)), Service("pop3", 110, (pop3_user_pass,))
SERVERS: Mapping[str, Callable[[Netns], None]] = {
    "dovecot": dovecot.start,
    "courier": partial(courier.start, users=[USER]),
    "cyrus": partial(cyrus.start, users=[USER]),
}
ON_IMAP, BREAKS_OFF, TWICE, ON_POP3, REVOKED = *CLIENTS4, *CLIENTS6
EVERYBODY = frozenset((ON_IMAP, BREAKS_OFF, TWICE, ON_POP3, REVOKED))
LOGGED_OUT = EVERYBODY - {REVOKED}


class Client:
    """Somebody who has logged in, and stays."""

    def __init__(self, mail: Rig, address: str, service: Service = IMAP) -> None:
        self.service = service
        self.connection = mail.host.connect(address, (server_for(address), service.port))
        self.server = Dialogue(self.connection)
        assert service.methods[0](self.server, USER, PASSWORD)

    def log_out(self) -> None:
        assert self.server.ask("a LOGOUT" if self.service is IMAP else "QUIT").startswith(("* BYE", "+OK"))
        self.break_off()

    def break_off(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def may_relay(mail: Rig) -> frozenset[str]:
    """The clients in the map, and whoever else is there."""
    names = {f"ipv6:{address.replace('::', ':0:0:0:0:0:')}": address for address in CLIENTS6}
    return frozenset(names.get(key, key) for key in live_map.keys(mail.map_path.with_suffix(".db")))


def let_the_grace_pass(mail: Rig) -> None:
    """The time of a grant by hand, which is longer and begins later than the grace of those who have logged in."""
    assert 0 == mail.appliance.ask("grant", BY_HAND, "--seconds", str(2 * GRACE_SECONDS)).returncode
    wait_until(lambda: BY_HAND in may_relay(mail), f"{BY_HAND} in the map")
    wait_until(lambda: BY_HAND not in may_relay(mail), f"{BY_HAND} to leave the map")


def stop(mail: Rig) -> None:
    """As a restart by the service file stops it."""
    assert mail.appliance.running
    os.kill(mail.appliance.parent(), signal.SIGUSR1)
    assert 0 == mail.appliance.running.wait(15)


def start(mail: Rig) -> None:
    mail.appliance.start()
    mail.appliance.wait_ready()


def leaving(mail: Rig, addresses: frozenset[str], since: float) -> tuple[dict[str, float], frozenset[str]]:
    """Wait until all of them have left the map: after how many seconds each, and who was seen there meanwhile or remained."""
    left: dict[str, float] = {}
    met: set[str] = set()

    def all_have_left() -> bool:
        there, now = may_relay(mail), time.monotonic()
        met.update(there)
        left.update(dict.fromkeys(addresses - there - left.keys(), now - since))
        return len(left) == len(addresses)

    wait_until(all_have_left, f"{sorted(addresses)} to leave the map", HOLD_MAX_SECONDS + GRACE_SECONDS + SLACK_SECONDS)
    return left, frozenset(met)


# what every server is put through


@dataclass(frozen=True, slots=True)
class Course:
    """Who was in the map, and how many seconds after the ends of the sessions each left it."""

    beyond_the_grace: frozenset[str]
    after_the_restart: frozenset[str]
    left_after: Mapping[str, float]
    met_meanwhile: frozenset[str]


def course(start_server: Callable[[Netns], None]) -> Course:
    """Six log in and the receiver is killed; the grace passes; one of two sessions ends, one address is revoked, the daemon is restarted;
    the grace passes again; all log out."""
    with rig("rsyslogd", GRACE_SECONDS, start_server, policy=HOLD) as mail:
        staying = [Client(mail, ON_IMAP), Client(mail, ON_POP3, POP3), Client(mail, TWICE)]
        breaks_off, first_of_two, revoked = Client(mail, BREAKS_OFF, POP3), Client(mail, TWICE), Client(mail, REVOKED)
        wait_until(lambda: may_relay(mail) == EVERYBODY, "all of them in the map")
        os.kill(mail.appliance.child("receiver"), signal.SIGKILL)
        let_the_grace_pass(mail)
        beyond_the_grace = may_relay(mail)

        wait_until(lambda: mail.appliance.figures()["open_sessions"] == 6, "six sessions to be counted")
        first_of_two.log_out()
        wait_until(lambda: mail.appliance.figures()["open_sessions"] == 5, "the end of the first session of two to be seen")
        assert 0 == mail.appliance.ask("revoke", REVOKED).returncode
        stop(mail)
        assert may_relay(mail) == LOGGED_OUT
        start(mail)
        let_the_grace_pass(mail)
        after_the_restart = may_relay(mail)

        revoked.log_out()
        ended = time.monotonic()
        breaks_off.break_off()
        for client in staying:
            client.log_out()
        left_after, met_meanwhile = leaving(mail, LOGGED_OUT, ended)
        wait_until(lambda: mail.appliance.figures()["outcomes_total logout"] == 5, "every logout since the restart to be counted")
        return Course(beyond_the_grace, after_the_restart, left_after, met_meanwhile)


@pytest.fixture(scope="module", autouse=True)  # they run beside the tests that have a rig of their own
def courses() -> Iterator[Mapping[str, Future[Course]]]:
    with ThreadPoolExecutor(len(SERVERS)) as threads:
        yield {name: threads.submit(course, start_server) for name, start_server in SERVERS.items()}


@pytest.fixture(params=SERVERS)
def seen(request: pytest.FixtureRequest, courses: Mapping[str, Future[Course]]) -> Course:
    return courses[request.param].result()


def test_a_lost_logout_holds_no_longer_than_hold_max_seconds_and_the_grace() -> None:
    with rig("rsyslogd", GRACE_SECONDS, policy=f"{HOLD}\nhold_max_seconds = {HOLD_MAX_SECONDS}") as mail:
        began = time.monotonic()
        client = Client(mail, ON_IMAP)
        wait_until(lambda: may_relay(mail) == {ON_IMAP}, "the client in the map")
        stop(mail)
        client.log_out()
        wait_until(lambda: any("Logged out" in line for line in sent(mail)), "the line about the logout to be sent to nobody")
        start(mail)
        assert leaving(mail, frozenset((ON_IMAP,)), began)[0][ON_IMAP] >= HOLD_MAX_SECONDS + GRACE_SECONDS
        assert time.monotonic() - began <= HOLD_MAX_SECONDS + GRACE_SECONDS + SLACK_SECONDS


def test_without_hold_while_connected_the_same_session_holds_nothing() -> None:
    with rig("rsyslogd", GRACE_SECONDS, policy=HOLD) as mail:
        client = Client(mail, ON_IMAP)
        wait_until(lambda: may_relay(mail) == {ON_IMAP}, "the client in the map")
        let_the_grace_pass(mail)
        assert may_relay(mail) == {ON_IMAP}
        mail.appliance.adopt(mail.appliance.config.read_text().replace(HOLD, "hold_while_connected = false"))
        wait_until(lambda: may_relay(mail) == frozenset(), "the client to leave the map, the grace of his login being over")
        assert client.server.ask("b NOOP").startswith("b OK")
        client.log_out()


# what came of it, each server


def test_whoever_stays_connected_may_relay_beyond_the_grace_and_the_death_of_the_receiver(seen: Course) -> None:
    assert EVERYBODY == seen.beyond_the_grace


def test_a_restart_and_the_end_of_one_session_of_two_end_nothing_and_a_revocation_does(seen: Course) -> None:
    assert LOGGED_OUT == seen.after_the_restart


def test_the_grace_runs_from_the_last_logout(seen: Course) -> None:
    assert LOGGED_OUT == seen.left_after.keys()
    assert all(GRACE_SECONDS <= seconds <= GRACE_SECONDS + SLACK_SECONDS for seconds in seen.left_after.values()), seen.left_after


def test_the_logout_of_who_was_revoked_does_not_bring_him_back(seen: Course) -> None:
    assert REVOKED not in seen.met_meanwhile
