"""Zimbra's mailboxd, and Carbonio's: IMAP and POP3.

    INFO  [ImapSSLServer-13] [name=bob@example.org;mid=7;ip=192.0.2.25;ua=Thunderbird/115.0;] imap - user bob@example.org authenticated,
        mechanism=LOGIN [TLS]                                                                            one line; POP3 has `pop - `
    INFO  [ImapServer-138] [name=bob;ip=198.51.100.3;oip=192.0.2.25;via=198.51.100.3(nginx/1.2.0);] imap - user bob authenticated, ...

The name, the mailbox and the TCP peer come first in the context; the rest (cid, oip, via, ua) in the order in which it became known. A
semicolon inside a value is doubled: such a line is refused. `oip`, the address behind a proxy, is whatever the peer says in its IMAP ID
(X-ORIGINATING-IP) or by POP3's XOIP, and mailboxd asks nobody's leave: so such a login is `via` that peer, and counts only where
policy.trusted_proxies lists it. `ua` and `via` are the client's text too; they stand behind the address, and may hold no bracket. A
forwarder of the own log file may leave the time at the beginning (`2024-05-11 10:23:45,207 `).
"""

import re

from syslogauth.core.formats.grammar import ADDRESS, Format, Kind, Line, Sample, client_address, whole
from syslogauth.core.login import Login, Refusal, Report
from syslogauth.core.message import Message

BEGINS = rb"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} )?INFO {1,2}\[(?:Imap|Pop3)(?:SSL)?Server-\d{1,10}\] \[name="
NAME = rb"[^\x00-\x20\x7f;=\[\]]{1,255}"
CONTEXT = re.compile(rb"(cid|oip|oport|via|ua)=([^;]*);")


def read(message: Message, found: re.Match[bytes]) -> Report | Refusal:
    context = CONTEXT.findall(found["context"])
    values = dict(context)
    whole_context = b"".join(b"%b=%b;" % pair for pair in context) == found["context"]
    if found["name"] != found["user"] or not whole_context or len(values) != len(context):
        return Refusal.AMBIGUOUS
    login = FORMAT.report(IMAP if found["protocol"] == b"imap" else POP3, message, found)
    if not isinstance(login, Login) or b"oip" not in values:
        return login
    address = client_address(values[b"oip"]) if re.fullmatch(ADDRESS, values[b"oip"]) else None
    return login._replace(address=address, via=login.address) if address else Refusal.BAD_ADDRESS


PATTERN = whole(
    BEGINS + rb"(?P<name>" + NAME + rb");(?:aname=" + NAME + rb";)?(?:mid=\d{1,10};)?ip=(?P<address>" + ADDRESS + rb");"
    rb"(?P<context>[^\x00-\x1f\x7f\[\]]{0,512})\] (?P<protocol>imap|pop) - user (?P<user>" + NAME + rb") authenticated, "
    rb"mechanism=[A-Z0-9-]{1,20}(?: \[TLS\])?"
)
IMAP = Line(Kind.LOGIN, PATTERN, service="imap", read=read)
POP3 = Line(Kind.LOGIN, PATTERN, service="pop3")

FORMAT = Format(
    name="zimbra",
    app_names=dict.fromkeys((b"mailboxd", b"mailbox", b"mailboxlog", b"zimbra"), ""),
    lines=(IMAP,),
    begins=BEGINS,
    others=rb"(?!" + BEGINS + rb")",
    escapes=False,
    facility="local0",
    notes="mailboxd logs to syslog after `zmprov mcf zimbraLogToSyslog TRUE` (local0). Behind Zimbra's nginx a line names the client as "
    "oip=, which any peer can set: list nginx's addresses in policy.trusted_proxies, or forward nginx's own log instead.",
    samples=(
        Sample(
            "mailboxd",
            "INFO  [ImapSSLServer-3] [name=b@c.example;ip=192.0.2.25;ua=x;] imap - user b@c.example authenticated, mechanism=LOGIN [TLS]",
            "192.0.2.25",
            "b@c.example",
            "imap",
        ),
        Sample(
            "mailboxd",
            "INFO [ImapServer-138] [name=bob;mid=7;ip=2001:db8:0:0:0:0:0:10;cid=12;ua=iPhone Mail/(null);] imap - user bob authenticated, "
            "mechanism=PLAIN",
            "2001:db8::10",
            "bob",
            "imap",
        ),
        Sample(
            "mailboxlog",
            "2018-09-18 00:21:18,787 INFO [ImapServer-138] [name=bob;ip=198.51.100.3;oip=192.0.2.25;via=x,198.51.100.3(nginx/1.2.0-zimbra);"
            "ua=Zimbra/8.6.0_GA_1229;] imap - user bob authenticated, mechanism=LOGIN",
            "192.0.2.25",
            "bob",
            "imap",
        ),
        Sample(
            "mailbox",
            "INFO  [Pop3Server-1] [name=bob@example.org;ip=192.0.2.25;] pop - user bob@example.org authenticated, mechanism=LOGIN",
            "192.0.2.25",
            "bob@example.org",
            "pop3",
        ),
        Sample(
            "mailboxd",
            "2024-05-11 10:23:45,207 INFO  [Pop3SSLServer-4] [name=bob;ip=192.0.2.25;] pop - user bob authenticated, mechanism=LOGIN [TLS]",
            "192.0.2.25",
            "bob",
            "pop3",
        ),
    ),
    near_misses=(
        ("mailboxd", "INFO  [ImapServer-2] [ip=192.0.2.25;] imap - authentication failed for [bob@example.org] (invalid password)"),
        ("mailboxd", "WARN  [ImapServer-2] [name=bob@example.org;ip=192.0.2.25;] imap - authentication failed for [bob@example.org]"),
        (
            "mailboxd",
            "INFO  [ImapServer-2] [name=bob@example.org;ip=192.0.2.25;] imap - dropping connection for user bob@example.org (LOGOUT)",
        ),
        ("mailboxd", "INFO  [qtp1-5:https:https://mail.example.org/] [name=bob@example.org;ip=192.0.2.25;] soap - AuthRequest elapsed=3"),
        # oip twice, no address, hidden in text of the client's
        (
            "mailboxd",
            "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;oip=9.9.9.9;oip=192.0.2.7;] imap - user bob authenticated, mechanism=LOGIN",
        ),
        (
            "mailboxd",
            "INFO  [Pop3Server-2] [name=bob;ip=192.0.2.25;oip=9.9.9.9, x;] pop - user bob authenticated, mechanism=LOGIN",
        ),
        (
            "mailboxd",
            "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;ua=x;;oip=9.9.9.9;] imap - user bob authenticated, mechanism=LOGIN",
        ),
        # ID text that holds a line or a key, before and after a login; a name
        (
            "mailboxd",
            "INFO  [ImapServer-2] [ip=192.0.2.25;ua=x;;] imap - user bob authenticated, mechanism=LOGIN;] imap - LOGIN failed",
        ),
        (
            "mailboxd",
            "INFO  [ImapServer-2] [ip=192.0.2.25;ua=x;;] imap - user bob authenticated, mechanism=LOGIN",
        ),
        (
            "mailboxd",
            "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;ua=x;;ip=9.9.9.9;] imap - user bob authenticated, mechanism=LOGIN",
        ),
        (
            "mailboxd",
            "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;ua=x;] imap - user a;ip=9.9.9.9;] imap - user bob authenticated, mechanism=LOGIN",
        ),
        (
            "mailboxd",
            "INFO  [ImapServer-2] [name=a;ip=9.9.9.9;;ip=192.0.2.25;] imap - user a;ip=9.9.9.9 authenticated, mechanism=LOGIN",
        ),
        ("mailboxd", "INFO  [ImapServer-2] [name=eve;ip=192.0.2.25;] imap - user bob authenticated, mechanism=LOGIN"),
        (
            "mailboxd",
            "INFO  [x] [] imap - failed for [a\nINFO  [ImapServer-3] [name=b;ip=9.9.9.9;] imap - user b authenticated, mechanism=LOGIN",
        ),
        # no address; cut short; more behind
        ("mailboxd", "INFO  [ImapServer-2] [name=bob;ip=192.0.2.256;] imap - user bob authenticated, mechanism=LOGIN"),
        ("mailboxd", "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;] imap - user bob authenticated"),
        ("mailboxd", "INFO  [ImapServer-2] [name=bob;ip=192.0.2.25;] imap - user bob authenticated, mechanism=LOGIN [TLS] and more"),
    ),
    sources=(
        "zm-mailbox store/src/java/com/zimbra/cs/imap/ImapHandler.java (startSession, setIDFields), pop3/Pop3Handler.java",
        "zm-mailbox common/src/java/com/zimbra/common/util/ZimbraLog.java (updateContextString, encodeArg)",
    ),
)
