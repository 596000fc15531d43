"""What the fuzzer begins with: every line that the formats show, under the headers, and the words that their lines are made of."""

import re
from collections.abc import Iterator
from itertools import count

from syslogauth.core.formats import FORMATS
from syslogauth.core.formats.grammar import Format
from tests.fuzz.one_input import encode
from tests.headers import HEADERS

SUMMARY = b"<22>Nov 22 10:28:45 last message repeated 3 times"
WITH_PROCID = [number for number, header in enumerate(HEADERS) if b"%s[733]: " in header]
WORD = re.compile(rb"[A-Za-z0-9_.-]{2,24}[=:<\[(\"'`]{0,2} ?")
SEPARATORS = (
    *(b", ", b"; ", b": ", b" - ", b" -- ", b"]", b"[", b"(", b")", b"<", b">", b'"', b"'", b"`", b"=", b"\t", b"\n", b"\r\n", b"\0"),
    *(b"\\", b"|", b"@", b"\x1e\x1e\0\0", b"\x1e\x1e\0\x1e", b"\x1e\x1e ", b"9.9.9.9", b"::ffff:9.9.9.9", b"2001:db8::9", b"rip=9.9.9.9"),
    *(b"[9.9.9.9]", b"host=[9.9.9.9]", b"last message repeated 3 times", b"message repeated 2 times: [ ", b"Forwarded from m2: "),
    *(b"[ID 583609 mail.info] ", b"<mail.info> ", b"mail.info: ", b"@400000004c91b044077a9e94 ", b"2026-11-22T10:28:45Z ", b"1 - - "),
)


def seeds() -> Iterator[bytes]:
    """Each line under two headers in turn, so that all come with many lines; a login of each format under every one."""
    turn = count()

    def under_headers(tag: str, text: str) -> Iterator[bytes]:
        for _ in range(2):
            yield encode((tag.encode(), text.encode()), header=next(turn) % (len(HEADERS) + 1))

    for form in FORMATS:
        for sample in form.samples:
            yield from under_headers(sample.app_name, sample.text)
        for tag, text in form.near_misses:
            yield from under_headers(tag, text)
        for sequence in form.sequences:
            tag = sequence.app_name.encode()
            lines = [(tag, text.encode()) for text in sequence.texts]
            for header in WITH_PROCID:
                yield encode(*lines, header=header)
            yield encode(*lines[:1], (tag, b"something else"), *lines[1:], header=WITH_PROCID[0])
        logins = [(sample.app_name.encode(), sample.text.encode()) for sample in form.samples if not sample.own_log]
        for tag, text in form.logouts:
            yield encode(*logins[:1], (tag.encode(), text.encode()), header=WITH_PROCID[next(turn) % len(WITH_PROCID)])
        for header in range(len(HEADERS)) if logins else ():
            yield encode(logins[0], header=header)
            yield encode(logins[0], peer=next(turn) % 8, header=header)
        for tag, text in logins[:1]:
            yield encode((tag, b"LOGIN FAILED, user=" + b"a" * 486), (tag, text), header=0)
            yield encode((tag, b"LOGIN FAILED, user=a"), (tag, text), header=WITH_PROCID[0])
            yield encode((b"", HEADERS[0] % tag + text), (b"", SUMMARY), (b"", SUMMARY))


def dictionary() -> str:
    """A libFuzzer dictionary: separators, and the words and keys of all lines."""
    texts = [text.encode() for form in FORMATS for text in _texts(form)]
    words = {*SEPARATORS, *(word for text in texts for word in WORD.findall(text)), *(tag for form in FORMATS for tag in form.app_names)}
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in sorted(words))


def _texts(form: Format) -> Iterator[str]:
    yield from (sample.text for sample in form.samples)
    yield from (text for sequence in form.sequences for text in sequence.texts)
    yield from (text for _, text in form.logouts)
