"""The syslog header as real syslogds write it, and nothing of what the message means.

One datagram is one message. The forms read here (each with its sender; the bytes were captured from the running programs):

    <22>Nov 22 10:28:45 dovecot: TEXT                          FreeBSD, OpenBSD, inetutils, busybox: no hostname
    <22>Nov 22 10:09:49 mail1 dovecot[7]: TEXT                 rsyslog and syslog-ng (traditional)
    <22>2026-11-22T10:09:45.58+00:00 mail1 dovecot: TEXT       rsyslog RSYSLOG_ForwardFormat, systemd-netlogd, OpenBSD -Z
    <22>1 2026-11-22T10:10:06Z mail1 dovecot 7 - [sd] TEXT     RFC 5424: rsyslog, syslog-ng, FreeBSD -O rfc5424, systemd-netlogd
    <22>Nov 22 10:08:45 mail1 1 2026-11-22T10:00:00Z ...       the same, wrapped by a relay that knows only RFC 3164
    <22>Nov 22 10:30:39 Forwarded from 192.0.2.5: dovecot: T   FreeBSD, for another host's message ("Message forwarded from": AIX)
    <22>Nov 22 10:00:00 [relayhost]: dovecot: TEXT             NetBSD and older BSDs
    <22>Nov 22 10:00:00 <mail.info> mail1 dovecot: TEXT        FreeBSD syslogd -v
    <22>dovecot: TEXT                                          sysklogd 1.x: no time stamp
    mail.info: Nov 22 10:22:00 dovecot: TEXT                   socklog: no PRI, perhaps a stamp of svlogd's before it
    <22>Nov 22 10:00:00 dovecot: [ID 583609 mail.info] TEXT    illumos and Solaris, after the tag

What is none of these is MALFORMED: a refusal, never an exception. The host is taken only where `tag:` or `tag[pid]` follows it.
"""

import re
from typing import NamedTuple

from syslogauth.core.login import Refusal

MAX_DATAGRAM_BYTES = 8192  # rsyslog's default $MaxMessageSize; longer ones are refused, never cut

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "security", "console", "solaris-cron"),
    *(f"local{n}" for n in range(8)),
)  # RFC 5424 6.2.1, by the BSD names
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
PRIORITIES = len(FACILITIES) * len(SEVERITIES)
PRIORITIES_IN_DIGITS = {b"%d" % priority: priority for priority in range(PRIORITIES)}
PRIORITIES_IN_WORDS = {f"{f}.{s}".encode(): 8 * n + m for n, f in enumerate(FACILITIES) for m, s in enumerate(SEVERITIES)}  # socklog's
OWN_APP_NAME = b"syslogauth"


class Message(NamedTuple):
    """One syslog message. `priority` is None where the line had none (a log file); the texts are bytes as sent."""

    priority: int | None
    timestamp: bytes
    hostname: bytes
    app_name: bytes
    procid: bytes
    text: bytes
    repeats: int = 0  # > 0: "last message repeated N times", which names no message
    stripped_bytes: int = 0  # blanks and the like at the end, which are not in the text

    @property
    def facility(self) -> str | None:
        return None if self.priority is None else FACILITIES[self.priority >> 3]

    @property
    def severity(self) -> str | None:
        return None if self.priority is None else SEVERITIES[self.priority & 7]


BSD_STAMP = rb"[A-Z][a-z]{2} {1,2}\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?"
ISO_STAMP = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
HOST = rb"(?![^ ]*[:\]] )[\w.:%@/-]{1,255}"  # the first word, unless it is `tag:` or `tag[pid]`
IPV6_HOST = rb"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:.]{0,40}:[0-9A-Fa-f.]{1,20}(?:%[\w.-]{1,16})? "  # `2001:db8::10 `: its first group is no tag
SVLOGD = rb"(?:@[0-9a-f]{24} |\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d{1,9} )?(?:(?P<words>[a-z0-9]{2,8}\.[a-z]{3,7}): )?"
FORWARDED = rb"(?:(?:Forwarded|Message forwarded) from (?P<origin>[\w.:%-]{1,255}): |\[(?P<relayed>[\w.:%-]{1,255})\]: )?"
SD_NAME = rb"[!#-<>-\\^-~]{1,32}"  # RFC 5424 6.3.2: printable ASCII but for the double quote, the equals sign and the closing bracket
RFC5424 = (
    rb"1 (?P<stamp5>-|" + ISO_STAMP + rb") (?P<host5>[!-~]{1,255}) (?P<app5>[!-~]{1,48}) (?P<pid5>[!-~]{1,128}) [!-~]{1,32} "
    rb"(?:-|(?:\[" + SD_NAME + rb"(?: " + SD_NAME + rb'="(?:[^"\\\]]|\\.){0,1024}")*\]){1,32})(?: +(?:\xef\xbb\xbf)? *(?P<text5>.*))?'
)
BARE_TAG = rb"mailboxlog"  # as Zimbra's administrators set up rsyslog's imfile: Tag="mailboxlog", without the colon
RFC3164 = (
    rb"(?:<[a-z0-9]{1,9}\.[a-z0-9]{1,9}> )?" + FORWARDED + rb"(?:(?P<host>" + HOST + rb") )??"
    rb"(?:(?:syslogd: )?last message repeated (?P<repeats>\d{1,9}) times?"
    rb"|(?:(?!" + IPV6_HOST + rb")(?P<app>[\w./+-]{1,64})(?:\[(?P<pid>\d{1,10})\](?::| )|:) ?|(?P<bare>" + BARE_TAG + rb") )"
    rb"(?:\[ID \d{1,10} [a-z0-9]{1,9}\.[a-z]{1,9}\] ?)?(?P<text>.*))"
)
# An atomic group, for a possessive one matches wrongly in Python before 3.11.5 (CPython gh-106052)
STAMPS = rb"(?>(?:(?P<stamp>" + BSD_STAMP + rb"|" + ISO_STAMP + rb"),? )?)"
HEADER = re.compile(STAMPS + rb"(?:(?:" + HOST + rb" )?" + RFC5424 + rb"|" + RFC3164 + rb")", re.DOTALL)
# What nearly every message is, read in a quarter of the time; the same classes, so the same answer
USUAL_HEADER = (
    rb"(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|" + ISO_STAMP + rb") "
    rb"(?:(?P<host>[\w.-]{1,255}) |Forwarded from (?P<origin>[\w.:%-]{1,255}): )?"
)
USUAL = re.compile(
    rb"(?:<(\d{1,3})>)?" + USUAL_HEADER + rb"([\w./+-]{1,64})(?:\[(\d{1,10})\])?: (?!\[ID |[Ll]ast message |message repeated )(.*)",
    re.DOTALL,
)
PRIORITY = re.compile(rb"<(0|[1-9]\d{0,2})>")
WITHOUT_PRIORITY = re.compile(SVLOGD)
TAG_IN_TEXT = re.compile(rb"(?P<app>[\w./+-]{1,64})\[(?P<pid>\d{1,10})\]: (?P<text>.*)", re.DOTALL)
CONTROL = bytes((*range(9), *range(10, 32), 127))  # all but the tab
SUMMARY = re.compile(rb"last message repeated (?P<repeats>\d{1,9}) times?")
REPEATED_TEXT = re.compile(rb"message repeated \d{1,9} times: \[ (?P<text>.*)\]", re.DOTALL)
SUPPRESSED_TEXT = re.compile(
    rb"Last message '.{0,64}' repeated (?P<repeats>\d{1,9}) times, suppressed by syslog-ng on [\w.-]{1,255}", re.DOTALL
)
TRAILER = b"\n\r\0 "  # what senders leave at the end: syslog-ng and busybox LF, old ones NUL, FreeBSD a blank for the LF
# Of as many bytes. More blanks are a client's, who pads his text so far that a syslogd cuts off what the server wrote behind it; stripped,
# they would make a whole and short line of it.
LONGEST_TRAILER = 4


def parse(datagram: bytes, needs_priority: bool = True) -> Message | Refusal:
    """Read one datagram, or one line of a log file where `needs_priority` is False. Linear in the length.

    Refuses with OVERSIZE, NO_PRIORITY, CONTROL_BYTES or MALFORMED.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        return Refusal.OVERSIZE
    sent_bytes = len(datagram)
    stripped = datagram.rstrip(TRAILER)
    datagram = stripped if sent_bytes - len(stripped) <= LONGEST_TRAILER else datagram.rstrip(TRAILER.replace(b" ", b""))
    if len(datagram.translate(None, CONTROL)) != len(datagram):
        return Refusal.CONTROL_BYTES
    if usual := USUAL.fullmatch(datagram):
        digits, stamp, hostname, origin, app_name, procid, text = usual.groups(b"")
        priority = PRIORITIES_IN_DIGITS.get(digits)
        if priority is None and (digits or needs_priority):
            return Refusal.MALFORMED if digits else Refusal.NO_PRIORITY
        return Message(priority, stamp, hostname or origin, app_name, procid, text, 0, sent_bytes - len(datagram))
    return read_any(datagram, sent_bytes - len(datagram), needs_priority)


def read_any(datagram: bytes, stripped_bytes: int, needs_priority: bool) -> Message | Refusal:
    """Any message that holds no control bytes; `stripped_bytes` have been taken from its end."""
    priority = None
    if found := PRIORITY.match(datagram):
        priority = int(found[1])
        if priority >= PRIORITIES:
            return Refusal.MALFORMED
    elif needs_priority:
        return Refusal.MALFORMED if datagram.startswith(b"<") else Refusal.NO_PRIORITY
    elif found := WITHOUT_PRIORITY.match(datagram):  # always matches
        priority = PRIORITIES_IN_WORDS.get(found["words"] or b"")
    header = HEADER.fullmatch(datagram, found.end() if found else 0)
    if header is None:
        return Refusal.MALFORMED
    return _message(priority, header, stripped_bytes)


def _message(priority: int | None, header: re.Match[bytes], stripped_bytes: int) -> Message | Refusal:
    part = header.groupdict(default=b"")
    if not part["app5"]:
        hostname, app_name, procid, text = (
            part["origin"] or part["relayed"] or part["host"],
            part["app"] or part["bare"],
            part["pid"],
            part["text"],
        )
        if part["repeats"]:
            return Message(priority, part["stamp"], hostname, b"", b"", b"", int(part["repeats"]))
    else:
        hostname, app_name, procid, text = (_value(part[name]) for name in ("host5", "app5", "pid5", "text5"))
        # FreeBSD's RFC 5424 mode cannot carry a tag with a dot: `in.qpopper[7]: ` arrives inside the text, APP-NAME nil
        if not app_name and (tagged := TAG_IN_TEXT.fullmatch(text)):
            app_name, procid, text = tagged["app"], tagged["pid"], tagged["text"]
        if app_name == b"syslogd" and (summary := SUMMARY.fullmatch(text)):
            return Message(priority, part["stamp5"], hostname, b"", b"", b"", int(summary["repeats"]))
    if wrapped := REPEATED_TEXT.fullmatch(text):  # rsyslog's $RepeatedMsgReduction quotes the message: read it once
        text = wrapped["text"]
    repeats = int(found["repeats"]) if (found := SUPPRESSED_TEXT.fullmatch(text)) else 0
    return Message(priority, part["stamp"] or part["stamp5"], hostname, app_name, procid, text, repeats, stripped_bytes)


def _value(field: bytes) -> bytes:
    return b"" if field == b"-" else field
