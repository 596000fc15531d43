"""Every header dialect of the syslogds in use, byte for byte as each sends it, and the limits of a datagram."""

import pytest

from syslogauth.core.login import Refusal
from syslogauth.core.message import FACILITIES, MAX_DATAGRAM_BYTES, Message, parse

TEXT = b"imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.10, lip=192.0.2.1, mpid=1234, TLS, session=<Zm9vYmFy>"
UW = b"Login user=bob host=client.example.net [192.0.2.25]"
QPOPPER = b'(v4.1.0) POP login by user "bob" at (c1.example.net) 192.0.2.25'
BSD = b"Nov 22 10:28:45"
ISO = b"2026-11-22T10:09:45.583598+00:00"


def parsed(sent: bytes, needs_priority: bool = True) -> Message | Refusal:
    """Without how much was stripped from the end."""
    found = parse(sent, needs_priority)
    return found._replace(stripped_bytes=0) if isinstance(found, Message) else found


def row(sender: str, *values: object) -> object:
    return pytest.param(*values, id=sender)


@pytest.mark.parametrize(
    ("header", "timestamp", "hostname", "procid"),
    [
        # rsyslog; an instance without names puts the sender's address where the hostname belongs
        row("rsyslog traditional", b"<22>Nov 22 10:28:45 mail1 dovecot: ", BSD, b"mail1", b""),
        row("rsyslog, pid of journald", b"<22>Nov 22 10:28:45 mail1 dovecot[733]: ", BSD, b"mail1", b"733"),
        row("rsyslog ForwardFormat", b"<22>" + ISO + b" mail1 dovecot: ", ISO, b"mail1", b""),
        row("rsyslog Protocol23, two blanks", b"<22>1 " + ISO + b" mail1 dovecot - - -  ", ISO, b"mail1", b""),
        row("rsyslog Protocol23, pid", b"<22>1 " + ISO + b" mail1 dovecot 733 - -  ", ISO, b"mail1", b"733"),
        row("rsyslog, RFC 5424 relayed: no colon", b"<22>Nov 22 10:28:45 mail9 dovecot[99] ", BSD, b"mail9", b"99"),
        row("rsyslog, IPv4 address", b"<22>Nov 22 10:28:45 192.0.2.5 dovecot: ", BSD, b"192.0.2.5", b""),
        row("rsyslog, IPv6 address", b"<22>Nov 22 10:28:45 2001:db8::10 dovecot: ", BSD, b"2001:db8::10", b""),
        row("rsyslog, IPv6 address and pid", b"<22>Nov 22 10:28:45 2001:db8::10 dovecot[7]: ", BSD, b"2001:db8::10", b"7"),
        row("rsyslog, full IPv6 address", b"<22>Nov 22 10:28:45 2001:db8:0:0:0:0:0:10 dovecot: ", BSD, b"2001:db8:0:0:0:0:0:10", b""),
        row("rsyslog, IPv6 loopback", b"<22>Nov 22 10:28:45 ::1 dovecot: ", BSD, b"::1", b""),
        row("rsyslog, IPv6 address with a scope", b"<22>Nov 22 10:28:45 fe80::1%em0 dovecot: ", BSD, b"fe80::1%em0", b""),
        row("rsyslog, mapped address", b"<22>Nov 22 10:28:45 ::ffff:192.0.2.5 dovecot: ", BSD, b"::ffff:192.0.2.5", b""),
        # syslog-ng
        row("syslog-ng udp()", b"<22>Nov 22 10:28:45 mail1 dovecot: ", BSD, b"mail1", b""),
        row("syslog-ng, chain_hostnames", b"<22>Nov 22 10:28:45 src@mail1/mail2 dovecot: ", BSD, b"src@mail1/mail2", b""),
        row("syslog-ng syslog()", b"<22>1 " + ISO + b' mail1 dovecot - - [meta sequenceId="1"] ', ISO, b"mail1", b""),
        row("syslog-ng syslog(), relayed", b"<22>1 " + ISO + b" mail1 dovecot - - - ", ISO, b"mail1", b""),
        # the BSDs
        row("FreeBSD 10 to 14, OpenBSD", b"<22>Nov 22 10:28:45 dovecot: ", BSD, b"", b""),
        row("FreeBSD, a day of one digit", b"<22>Nov  2 10:28:45 dovecot: ", b"Nov  2 10:28:45", b"", b""),
        row("FreeBSD, of another host", b"<22>Nov 22 10:28:45 Forwarded from 192.0.2.5: dovecot: ", BSD, b"192.0.2.5", b""),
        row(
            "FreeBSD, of another host by name",
            b"<22>Nov 22 10:28:45 Forwarded from m2.example.org: dovecot[7]: ",
            BSD,
            b"m2.example.org",
            b"7",
        ),
        row("FreeBSD, of another host, IPv6", b"<22>Nov 22 10:28:45 Forwarded from 2001:db8::5: dovecot: ", BSD, b"2001:db8::5", b""),
        row(
            "FreeBSD, of another host with a hostname",
            b"<22>Nov 22 10:28:45 Forwarded from 192.0.2.5: m2 dovecot: ",
            BSD,
            b"192.0.2.5",
            b"",
        ),
        row("FreeBSD -v", b"<22>Nov 22 10:28:45 <mail.info> mail1 dovecot: ", BSD, b"mail1", b""),
        row("FreeBSD -O rfc5424", b"<22>1 " + ISO + b" mail1.example.org dovecot - - - ", ISO, b"mail1.example.org", b""),
        row("FreeBSD 15 -O rfc3164-strict, OpenBSD -h", b"<22>Nov 22 10:28:45 mail1.example.org dovecot: ", BSD, b"mail1.example.org", b""),
        row("OpenBSD -Z", b"<22>2026-11-22T10:00:00.123Z dovecot: ", b"2026-11-22T10:00:00.123Z", b"", b""),
        row("OpenBSD -Z -h", b"<22>2026-11-22T10:00:00.123Z mail1 dovecot: ", b"2026-11-22T10:00:00.123Z", b"mail1", b""),
        row("NetBSD, of another host", b"<22>Nov 22 10:28:45 [relay.example.org]: dovecot: ", BSD, b"relay.example.org", b""),
        # the others
        row("inetutils, busybox -R", b"<22>Nov 22 10:28:45 dovecot: ", BSD, b"", b""),
        row("systemd-netlogd rfc5424", b"<22>1 " + ISO + b" mail1 dovecot 733 - - ", ISO, b"mail1", b"733"),
        row("systemd-netlogd rfc3164", b"<22>" + ISO + b" mail1 dovecot[733]: ", ISO, b"mail1", b"733"),
        row("sysklogd 1.x, no stamp", b"<22>dovecot: ", b"", b"", b""),
        row("no stamp, a hostname", b"<22>mail1 dovecot: ", b"", b"mail1", b""),
        row("illumos", b"<22>Nov 22 10:28:45 dovecot: [ID 583609 mail.info] ", BSD, b"", b""),
        row("illumos, relayed, with a pid", b"<22>Nov 22 10:28:45 mail1 dovecot[7]: [ID 583609 mail.info] ", BSD, b"mail1", b"7"),
        row("AIX", b"<22>Nov 22 10:28:45 Message forwarded from host1: dovecot: ", BSD, b"host1", b""),
        row("a stamp with the year", b"<22>Nov 22 2026 10:28:45 mail1 dovecot: ", b"Nov 22 2026 10:28:45", b"mail1", b""),
        # RFC 5424 in a header of RFC 3164, and its odder forms
        row("wrapped by rsyslog or syslog-ng", b"<22>Nov 22 10:28:45 mail1 1 " + ISO + b" mail9 dovecot 99 - - ", BSD, b"mail9", b"99"),
        row("wrapped by inetutils", b"<22>Nov 22 10:28:45 1 " + ISO + b" mail9 dovecot 99 - - ", BSD, b"mail9", b"99"),
        row("nil stamp and host", b"<22>1 - - dovecot - - - ", b"-", b"", b""),
        row("a BOM", b"<22>1 - mail1 dovecot - - - \xef\xbb\xbf", b"-", b"mail1", b""),
        row("quoted structured data", rb'<22>1 - mail1 dovecot - - [a@1 b="\"\]\\ dovecot: x"][c] ', b"-", b"mail1", b""),
    ],
)
@pytest.mark.parametrize("trailer", [b"", b"\n", b"\0", b" ", b" \r\n\0"], ids=ascii)
def test_each_dialect_is_read_as_its_sender_meant_it(
    header: bytes, timestamp: bytes, hostname: bytes, procid: bytes, trailer: bytes
) -> None:
    assert Message(22, timestamp, hostname, b"dovecot", procid, TEXT) == parsed(header + TEXT + trailer)


@pytest.mark.parametrize(
    ("sent", "timestamp", "hostname", "repeats"),
    [
        row("FreeBSD 10, inetutils, OpenBSD", b"<22>Nov 22 10:28:45 last message repeated 8 times", BSD, b"", 8),
        row("FreeBSD 12", b"<22>Nov 22 10:28:45 syslogd: last message repeated 3 times", BSD, b"", 3),
        row("FreeBSD 12, of one", b"<22>Nov 22 10:28:45 syslogd: last message repeated 1 times", BSD, b"", 1),
        row("FreeBSD 10, of another host", b"<22>Nov 22 10:28:45 Forwarded from h2: last message repeated 3 times", BSD, b"h2", 3),
        row("FreeBSD 12, of another host", b"<22>Nov 22 10:28:45 Forwarded from h2: syslogd: last message repeated 3 times", BSD, b"h2", 3),
        row("FreeBSD -O rfc5424", b"<22>1 " + ISO + b" mail1 syslogd - - - last message repeated 3 times", ISO, b"mail1", 3),
        row("NetBSD, of another host", b"<22>Nov 22 10:28:45 [h2]: last message repeated 3 times", BSD, b"h2", 3),
        row("relayed with a hostname", b"<22>Nov 22 10:28:45 mail1 last message repeated 3 times", BSD, b"mail1", 3),
        row("FreeBSD 12, relayed with a hostname", b"<22>Nov 22 10:28:45 mail1 syslogd: last message repeated 3 times", BSD, b"mail1", 3),
        row("in the singular", b"<22>Nov 22 10:28:45 last message repeated 1 time\n", BSD, b"", 1),
    ],
)
def test_a_summary_of_repeats_names_no_message(sent: bytes, timestamp: bytes, hostname: bytes, repeats: int) -> None:
    assert Message(22, timestamp, hostname, b"", b"", b"", repeats) == parsed(sent)


SUPPRESSED = b"Last message 'imap-login: Login: u' repeated 4 times, suppressed by syslog-ng on mail1"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        row(
            "rsyslog RepeatedMsgReduction is read once",
            b"<22>Nov 22 10:28:45 mail1 dovecot: message repeated 4 times: [ " + TEXT + b"]",
            Message(22, BSD, b"mail1", b"dovecot", b"", TEXT),
        ),
        row(
            "the same of a text that ends in a bracket",
            b"<22>Nov 22 10:28:45 mail1 imapd[86]: message repeated 2 times: [ " + UW + b"]",
            Message(22, BSD, b"mail1", b"imapd", b"86", UW),
        ),
        row(
            "syslog-ng suppress()",
            b"<22>Nov 22 10:28:45 mail1 dovecot[117]: " + SUPPRESSED + b"\n",
            Message(22, BSD, b"mail1", b"dovecot", b"117", SUPPRESSED, 4),
        ),
        row(
            "what begins like it and goes on is the client's: qpopper's failures begin with the USER word",
            b"<22>Nov 22 10:28:45 qpopper: " + SUPPRESSED + b" at host (192.0.2.25): -ERR",
            Message(22, BSD, b"", b"qpopper", b"", SUPPRESSED + b" at host (192.0.2.25): -ERR"),
        ),
        row(
            "FreeBSD -O rfc5424, a tag with a dot",
            b"<22>1 " + ISO + b" mail1 - - - - in.qpopper[7]: " + QPOPPER,
            Message(22, ISO, b"mail1", b"in.qpopper", b"7", QPOPPER),
        ),
        row("a tag without a text", b"<22>Nov 22 10:28:45 dovecot:", Message(22, BSD, b"", b"dovecot", b"", b"")),
        row("rsyslog, a tag cut at 32 bytes has no colon", b"<22>Nov 22 10:28:45 mail1 " + b"t" * 32 + b" " + TEXT, Refusal.MALFORMED),
        row("a doubled hostname", b"<22>Nov 22 10:28:45 mail1 mail1.example.org dovecot: " + TEXT, Refusal.MALFORMED),
        row("syslog-ng, a template without PRI", b"Nov 22 10:28:45 mail1 dovecot: " + TEXT, Refusal.NO_PRIORITY),
    ],
)
def test_what_else_syslogds_do_to_a_message(sent: bytes, expected: Message | Refusal) -> None:
    assert expected == parsed(sent)


SOCKLOG = b"mail.info: Nov 22 10:28:45 dovecot: "


@pytest.mark.parametrize(
    ("header", "priority", "timestamp", "hostname"),
    [
        row("socklog and svlogd: the words are the priority", SOCKLOG, 22, BSD, b""),
        row("svlogd -tt", b"2026-11-22_10:21:51.34839 " + SOCKLOG, 22, BSD, b""),
        row("svlogd -t", b"@400000006b02c25c046a8034 " + SOCKLOG, 22, BSD, b""),
        row("socklog, words that are no priority", SOCKLOG.replace(b"mail", b"male"), None, BSD, b""),
        row("a log file, syslog-ng without PRI", b"Nov 22 10:28:45 mail1 dovecot: ", None, BSD, b"mail1"),
        row("a log file with ISO stamps", ISO + b" mail1 dovecot: ", None, ISO, b"mail1"),
        row("a PRI is read where there is one", b"<22>Nov 22 10:28:45 dovecot: ", 22, BSD, b""),
    ],
)
def test_a_priority_may_be_missing_where_none_is_asked_for(header: bytes, priority: int | None, timestamp: bytes, hostname: bytes) -> None:
    assert Message(priority, timestamp, hostname, b"dovecot", b"", TEXT) == parsed(header + TEXT + b"\n", needs_priority=False)


@pytest.mark.parametrize("line", [b"<192>Nov 22 10:28:45 dovecot: x", b"<022>dovecot: x", b"<>dovecot: x", b"", b"just some text"])
def test_a_line_of_a_file_is_malformed_where_a_datagram_would_be(line: bytes) -> None:
    expected = Refusal.MALFORMED
    assert expected == parsed(line, needs_priority=False)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        row("socklog", SOCKLOG + TEXT, Refusal.NO_PRIORITY),
        row("an empty datagram", b"", Refusal.NO_PRIORITY),
        row("trailers alone", b" \r\n\0", Refusal.NO_PRIORITY),
        row("a compressed one of rsyslog", b"zx\x9c\xb3\xb1", Refusal.NO_PRIORITY),
        row("a bracket alone", b"<", Refusal.MALFORMED),
        row("an empty PRI", b"<>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("PRI 192", b"<192>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("PRI 999", b"<999>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("PRI 022", b"<022>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("PRI 000", b"<000>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("a blank in the PRI", b"< 22>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("a negative PRI", b"<-1>Nov 22 10:28:45 dovecot: x", Refusal.MALFORMED),
        row("a PRI in other digits", "<\u0662\u0662>Nov 22 10:28:45 dovecot: x".encode(), Refusal.MALFORMED),
        row("no tag", b"<22>Nov 22 10:28:45 just some text", Refusal.MALFORMED),
        row("a mark", b"<22>Nov 22 10:28:45 -- MARK --", Refusal.MALFORMED),
        row("structured data that does not end", b'<22>1 - mail1 dovecot - - [a b="c] x', Refusal.MALFORMED),
        row("structured data missing", b"<22>1 - mail1 dovecot - - x", Refusal.MALFORMED),
        row("forwarded, and no tag", b"<22>Forwarded from dovecot: x", Refusal.MALFORMED),
        row("a tag with brackets is no hostname", b"<22>Nov 22 10:28:45 su(pam)[1]: dovecot: x", Refusal.MALFORMED),
        row("nor is a tag of 65 bytes", b"<22>Nov 22 10:28:45 " + b"t" * 65 + b": dovecot: x", Refusal.MALFORMED),
        row("nor a tag with an at sign", b"<22>Nov 22 10:28:45 getty@tty1: dovecot: x", Refusal.MALFORMED),
    ],
)
def test_what_is_no_syslog_message_is_refused_with_its_reason(sent: bytes, expected: Refusal) -> None:
    assert expected == parsed(sent)


@pytest.mark.parametrize(
    "header",
    [
        row("tag", b"<22>Nov 22 10:28:45 sendmail: dovecot: "),
        row("tag and pid", b"<22>Nov 22 10:28:45 sendmail[7]: dovecot: "),
        row("tag and pid without a colon", b"<22>Nov 22 10:28:45 sendmail[7] dovecot: "),
        row("a tabulator after the tag", b"<22>Nov 22 10:28:45 sendmail:\tdovecot: "),
        row("no blank after the tag", b"<22>Nov 22 10:28:45 sendmail:evil dovecot: "),
        row("hostname and tag", b"<22>Nov 22 10:28:45 mail1 sendmail: dovecot: "),
        row("no stamp", b"<22>sendmail: dovecot: "),
        row("RFC 5424", b"<22>1 - mail1 sendmail - - - dovecot: "),
        row("RFC 5424 in RFC 5424", b"<22>1 - mail1 sendmail - - - 1 - mail1 dovecot - - - "),
        row("RFC 5424, tag in the text", b"<22>1 - mail1 sendmail - - - dovecot[7]: "),
        row("forwarded", b"<22>Nov 22 10:28:45 Forwarded from 192.0.2.5: sendmail: dovecot: "),
        row("forwarded in the text", b"<22>Nov 22 10:28:45 sendmail: Forwarded from 192.0.2.5: dovecot: "),
        row("illumos", b"<22>Nov 22 10:28:45 sendmail: [ID 1 mail.info] dovecot: "),
        row("repeated", b"<22>Nov 22 10:28:45 sendmail: message repeated 2 times: [ dovecot: "),
    ],
)
def test_a_tag_inside_the_text_is_never_the_app_name(header: bytes) -> None:
    found = parse(header + TEXT)
    assert isinstance(found, Message)
    assert found.app_name == b"sendmail"


@pytest.mark.parametrize("text", [b"last message repeated 3 times", b"syslogd: last message repeated 3 times"])
@pytest.mark.parametrize("header", [b"<22>Nov 22 10:28:45 sendmail: ", b"<22>Nov 22 10:28:45 m1 x[7]: ", b"<22>1 - m1 sendmail - - - "])
def test_a_summary_inside_the_text_is_no_summary(header: bytes, text: bytes) -> None:
    found = parse(header + text)
    assert isinstance(found, Message)
    assert found.repeats == 0


def test_8192_bytes_are_read_and_one_more_is_refused() -> None:
    start = b"<22>Nov 22 10:28:45 dovecot: "
    text = b"x" * (8192 - len(start))
    oversize = Refusal.OVERSIZE
    assert MAX_DATAGRAM_BYTES == len(start + text)
    assert Message(22, BSD, b"", b"dovecot", b"", text) == parsed(start + text)
    assert oversize == parsed(start + text + b"\n")


@pytest.mark.parametrize("priority", range(192))
def test_every_priority_has_its_facility_and_severity(priority: int) -> None:
    severities = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
    found = parse(b"<%d>dovecot: x" % priority)
    assert isinstance(found, Message)
    assert (priority, FACILITIES[priority // 8], severities[priority % 8]) == (found.priority, found.facility, found.severity)


@pytest.mark.parametrize(("code", "name"), [(2, "mail"), (4, "auth"), (16, "local0"), (23, "local7")])
def test_facilities_have_the_codes_of_rfc_5424(code: int, name: str) -> None:
    assert name == FACILITIES[code]


def test_a_message_without_a_priority_has_no_facility_and_no_severity() -> None:
    found = Message(None, BSD, b"", b"dovecot", b"", TEXT)
    assert (found.facility, found.severity) == (None, None)


@pytest.mark.parametrize("byte", [bytes((n,)) for n in (*range(0x20), 0x7F) if n != 0x09], ids=repr)
@pytest.mark.parametrize("place", [b"<22>%sNov 22 10:28:45 dovecot: x", b"<22>Nov 22 10:28:45 dovecot: x%sy"])
def test_a_control_byte_inside_is_refused(byte: bytes, place: bytes) -> None:
    expected = Refusal.CONTROL_BYTES
    assert expected == parsed(place % byte)


@pytest.mark.parametrize("inside", ["\t", "\u0085", "\u2028", "\u202e", "\u00e9", "\ufeff"], ids=ascii)
def test_a_tabulator_and_what_unicode_calls_a_line_end_are_text(inside: str) -> None:
    text = f"a{inside}b".encode()
    assert Message(22, BSD, b"", b"dovecot", b"", text) == parsed(b"<22>Nov 22 10:28:45 dovecot: " + text)
