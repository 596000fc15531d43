"""What the configuration says of TCP, TLS and files, and each mistake in it."""

from pathlib import Path

import pytest

from syslogauth.assembly import sources_of
from syslogauth.config import ConfigError, Endpoint, parse
from tests.authority import Authority, Pair

PEER = '[[tls.peer]]\nname = "mail1"\nsubjects = ["mail1.example.org"]\n'
TLS = '[listen]\ntls = ["127.0.0.1:6514"]\n[tls]\ncertificate = "/c"\nkey = "/k"\nclient_ca = "/a"\n'
SHA = "AB:" * 31 + "AB"

BAD = [  # one mistake each: the file, and the line about it
    (
        "[listen]\nudp = []",
        'listen: udp, tcp, tls and file are all empty, so that nothing would be read; write udp = ["127.0.0.1:5140"]',
    ),
    ('[listen]\ntcp = ["514"]', 'listen.tcp: \'514\' is not ADDRESS:PORT; write "127.0.0.1:5140" or "[::1]:5140", with a literal address'),
    ('[listen]\nfile = ["maillog"]', "listen.file: 'maillog' is not an absolute path; begin it with /"),
    ("[listen]\nmax_connections = 0", "listen.max_connections: 0 connections is out of range; write one from 1 to 65536"),
    ("[listen]\nmax_connections_per_peer = 0", "listen.max_connections_per_peer: 0 connections is out of range; write one from 1 to 65536"),
    (
        '[listen]\ntls = ["127.0.0.1:6514"]',
        "listen.tls: needs [tls] with certificate, key and client_ca, and a [[tls.peer]] for each peer; write them",
    ),
    (
        TLS.replace("[listen]", '[listen]\ntcp = ["127.0.0.1:6514"]') + PEER,
        "listen.tls: 127.0.0.1:6514 is listed in listen.tcp too; give each a port of its own",
    ),
    (TLS.replace('key = "/k"\n', "") + PEER, "tls.key: is missing, and listen.tls needs it; write the path of a PEM file"),
    (TLS, "tls.peer: there is none, so that every certificate would be refused; write a [[tls.peer]] with name and subjects"),
    (TLS.replace('"/k"', '"k"') + PEER, "tls.key: 'k' is not an absolute path; begin it with /"),
    ('[[tls.peer]]\nsubjects = ["a"]', "tls.peer.name: is missing; write what metrics and logs shall call this peer"),
    ('[[tls.peer]]\nname = "a b"\nsubjects = ["a"]', "tls.peer.name: 'a b' is no name; write 1 to 64 letters, digits, dots and the like, "),
    (PEER + PEER, "tls.peer[1].name: 'mail1' is there twice; put both into one block, or give each a name of its own"),
    (
        '[[tls.peer]]\nname = "a"',
        "tls.peer: lists no subjects and no fingerprints, so that no certificate is this peer's; write one of them",
    ),
    *(
        (
            f'[[tls.peer]]\nname = "a"\nsubjects = ["{text}"]',
            f"tls.peer.subjects: '{text}' is no DNS name; write one such as mail1.example.org, or *.example.org for all of a domain",
        )
        for text in ("", "*", "*.org", "mail*.example.org", "a.*.example.org", "mail1.example.org.", "CN=mail1")
    ),
    *(
        (
            f'[[tls.peer]]\nname = "a"\nfingerprints = ["{text}"]',
            f"tls.peer.fingerprints: '{text}' is no fingerprint; write sha256: and what `openssl x509 -noout -fingerprint -sha256` says",
        )
        for text in ("", SHA, "sha1:" + SHA, "sha256:" + SHA[3:], "sha256:" + "x" * 64)
    ),
    (
        PEER + '[[listen.source]]\ntls_peers = ["mail2"]\nescapes = true',
        "listen.source.tls_peers: 'mail2' is the name of no [[tls.peer]] (did you mean mail1?); write one that is",
    ),
    ("[[listen.source]]\nescapes = true", "listen.source: names no peers, no tls_peers and no files; write one of them"),
]


@pytest.mark.parametrize(("text", "mistake"), BAD, ids=[mistake[:50] for _, mistake in BAD])
def test_each_mistake_is_one_line(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "f")
    (said,) = raised.value.mistakes
    assert said.startswith(f"f: {mistake}")


def test_what_is_listed_is_listened_on_and_udp_may_be_left_out() -> None:
    config = parse(TLS.replace("[listen]", '[listen]\nudp = []\ntcp = ["[::1]:601"]\nfile = ["/var/log/maillog"]') + PEER)
    assert ((), (Endpoint("::1", 601),), (Endpoint("127.0.0.1", 6514),)) == (config.listen.udp, config.listen.tcp, config.listen.tls)
    assert ((Path("/var/log/maillog"),), ["mail1"]) == (config.listen.file, [peer.name for peer in config.tls.peer])


def test_subjects_and_fingerprints_are_read_in_any_case() -> None:
    sums = f'["SHA256:{SHA}", "sha256:{"0" * 64}"]'
    (peer,) = parse(f'[[tls.peer]]\nname = "a"\nsubjects = ["*.Example.ORG"]\nfingerprints = {sums}').tls.peer
    assert (("*.example.org",), ("ab" * 32, "0" * 64)) == (peer.subjects, peer.fingerprints)


@pytest.mark.parametrize(
    ("names", "fingerprint", "expected"),
    [
        (["mail1.example.org"], "", "mail1"),
        (["x.example.net", "MAIL1.example.org"], "", "mail1"),
        (["a.farm.example.org"], "", "farm"),
        (["*.farm.example.org"], "", "farm"),
        (["mail2.example.org"], "ab" * 32, "by sum"),
        (["farm.example.org"], "", None),
        (["a.b.farm.example.org"], "", None),
        (["*.example.org"], "", None),  # a wildcard of a certificate is no name of a peer's
        (["mail1.example.org.evil.example"], "", None),
        ([], "", None),
        (["mail1.example.org\0.evil.example"], "", None),
        (["a\0b.farm.example.org"], "", None),
        ([".farm.example.org"], "", None),
        (["\u212a1.farm.example.org"], "", None),  # its small letter is k
        (["evil.example,DNS:mail1.example.org"], "", None),
    ],
)
def test_a_certificate_is_of_the_first_peer_that_lists_it(names: list[str], fingerprint: str, expected: str | None) -> None:
    from syslogauth.core.peers import Certified, holder

    known = [
        Certified("mail1", ("mail1.example.org",), ()),
        Certified("farm", ("*.farm.example.org",), ()),
        Certified("by sum", (), ("ab" * 32,)),
        Certified("farm again", ("a.farm.example.org",), ()),
    ]
    assert expected == holder(known, names, fingerprint)


def test_declared_holders_reach_the_sources() -> None:
    text = PEER + '[[tls.peer]]\nname = "b"\nsubjects = ["b"]\n'
    text += '[[listen.source]]\ntls_peers = ["mail1"]\nescapes = true\n[[listen.source]]\ntls_peers = ["b"]\nescapes = false\n'
    sources = sources_of(parse(text))
    admitted = [sources.admit_holder(name, "192.0.2.1", counted=counted).escaped for name in ("mail1", "b") for counted in (False, True)]
    assert [True, True, False, False] == admitted


# the files, which are looked at before a start, by check-config and at a reload


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Pair, Pair]:
    authority = Authority.make(tmp_path_factory.mktemp("made"))
    return authority, authority.issue("ours", "log.example.org"), authority.issue("other", "x")


def mistakes(certificate: Path, key: Path, client_ca: Path) -> list[str]:
    text = TLS.replace('"/c"', f'"{certificate}"').replace('"/k"', f'"{key}"').replace('"/a"', f'"{client_ca}"') + PEER
    parse(text)  # nothing is looked at without being asked to
    try:
        parse(text, "f", check_paths=True)
    except ConfigError as error:
        return list(error.mistakes)
    return []


def test_files_that_serve_are_no_mistake(made: tuple[Authority, Pair, Pair]) -> None:
    authority, ours, _ = made
    assert [] == mistakes(ours.certificate, ours.key, authority.own.certificate)


def test_files_that_do_not_serve_are_a_mistake_that_says_which(made: tuple[Authority, Pair, Pair], tmp_path: Path) -> None:
    authority, ours, other = made
    ca, none, empty = authority.own.certificate, tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.write_text("")
    missing = f"{none} cannot be read (No such file or directory); let the user that syslogauth runs as read it, or name another"
    no_certificate = f"{empty} holds no certificate; make it PEM, with a line -----BEGIN CERTIFICATE-----"
    mend = "the key must be that of the (first) certificate, in PEM and without a passphrase"
    assert [f"f: tls.certificate: {missing}"] == mistakes(none, ours.key, ca)
    assert [f"f: tls.key: {missing}"] == mistakes(ours.certificate, none, ca)
    assert [f"f: tls.client_ca: {missing}"] == mistakes(ours.certificate, ours.key, none)
    assert [f"f: tls.certificate: {no_certificate}"] == mistakes(empty, ours.key, ca)
    assert [f"f: tls.client_ca: {no_certificate}"] == mistakes(ours.certificate, ours.key, empty)
    expected = f"f: tls: {ours.certificate}, {other.key} and {ca} do not serve (KEY_VALUES_MISMATCH); {mend}"
    assert [expected] == mistakes(ours.certificate, other.key, ca)
    (said,) = mistakes(ours.certificate, empty, ca)
    assert said.startswith(f"f: tls: {ours.certificate}, {empty} and {ca} do not serve (")


def test_a_key_with_a_passphrase_is_a_mistake_and_no_question_on_the_terminal(made: tuple[Authority, Pair, Pair], tmp_path: Path) -> None:
    from tests.authority import openssl

    authority, ours, _ = made
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", ours.key, "-aes256", "-passout", "pass:secret", "-out", locked)
    (said,) = mistakes(ours.certificate, locked, authority.own.certificate)
    assert "do not serve" in said
