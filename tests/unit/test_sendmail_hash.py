import os
import struct
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton

import pytest

from syslogauth.exports import EXPORTS, hash2, hash9
from syslogauth.exports.sendmail_hash import HEAD_BYTES, detect, identify, map_keys, read_by

# What `sendmail -d0.1 -bt </dev/null` prints, as far as it matters.
DEBIAN_12 = """\
Version 8.17.1.9
 Compiled with: DNSMAP IPV6_FULL LDAPMAP LDAP_NETWORK_TIMEOUT
\t\tMIME7TO8 MIME8TO7 NAMED_BIND NETINET NETINET6 NETUNIX NEWDB=5.3
\t\tNIS NISPLUS PIPELINING SASLv2 SCANF SOCKETMAP STARTTLS
"""
FREEBSD = """\
Version 8.18.1
 Compiled with: DANE DNSMAP IPV6_FULL LOG MAP_REGEX MATCHGECOS MILTER
\t\tMIME7TO8 MIME8TO7 NAMED_BIND NETINET NETINET6 NETUNIX NEWDB NIS
\t\tPICKY_HELO_CHECK PIPELINING SASLv2 SCANF STARTTLS TCPWRAPPERS
"""
CDB_ONLY = " Compiled with: CDB=2 DNSMAP LOG MAP_REGEX MATCHGECOS MILTER MIME7TO8\n"
CDB = struct.pack("<512I", *[2048, 0] * 256)
CDB_WITH_KEYS = struct.pack("<512I", 2100, 2, *[2116, 0] * 255)


@pytest.mark.parametrize(
    ("address", "form", "prefix", "expected"),
    [
        ("192.0.2.1", "full", "", ["192.0.2.1"]),
        ("192.0.2.1", "both", "POP:", ["pop:192.0.2.1"]),
        ("2001:db8:0:ab::c0de", "full", "", ["ipv6:2001:db8:0:ab:0:0:0:c0de"]),
        ("2001:db8:0:ab::c0de", "compressed", "", ["ipv6:2001:db8:0:ab::c0de"]),
        ("2001:db8:0:ab::c0de", "both", "", ["ipv6:2001:db8:0:ab:0:0:0:c0de", "ipv6:2001:db8:0:ab::c0de"]),
        ("2001:db8:1:2:3:4:5:6", "both", "", ["ipv6:2001:db8:1:2:3:4:5:6"]),
        ("fd00::5", "full", "POP:", ["pop:ipv6:fd00:0:0:0:0:0:0:5"]),
        ("fd00::5", "compressed", "", ["ipv6:fd00::5"]),
        ("::1", "full", "", ["ipv6:0:0:0:0:0:0:0:1"]),
        ("::1", "compressed", "", ["ipv6:::1"]),
        ("::ffff:192.0.2.1", "full", "", ["192.0.2.1"]),
        ("FD00::ABCD", "full", "", ["ipv6:fd00:0:0:0:0:0:0:abcd"]),
    ],
)
def test_keys_are_what_sendmail_looks_up(address: str, form: str, prefix: str, expected: list[str]) -> None:
    packed = inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    assert tuple(key.encode() for key in expected) == map_keys(packed, form, prefix)


def test_an_unknown_form_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="'short' is no form"):
        map_keys(bytes(16), "short", "")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(hash9.render([b"192.0.2.1"]), "hash9", id="our own, version 9"),
        pytest.param(hash2.render([b"192.0.2.1"]), "hash2", id="our own, 1.85"),
        pytest.param(bytes(12) + struct.pack("<2I", 0x061561, 8), "hash9", id="libdb 4.2 to 4.5"),
        pytest.param(bytes(12) + struct.pack(">2I", 0x061561, 9), "hash9", id="libdb on a big-endian host"),
        pytest.param(bytes(12) + struct.pack("<2I", 0x061561, 10), "hash10", id="libdb 6"),
        pytest.param(bytes(12) + struct.pack("<2I", 0x061561, 5), "hash5", id="libdb 2"),
        pytest.param(struct.pack(">2I", 0x061561, 1) + bytes(12), "hash1", id="before 1.85"),
        pytest.param(bytes(12) + struct.pack("<2I", 0x053162, 9), "btree", id="btree"),
        pytest.param(struct.pack("<2I", 0x053162, 3) + bytes(12), "btree", id="btree of 1.85"),
        pytest.param(bytes(12) + struct.pack("<2I", 0x042253, 4), "queue", id="queue"),
        pytest.param(CDB, "cdb", id="empty cdb"),
        pytest.param(CDB_WITH_KEYS, "cdb", id="cdb"),
        pytest.param(CDB[:-1], None, id="half a cdb header"),
        pytest.param(b"", None, id="empty"),
        pytest.param(bytes(HEAD_BYTES), None, id="zeros"),
        pytest.param(b"192.0.2.1\tOK\n" * 200, None, id="the text that makemap reads"),
        pytest.param(bytes(12) + struct.pack("<I", 0x061561), None, id="cut off behind the magic number"),
    ],
)
def test_a_map_is_known_by_its_first_bytes(head: bytes, expected: str | None) -> None:
    assert expected == identify(head[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("output", "platform", "expected"),
    [
        pytest.param(DEBIAN_12, "linux", "hash9", id="Debian 12"),
        pytest.param(FREEBSD, "freebsd14", "hash2", id="FreeBSD"),
        pytest.param(FREEBSD, "linux", "hash9", id="Linux, before 8.16"),
        pytest.param(" Compiled with: NEWDB=1.85 NIS\n", "linux", "hash2", id="1.85 on Linux"),
        pytest.param(" Compiled with: NEWDB=18.1 NIS\n", "freebsd14", "makemap", id="the port with db18"),
        pytest.param(" Compiled with: NEWDB=4.5\n", "linux", "makemap", id="version 8 only"),
        pytest.param(" Compiled with: NEWDB=4.8\n", "linux", "hash9", id="version 9"),
        pytest.param(CDB_ONLY, "linux", "cdb", id="no Berkeley DB"),
        pytest.param(" Compiled with: CDB=1 NEWDB=5.3\n", "linux", "hash9", id="hash is hash where both are there"),
        pytest.param(" Compiled with: LOG OLDNEWDB\n", "linux", None, id="neither"),
        pytest.param("", "linux", None, id="no sendmail"),
    ],
)
def test_a_sendmail_says_what_it_reads(output: str, platform: str, expected: str | None) -> None:
    assert expected == read_by(output, platform)


def make_sendmail(directory: Path, output: str) -> str:
    """A program that prints what a sendmail prints."""
    program = directory / "sendmail"
    (directory / "said").write_text(output)
    program.write_text(f'#!/bin/sh\n[ "$*" = "-d0.1 -bt" ] && cat "{directory}/said"\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("live", "siblings", "output", "platform", "expected"),
    [
        pytest.param(hash2.render([]), [hash9.render([])], DEBIAN_12, "linux", "hash2", id="the map that is there counts first"),
        pytest.param(CDB, [], DEBIAN_12, "linux", "cdb", id="even one that is not written here"),
        pytest.param(b"", [hash2.render([])], DEBIAN_12, "linux", "hash2", id="then the other maps"),
        pytest.param(None, [b"?", hash2.render([]), hash9.render([]), hash9.render([])], "", "freebsd14", "hash9", id="most of them"),
        pytest.param(bytes(12) + struct.pack("<2I", 0x053162, 9), [], DEBIAN_12, "freebsd14", "hash9", id="a btree is no hash: sendmail"),
        pytest.param(None, [], DEBIAN_12, "freebsd14", "hash9", id="then sendmail"),
        pytest.param(None, [], "", "openbsd7", "hash2", id="last the platform"),
        pytest.param(None, [], "", "linux", "hash9", id="or the other platform"),
    ],
)
def test_the_format_is_detected(
    tmp_path: Path, live: bytes | None, siblings: list[bytes], output: str, platform: str, expected: str
) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    for number, image in enumerate(siblings):
        (mail / f"{number}.db").write_bytes(image)
    map_path = tmp_path / "popauth.db"
    if live is not None:
        map_path.write_bytes(live)
    assert expected == detect(map_path, mail, make_sendmail(tmp_path, output), platform)


def test_detection_does_without_sendmail_and_its_directory(tmp_path: Path) -> None:
    assert "hash9" == detect(tmp_path / "popauth.db", tmp_path / "none", str(tmp_path / "sendmail"), "linux")


def test_every_format_that_can_be_detected_on_a_known_platform_is_written(tmp_path: Path) -> None:
    for platform in ("linux", "freebsd14", "netbsd10", "openbsd7", "dragonfly6"):
        assert detect(tmp_path / "popauth.db", tmp_path, os.devnull, platform) in EXPORTS
