"""A stream of bytes as syslog messages: RFC 6587, and RFC 5425 inside TLS. Bytes go in, whole frames come out.

    153 <22>Nov 22 10:09:49 mail1 dovecot: TEXT          3.4.1, octet counting: a length in digits and a blank before each message
    <22>Nov 22 10:09:49 mail1 dovecot: TEXT\n            3.4.2, non-transparent: a line feed behind each, or a NUL

Which of the two is decided by the first byte of a connection, a digit or none, and stays: otherwise a client's line feed and what he
writes behind it, `153 <22>..`, would be a message of its own. So does the delimiter, the first line feed or NUL that comes. What is not a
length where one must stand is no stream of messages any more (`broken`): nothing after it is read. A line feed between a counted message
and the next length is passed over, for some senders count it and some do not.

Of a message that is too long its first MAX_DATAGRAM_BYTES + 1 bytes are given, which parse() refuses, and the rest is passed over; but
not where it is longer than any syslogd may send, for then the length is none. An empty line is no message.

Kept between two calls is at most one message that is not whole. However the bytes are cut into reads, the same frames come out.
"""

import re
from dataclasses import dataclass

from syslogauth.core.message import MAX_DATAGRAM_BYTES

CUT_AT = MAX_DATAGRAM_BYTES + 1
LENGTH = re.compile(rb"\n*([1-9]\d{0,6}) ")  # less than 10 MB: rsyslog's and syslog-ng's largest messages are set below that
LENGTH_BEGUN = re.compile(rb"\n*(?:[1-9]\d{0,6})?")
DIGITS = b"0123456789"
DELIMITER = re.compile(rb"[\n\0]")


@dataclass(slots=True)
class Framing:
    """One connection. `counted` is None until its first byte has come."""

    counted: bool | None = None
    broken: bool = False
    _delimiter: bytes = b""  # of a connection that is not counted, once one has come
    _rest: bytes = b""
    _skipped: int = 0  # how much of a counted message is still to be passed over
    _skipping: bool = False  # up to the next delimiter

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole with this, in order."""
        if self.broken or not data:
            return []
        if self.counted is None:
            self.counted = data[:1] in DIGITS
        return self._counted(data) if self.counted else self._delimited(data)

    @property
    def begun(self) -> bool:
        """Whether a message has begun that is not whole yet."""
        return bool(self._rest or self._skipped or self._skipping)

    def _delimited(self, data: bytes) -> list[bytes]:
        if not self._delimiter and (found := DELIMITER.search(data)):
            self._delimiter = found[0]
        if not self._delimiter:
            lines, rest = [], self._rest + data
        elif self._skipping:
            _, ended, data = data.partition(self._delimiter)
            self._skipping = not ended
            *lines, rest = data.split(self._delimiter)
        else:
            *lines, rest = (self._rest + data).split(self._delimiter)
        if self._skipping:
            rest = b""
        elif len(rest) >= CUT_AT:
            lines.append(rest)
            self._skipping, rest = True, b""
        self._rest = rest
        return [line[:CUT_AT] for line in lines if line]

    def _counted(self, data: bytes) -> list[bytes]:
        at = min(self._skipped, len(data))
        self._skipped -= at
        data = self._rest + data  # nothing, where something was passed over
        frames = []
        while at < len(data) and (found := LENGTH.match(data, at)):
            length, begin = int(found[1]), found.end()
            if len(data) - begin < min(length, CUT_AT):
                break
            frames.append(data[begin : begin + min(length, CUT_AT)])
            at = min(begin + length, len(data))
            self._skipped = begin + length - at
        else:
            self.broken = LENGTH_BEGUN.fullmatch(data, at) is None
        self._rest = data[at:].lstrip(b"\n")
        return frames
