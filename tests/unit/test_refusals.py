"""Which refusals are summed up for the log, and that no text of a client can pass for anything else there."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.core.refusals import MOST_PEERS, MOST_TEXT_BYTES, OTHERS, TOLD, UNRECOGNISED, Refusals, escaped, example_of, told
from syslogauth.logs import WORD, configure
from syslogauth.tidings import REFUSED

NOW = 1_795_429_725.0
PEER, SOCKLOG, PORT = "10.0.0.1", "10.9.0.1", 514
FARM = "10.0.0.0/8"
STAMP = b"<22>Nov 23 10:28:45 mail1 "
LOGIN = b"dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80"
ZIMBRA = (
    STAMP + b"mailboxd: INFO  [ImapServer-138] [name=bob;ip=198.51.100.3;oip=192.0.2.25;via=198.51.100.3(nginx/1.2.0);] "
    b"imap - user bob authenticated, mechanism=LOGIN"
)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """configure() is for all loggers of the process, those of other tests too."""
    yield
    structlog.reset_defaults()


def new(*, require_port: bool = False) -> Intake:
    sources = Sources(Networks((FARM,)), frozenset({"mail"}), Networks((SOCKLOG,)), require_port)
    return Intake(sources, Policy(1800.0, frozenset({"imap", "pop3"}), Networks(("192.0.2.99",))))


def refused(one: Intake, *datagrams: bytes, host: str = PEER, port: int = PORT) -> list[tuple[str, str, int]]:
    one.feed(Batch.of([(datagram, (host, port)) for datagram in datagrams]), NOW)
    return [(reason, peer, count) for reason, peer, count, _ in one.tally.refusals.take()]


@pytest.mark.parametrize(
    ("datagram", "host", "expected"),
    [
        pytest.param(STAMP + LOGIN, "203.0.113.1", ("unlisted_peer", "203.0.113.1"), id="who is not listed"),
        pytest.param(STAMP + LOGIN, "::ffff:203.0.113.1", ("unlisted_peer", "203.0.113.1"), id="the same mapped into IPv6"),
        pytest.param(LOGIN, PEER, ("no_priority", FARM), id="no <PRI>"),
        pytest.param(b"<999>" + LOGIN, PEER, ("malformed", FARM), id="no syslog"),
        pytest.param(STAMP + LOGIN + b"x" * 8192, PEER, ("oversize", FARM), id="too long"),
        pytest.param(STAMP + LOGIN.replace(b"bob", b"b\nb"), PEER, ("control_bytes", FARM), id="a line feed in it"),
        pytest.param(STAMP.replace(b"22", b"38", 1) + LOGIN, PEER, ("unlisted_facility", FARM), id="a known server by another facility"),
        pytest.param(STAMP + LOGIN.replace(b"<bob>", b"<a, rip=9.9.9.9>"), PEER, ("ambiguous", FARM), id="two addresses"),
        pytest.param(STAMP + LOGIN.replace(b"192.0.2.25", b"0.0.0.0"), PEER, ("bad_address", FARM), id="no client's address"),
        pytest.param(b"mail.info: imapd[1]: Login user=bob host=[192.0.2.25]", SOCKLOG, ("unescaped_source", FARM), id="who may split"),
        pytest.param(ZIMBRA, PEER, ("untrusted_proxy", FARM), id="a proxy's word"),
        pytest.param(STAMP + LOGIN.replace(b"Login: user", b"Successful login: who"), PEER, (UNRECOGNISED, FARM), id="an unknown login"),
        pytest.param(STAMP.replace(b"22", b"38", 1) + b"sshd[7]: Accepted", PEER, None, id="another facility's own business"),
        pytest.param(STAMP + b"postfix/smtpd[7]: connect from x", PEER, None, id="noise"),
        pytest.param(STAMP + LOGIN.replace(b"Login", b"Aborted login"), PEER, None, id="a failed login"),
        pytest.param(STAMP + LOGIN.replace(b"192.0.2.25", b"192.0.2.99"), PEER, None, id="the policy's own no"),
        pytest.param(STAMP + b"last message repeated 3 times", PEER, None, id="a summary"),
        pytest.param(STAMP + LOGIN, PEER, None, id="a grant"),
    ],
)
def test_what_somebody_may_have_to_mend_is_summed_up_and_nothing_else(datagram: bytes, host: str, expected: tuple[str, str] | None) -> None:
    assert ([(*expected, 2)] if expected else []) == refused(new(), datagram, datagram, host=host)


def test_who_sends_from_another_port_is_named_by_his_address() -> None:
    assert [("source_port", PEER, 1)] == refused(new(require_port=True), STAMP + LOGIN, port=40000)


def test_the_example_of_a_proxy_s_login_names_the_proxy() -> None:
    one = new()
    one.feed(Batch.of([(ZIMBRA, (PEER, PORT))]), NOW)
    [(_, _, _, example)] = one.tally.refusals.take()
    assert ("198.51.100.3", "mail", "mailboxd") == (example.via, example.facility, example.app_name)


def test_every_reason_that_is_told_has_its_words() -> None:
    assert {str(reason) for reason in TOLD} | {UNRECOGNISED} == set(REFUSED)


def test_the_first_of_a_row_is_its_example() -> None:
    one = new()
    one.feed(Batch.of([(b"<999>\x1b" + name, (PEER, PORT)) for name in (b"a", b"b")]), NOW)
    [(_, _, count, example)] = one.tally.refusals.take()
    assert (2, PEER, 7, "", "<999>\\x1ba") == (count, example.sender, example.size, example.facility, example.text)
    assert [] == one.tally.refusals.take()


def test_so_many_peers_of_a_reason_have_rows_and_the_rest_share_one() -> None:
    refusals = Refusals()
    for number in range(1000):
        for reason in ("malformed", "oversize"):
            if not refusals.more(reason, str(number)):
                refusals.begin(reason, str(number), example_of(b"", str(number)))
    rows = refusals.take()
    assert [str(number) for number in range(MOST_PEERS)] + [OTHERS] == [peer for reason, peer, _, _ in rows if reason == "oversize"]
    assert {"malformed": 1000, "oversize": 1000} == {
        reason: sum(count for of, _, count, _ in rows if of == reason) for reason in ("malformed", "oversize")
    }


def test_rows_survive_the_way_through_json() -> None:
    refusals = Refusals()
    refusals.begin("malformed", FARM, example_of(b"\xff\0", PEER), 3)
    rows = refusals.take()
    assert rows == list(told(json.loads(json.dumps(rows))))


HOSTILE = [
    pytest.param(b"a\nlevel=error event=stop", "a\\x0alevel=error event=stop", id="line feed"),
    pytest.param(b"\r\x1b[2J\x1b]0;x\x07", "\\x0d\\x1b[2J\\x1b]0;x\\x07", id="terminal"),
    pytest.param(b"\x9b31m", "\\x9b31m", id="C1 control byte"),
    pytest.param("\u202eevil\u2066\u200b".encode(), "\\xe2\\x80\\xaeevil\\xe2\\x81\\xa6\\xe2\\x80\\x8b", id="direction, zero width"),
    pytest.param(b"\\x1b and \\", "\\\\x1b and \\\\", id="what looks like an escape"),
    pytest.param(b'"\', "event": "stop"}', '"\', "event": "stop"}', id="quotes"),
    pytest.param(b"\0\x7f\xff", "\\x00\\x7f\\xff", id="other bytes"),
    pytest.param("ü".encode(), "\\xc3\\xbc", id="a letter that is not ASCII"),
    pytest.param(b"x" * (MOST_TEXT_BYTES + 1), "x" * MOST_TEXT_BYTES + "...", id="long"),
]


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_a_client_s_text_is_printable_ascii_and_says_which_bytes_it_was(text: bytes, expected: str) -> None:
    assert expected == escaped(text)


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_a_line_of_the_log_is_one_line_whatever_it_holds(log_format: str, text: bytes, expected: str) -> None:
    said = io.StringIO()
    raw = text.decode("utf-8", "backslashreplace")
    configure(log_format, "info", "parent", said).warning("refused", example=escaped(text), raw=raw, listed=[raw])
    [line] = said.getvalue().splitlines(keepends=True)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    if log_format == "json":
        read = json.loads(line)
        assert (expected, "refused", "warning") == (read["example"], read["event"], read["level"])
        assert read["raw"].isprintable()
        assert read["listed"] == [read["raw"]]
    else:
        assert f" example={expected if WORD.fullmatch(expected) else repr(expected)} listed=" in line


def test_a_text_of_more_than_one_word_is_quoted_on_a_terminal() -> None:
    said = io.StringIO()
    configure("console", "info", "parent", said).info("start", path="/etc/mail", forged="x level=error", empty="")
    assert "forged='x level=error'" in said.getvalue()
    assert "path=/etc/mail" in said.getvalue()
    assert "empty=''" in said.getvalue()
