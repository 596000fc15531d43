"""A login that the real dovecot logs, and a real syslog daemon sends on, makes the real sendmail relay for its client; for a while."""

import time
from collections.abc import Iterator

import pytest

from tests import live_map
from tests.deadline import wait_until
from tests.e2e import dovecot, sendmail, syslogds
from tests.e2e.rig import CLIENTS4, CLIENTS6, Rig, rig, server_for
from tests.e2e.sink import Sink, sink

GRACE_SECONDS = 4
SLACK_SECONDS = 2.0  # from the end of a grant to a map without it

DENIED = "550 5.7.1 <somebody@elsewhere.example>... Relaying denied"
LOGINS = {
    "POP3, USER and PASS, IPv4": (CLIENTS4[0], "192.0.2.25", dovecot.pop3_user_pass),
    "POP3, APOP, IPv6": (CLIENTS6[0], "ipv6:2001:db8:0:0:0:0:0:10", dovecot.pop3_apop),
    "IMAP, LOGIN, IPv6": (CLIENTS6[1], "ipv6:2001:db8:0:0:0:0:0:11", dovecot.imap_login),
    "IMAP, CRAM-MD5, IPv4": (CLIENTS4[1], "192.0.2.26", dovecot.imap_cram_md5),
}
STRANGER = CLIENTS4[2]


@pytest.fixture(scope="module")
def delivery() -> Iterator[tuple[Rig, Sink]]:
    with rig("rsyslogd", GRACE_SECONDS) as mail, sink(mail.host) as taken:
        sendmail.start(mail.host, mail.map_path, taken.address)
        yield mail, taken


def send(mail: Rig, client: str, text: str) -> str:
    """What sendmail answers to a message from the client."""
    with sendmail.Session(mail.host, client, server_for(client)) as session:
        return session.send(text)


def keys(mail: Rig) -> frozenset[str]:
    """The keys of the map. To look here makes no traffic; to ask sendmail would, since it logs what it refuses."""
    return live_map.keys(mail.map_path.with_suffix(".db"))


@pytest.mark.parametrize(("client", "key", "method"), LOGINS.values(), ids=LOGINS)
def test_a_client_may_relay_from_its_login_until_the_grace_is_over(
    delivery: tuple[Rig, Sink], client: str, key: str, method: dovecot.Method
) -> None:
    mail, taken = delivery

    assert send(mail, client, f"too early from {client}").startswith(DENIED)

    began = time.monotonic()
    assert dovecot.log_in(mail.host, client, server_for(client), method)
    wait_until(lambda: key in keys(mail), f"{key} in the map")
    assert send(mail, client, f"in time from {client}").startswith("250 ")
    assert send(mail, STRANGER, "from a stranger").startswith(DENIED)
    wait_until(lambda: taken.holds(f"in time from {client}"), "the message to arrive")

    wait_until(lambda: key not in keys(mail), f"{key} to leave the map by itself", GRACE_SECONDS + SLACK_SECONDS)
    assert time.monotonic() - began >= GRACE_SECONDS
    assert send(mail, client, f"too late from {client}").startswith(DENIED)
    assert not any(taken.holds(refused) for refused in ("too early", "too late", "stranger"))


def test_a_failed_login_opens_nothing(delivery: tuple[Rig, Sink]) -> None:
    mail, _ = delivery
    for _client, _key, method in LOGINS.values():
        assert not dovecot.log_in(mail.host, STRANGER, server_for(STRANGER), method, "a wrong password")
    # Lines keep their order, so what comes after the failures shows that they have been dealt with.
    client, key, method = LOGINS["POP3, APOP, IPv6"]
    assert dovecot.log_in(mail.host, client, server_for(client), method)
    wait_until(lambda: key in keys(mail), f"{key} in the map")

    assert keys(mail) == {key}
    assert send(mail, STRANGER, "after failed logins").startswith(DENIED)


@pytest.mark.parametrize("syslogd", syslogds.SYSLOGDS)
def test_a_login_arrives_through_each_syslog_daemon(syslogd: str) -> None:
    with rig(syslogd, grace_seconds=1800) as mail:
        for client, _key, method in LOGINS.values():
            assert not mail.appliance.allows(client)
            assert dovecot.log_in(mail.host, client, server_for(client), method)
            wait_until(lambda: mail.appliance.allows(client), f"the grant of {client}")  # noqa: B023
        assert not mail.appliance.allows(STRANGER)
