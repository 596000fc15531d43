"""From datagrams to grants: each outcome reached, who may send what, and own addresses."""

from dataclasses import replace

import pytest

from syslogauth.core import formats, intake
from syslogauth.core.address import Networks, canonical
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.login import OUTCOMES, Login, Refusal
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy, Rule
from syslogauth.settings import users

NOW = 1_700_000_000.0
GRACE = 1800.0
PEER, OTHER, SOCKLOG = "10.0.0.1", "10.0.0.2", "10.9.0.1"
POLICY = Policy(GRACE, frozenset({"imap", "pop3"}), Networks(("127.0.0.0/8",)))
SOURCES = Sources(
    peers=Networks(("10.0.0.0/8", "2001:db8:1::/48", "198.51.100.9")),
    facilities=frozenset({"mail", "local0"}),
    without_priority=Networks(("10.9.0.0/16",)),
)
STAMP = b"<22>Nov 22 10:28:45 "
DOVECOT = b"dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80, TLS, session=<Yw62FttgdcTA>"
UW = b"imapd[86]: Login user=bob host=[192.0.2.25]"
NOISE = b"sendmail[9]: q7: from=<a@example.org>, size=0, relay=[192.0.2.25]"
SUMMARY = b"last message repeated 3 times"


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def new(**changes: object) -> Intake:
    return Intake(replace(SOURCES, **changes), POLICY)  # type: ignore[arg-type]


def outcomes(of: Intake) -> dict[str, int]:
    return {name: count for name, count in of.tally.outcomes.items() if count}


def fed(of: Intake, datagram: bytes, host: str = PEER) -> list[float]:
    """When each grant of one datagram expires, in seconds from now."""
    return [grant.expires_at - NOW for grant in of.feed(Batch.of([(datagram, (host, 40000))]), NOW)]


EACH_OUTCOME = [
    ("grant", STAMP + DOVECOT, PEER),
    (Refusal.UNLISTED_PEER, STAMP + DOVECOT, "203.0.113.1"),
    (Refusal.OVERSIZE, STAMP + NOISE + b"x" * 8192, PEER),
    (Refusal.NO_PRIORITY, b"Nov 22 10:28:45 " + DOVECOT, PEER),
    (Refusal.MALFORMED, b"<999>Nov 22 10:28:45 " + DOVECOT, PEER),
    (Refusal.CONTROL_BYTES, STAMP + b"imapd[1]: Login user=a\nimapd[1]: Login user=b host=x [9.9.9.9] host=[192.0.2.25]", PEER),
    (Refusal.UNLISTED_FACILITY, b"<38>Nov 22 10:28:45 " + DOVECOT, PEER),
    (Refusal.OWN_MESSAGE, b"Nov 22 10:28:45 mail1 syslogauth[7]: " + DOVECOT, SOCKLOG),
    (Refusal.NOT_LOGIN, STAMP + NOISE, PEER),
    (Refusal.REPEATED, STAMP + SUMMARY, PEER),
    (Refusal.AMBIGUOUS, STAMP + DOVECOT.replace(b"<bob>", b"<a, rip=9.9.9.9>"), PEER),
    (Refusal.UNESCAPED_SOURCE, b"mail.info: Nov 22 10:28:45 " + UW, SOCKLOG),
    (Refusal.ANONYMOUS, STAMP + DOVECOT.replace(b"PLAIN", b"ANONYMOUS"), PEER),
    (Refusal.BAD_ADDRESS, STAMP + UW.replace(b"192.0.2.25", b"192.0.2.256"), PEER),
    (Refusal.PROXIED, STAMP + DOVECOT.replace(b"Login:", b"proxy(bob): started proxying to h:143:"), PEER),
    (Refusal.SESSION_END, STAMP + b"qpopper[7]: Stats: bob 0 0 3 2048 c1.example.net 192.0.2.25", PEER),
    (Refusal.SERVICE, STAMP + DOVECOT.replace(b"imap-", b"submission-"), PEER),
    (Refusal.NEVER_NETWORK, STAMP + DOVECOT.replace(b"192.0.2.25", b"127.0.0.1"), PEER),
    (Refusal.OWN_ADDRESS, STAMP + DOVECOT.replace(b"192.0.2.25", b"192.0.2.1"), PEER),
    (Refusal.CONNECTED, STAMP + b"popa3d[7]: Session from 192.0.2.25", PEER),
    (Refusal.UNJOINED, STAMP + b"popa3d[8]: Authentication passed for bob", PEER),
    (Refusal.LOGOUT, STAMP + b"imapd[86]: Logout user=bob host=[192.0.2.25]", PEER),
    (Refusal.RULE, STAMP + DOVECOT.replace(b"<bob>", b"<eve>"), PEER),
    (
        Refusal.UNTRUSTED_PROXY,
        STAMP + b"mailboxd: INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;oip=192.0.2.7;] imap - user bob authenticated, mechanism=LOGIN",
        PEER,
    ),
    (Refusal.CUT, STAMP + b"imapd: LOGIN FAILED, user=" + b"a" * 480, PEER),
]
PORT_514 = (Refusal.SOURCE_PORT, STAMP + DOVECOT, PEER)


def an_intake_for(outcome: str) -> Intake:
    policy = replace(POLICY, proxied=False, rules=(Rule(users=users(["eve"])),), hold_max_seconds=3600.0)
    return Intake(replace(SOURCES, require_source_port_514=outcome == Refusal.SOURCE_PORT), policy)


@pytest.mark.parametrize(("outcome", "datagram", "host"), [*EACH_OUTCOME, PORT_514])
def test_each_outcome_is_reached(outcome: str, datagram: bytes, host: str) -> None:
    one = an_intake_for(outcome)
    grants = one.feed(Batch.of([(datagram, (host, 40000))]), NOW)
    assert {outcome: 1} == outcomes(one)
    assert (outcome == "grant") == bool(grants)
    assert (1, len(datagram)) == (one.tally.received, one.tally.received_bytes)
    if outcome != Refusal.SOURCE_PORT:
        assert outcome == an_intake_for(outcome).judge(datagram, host, NOW).outcome


def test_the_table_above_reaches_every_outcome_there_is() -> None:
    assert set(OUTCOMES) == {outcome for outcome, _, _ in (*EACH_OUTCOME, PORT_514)}


def test_every_datagram_of_a_batch_has_one_outcome() -> None:
    one = an_intake_for("grant")
    one.feed(Batch.of([(datagram, (host, 514)) for _, datagram, host in EACH_OUTCOME]), NOW)
    assert dict.fromkeys((outcome for outcome, _, _ in EACH_OUTCOME), 1) == outcomes(one)
    assert one.tally.received == sum(one.tally.outcomes.values())


def test_a_grant_says_who_where_and_when() -> None:
    one = new()
    [grant] = one.feed(Batch.of([(b"<22>Nov 22 10:28:45 mail1 " + DOVECOT, (PEER, 40000))]), NOW)
    assert ("192.0.2.25", NOW + GRACE, NOW, "imap", "dovecot", "bob", "mail1", "10.0.0.0/8", 1) == (
        *(canonical(grant.address), grant.expires_at, grant.granted_at, grant.service, grant.server),
        *(grant.user, grant.hostname, grant.peer, grant.count),
    )
    assert {("dovecot", "imap"): 1} == one.tally.logins
    assert {"10.0.0.0/8": NOW} == one.tally.last_message == one.tally.last_login


def test_grants_come_in_the_order_of_arrival() -> None:
    addresses = [b"192.0.2.%d" % n for n in (30, 20, 10)]
    grants = new().feed(Batch.of([(STAMP + UW.replace(b"192.0.2.25", address), (PEER, 514)) for address in addresses]), NOW)
    assert addresses == [canonical(grant.address).encode() for grant in grants]


def test_a_refused_login_is_counted_as_a_login() -> None:
    one = new()
    one.feed(Batch.of([(STAMP + DOVECOT.replace(b"192.0.2.25", b"127.0.0.1"), (PEER, 514))]), NOW)
    assert {("dovecot", "imap"): 1} == one.tally.logins


def test_local0_is_as_good_as_mail() -> None:
    """qpopper logs there everywhere but on Linux."""
    assert [GRACE] == fed(new(), b'<133>Nov 22 10:28:45 qpopper[7]: (v4.0.19) POP login by user "bob" at (c1.example.net) 192.0.2.25')


@pytest.mark.parametrize(
    ("host", "outcome"),
    [
        row("a network's", "10.1.2.3", "grant"),
        row("an address's", "198.51.100.9", "grant"),
        row("mapped, as a dual-stack socket gives it", "::ffff:10.1.2.3", "grant"),
        row("IPv6", "2001:db8:1::5", "grant"),
        row("IPv6 with a scope", "2001:db8:1::5%em0", "grant"),
        row("beside the address", "198.51.100.8", Refusal.UNLISTED_PEER),
        row("another network", "2001:db8:2::5", Refusal.UNLISTED_PEER),
        row("mapped, another network", "::ffff:11.1.2.3", Refusal.UNLISTED_PEER),
        row("no address", "localhost", Refusal.UNLISTED_PEER),
        row("a socket without a name", "", Refusal.UNLISTED_PEER),
    ],
)
def test_peers_are_compared_unmapped_and_without_scope(host: str, outcome: str) -> None:
    one = new()
    for expected in (1, 2):  # the second time from memory
        one.feed(Batch.of([(STAMP + DOVECOT, (host, 40000))]), NOW)
        assert {outcome: expected} == outcomes(one)


def test_an_unlisted_sender_leaves_no_trace_but_its_count() -> None:
    one = new()
    one.feed(Batch.of([(STAMP + DOVECOT, ("203.0.113.1", 514))]), NOW)
    assert ({}, {}, {}) == (one.tally.last_message, one.tally.last_login, one.tally.logins)


@pytest.mark.parametrize(("port", "outcome"), [(514, "grant"), (40000, Refusal.SOURCE_PORT), (0, Refusal.SOURCE_PORT)])
def test_port_514_may_be_required(port: int, outcome: str) -> None:
    one = new(require_source_port_514=True)
    one.feed(Batch.of([(STAMP + DOVECOT, (PEER, port))]), NOW)
    assert {outcome: 1} == outcomes(one)


def test_noise_from_another_port_counts_as_that() -> None:
    one = new(require_source_port_514=True)
    one.feed(Batch.of([(STAMP + NOISE, (PEER, 514)), (STAMP + NOISE, (PEER, 40000))]), NOW)
    assert {Refusal.NOT_LOGIN: 1, Refusal.SOURCE_PORT: 1} == outcomes(one)


@pytest.mark.parametrize("prefix", [b"mail.info: ", b"2026-11-22_10:21:51.34839 mail.info: ", b"@400000006b02c25c046a8034 mail.info: "])
def test_only_the_named_sources_may_leave_the_priority_out(prefix: bytes) -> None:
    datagram = prefix + b"Nov 22 10:28:45 " + DOVECOT + b"\n"
    assert [GRACE] == fed(new(), datagram, SOCKLOG)
    assert [] == fed(new(), datagram)
    assert [GRACE] == fed(new(), STAMP + DOVECOT, SOCKLOG)


@pytest.mark.parametrize(("escaped", "outcome"), [(True, "grant"), (False, Refusal.UNESCAPED_SOURCE)])
def test_a_line_of_a_file_needs_no_peer_and_no_priority(escaped: bool, outcome: str) -> None:
    assert outcome == new().lines.judge(b"Nov 22 10:28:45 mail1 " + UW, lambda stamp: NOW, escaped=escaped).outcome


def test_judging_counts_nothing() -> None:
    one = new()
    verdict = one.judge(STAMP + DOVECOT, PEER, NOW)
    assert verdict.outcome == "grant"
    assert isinstance(verdict.login, Login)
    assert ({}, 0) == (outcomes(one), one.tally.received)


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        row("a peer of one address, before it sent anything", b"198.51.100.9", Refusal.OWN_ADDRESS),
        row("the peer that sends", PEER.encode(), Refusal.OWN_ADDRESS),
        row("the peer that sends, mapped", b"::ffff:" + PEER.encode(), Refusal.OWN_ADDRESS),
        row("a peer seen before", OTHER.encode(), Refusal.OWN_ADDRESS),
        row("an address of the peers' network that never sent", b"10.0.0.3", "grant"),
    ],
)
def test_a_login_from_a_sending_peer_is_a_webmail_s(address: bytes, outcome: str) -> None:
    one = new()
    fed(one, STAMP + NOISE, OTHER)
    assert outcome == one.judge(STAMP + DOVECOT.replace(b"192.0.2.25", address), PEER, NOW).outcome


def test_forged_sources_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "REMEMBERED_PEERS", 8)
    one = new()
    for host in (*(f"10.{n // 250}.1.{n % 250}" for n in range(1000)), *(f"203.0.113.{n}" for n in range(200))):
        one.feed(Batch.of([(STAMP + NOISE, (host, 514))]), NOW)
    assert len(one._peers) <= 8
    assert len(one.own_addresses) <= 9
    assert {"not_login": 1000, "unlisted_peer": 200} == outcomes(one)


WIDE_OPEN = Policy(
    GRACE, frozenset({"imap", "pop3", "submission", "managesieve"}), qpopper_stats=True, trusted_proxies=Networks(("0.0.0.0/0", "::/0"))
)


def test_every_sample_is_granted_through_the_whole_path() -> None:
    """With the policy wide open: what a format promises, the gate lets through."""
    one = Intake(SOURCES, WIDE_OPEN)
    samples = [sample for form in formats.FORMATS for sample in form.samples if not sample.own_log]
    grants = one.feed(Batch.of([(STAMP + f"{sample.app_name}: {sample.text}".encode(), (PEER, 514)) for sample in samples]), NOW)
    assert [sample.address for sample in samples] == [canonical(grant.address) for grant in grants]


def test_every_sequence_is_granted_through_the_whole_path() -> None:
    one = Intake(SOURCES, WIDE_OPEN)
    sequences = [sequence for form in formats.FORMATS for sequence in form.sequences]
    assert sequences
    lines = [f"{sequence.app_name}[{pid}]: {text}".encode() for pid, sequence in enumerate(sequences) for text in sequence.texts]
    grants = one.feed(Batch.of([(STAMP + line, (PEER, 514)) for line in lines]), NOW)
    assert [(sequence.address, sequence.user) for sequence in sequences] == [(canonical(grant.address), grant.user) for grant in grants]


def test_the_lines_of_all_sequences_may_come_between_one_another() -> None:
    one = Intake(SOURCES, WIDE_OPEN)
    sequences = [sequence for form in formats.FORMATS for sequence in form.sequences]
    longest = max(len(sequence.texts) for sequence in sequences)
    lines = [
        f"{sequence.app_name}[{pid}]: {sequence.texts[turn]}".encode()
        for turn in range(longest)
        for pid, sequence in enumerate(sequences)
        if turn < len(sequence.texts)
    ]
    grants = one.feed(Batch.of([(STAMP + line, (PEER, 514)) for line in lines]), NOW)
    assert sorted(sequence.address for sequence in sequences) == sorted(canonical(grant.address) for grant in grants)


def test_a_tag_of_a_server_s_own_log_is_believed_in_a_file_and_not_from_the_network() -> None:
    line = b"Nov 22 10:28:45 imap-login: Info: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80"
    outcome_of_file, outcome_of_datagram = new().lines.judge(line, lambda stamp: NOW, escaped=True), new().judge(line, SOCKLOG, NOW)
    assert ("grant", Refusal.NOT_LOGIN) == (outcome_of_file.outcome, outcome_of_datagram.outcome)
