"""The settings that name others: rules, addresses for ever, sources, tags, files of networks, a site's own formats."""

import json
from pathlib import Path

import pytest

from syslogauth import blocks
from syslogauth.config import SECTIONS, Config, ConfigError, parse
from syslogauth.control import MAX_LINE_BYTES
from syslogauth.core import formats
from syslogauth.core.address import pack

SERVICES = "imap, pop3, submission, managesieve"
SERVERS = ", ".join(sorted(form.name for form in formats.FORMATS))
RULE = "[[policy.rule]]\nrefuse = true\n"
EITHER = "says neither or both of grace_seconds and refuse; write grace_seconds = N, or refuse = true"
EMPTY = "the list is empty, so that the rule would match nothing; leave the key out for any"
ESCAPES = "is missing; write true where it escapes a client's line feeds (rsyslog, the BSDs'), false where not"
NETWORKS = "write networks such as 192.0.2.0/24 or 2001:db8::/32, host bits zero"
TAGS = 'write { "dovecot-front" = "dovecot" }'
KNOWN_POLICY = ", ".join(sorted((*SECTIONS["policy"], "always", "rule")))
FORMAT = """
[[format]]
name = "mypop"
app_name = "mypopd"
pattern = 'login (?P<user>[^ ]{1,64}) from (?P<address>[0-9A-Fa-f:.]{2,45})'
service = "pop3"
samples = [{ text = "login bob from 192.0.2.25", address = "192.0.2.25", user = "bob" }]
near_misses = ["failed login bob from 192.0.2.25"]
"""

BAD = [  # one mistake each: the file, and the line about it
    ("[policy.rule]\nrefuse = true", "policy.rule: is not a list of tables; write it as [[policy.rule]], with two brackets"),
    ("[policy]\nrule = 5", "policy.rule: is not a list of tables; write it as [[policy.rule]], with two brackets"),
    ("[policy]\nrule = [5]", "policy.rule: is not a list of tables; write it as [[policy.rule]], with two brackets"),
    (
        "[[policy.rules]]\nrefuse = true",
        f"policy.rules: no such setting (did you mean rule?); known here: {KNOWN_POLICY}",
    ),
    (
        RULE + "users = []",
        "policy.rule.users: no such setting (did you mean user?); known here: grace_seconds, networks, refuse, server, service, user",
    ),
    ("[[policy.rule]]", f"policy.rule: {EITHER}"),
    ('[[policy.rule]]\nservice = ["imap"]', f"policy.rule: {EITHER}"),
    ("[[policy.rule]]\nrefuse = false", f"policy.rule: {EITHER}"),
    ("[[policy.rule]]\ngrace_seconds = 60\nrefuse = true", f"policy.rule: {EITHER}"),
    ('[[policy.rule]]\nrefuse = "yes"', "policy.rule.refuse: 'yes' is not true or false; write true or false"),
    ("[[policy.rule]]\ngrace_seconds = 0", "policy.rule.grace_seconds: 0 seconds is out of range; write one from 1 to 2678400"),
    (RULE + RULE + 'service = "imap"', "policy.rule[1].service: 'imap' is not a list; write it in brackets: [\"...\"]"),
    (RULE + 'service = ["pop"]', f"policy.rule.service: 'pop' is not known (did you mean pop3?); write one of {SERVICES}"),
    (RULE + 'server = ["dovcot"]', f"policy.rule.server: 'dovcot' is not known (did you mean dovecot?); write one of {SERVERS}"),
    (RULE + "server = [5]", "policy.rule.server: 5 is not a string in double quotes; write a string in double quotes"),
    (RULE + 'networks = ["x"]', f"policy.rule.networks: 'x' does not appear to be an IPv4 or IPv6 network; {NETWORKS}"),
    (RULE + 'user = "*@example.org"', "policy.rule.user: '*@example.org' is not a list; write it in brackets: [\"...\"]"),
    *((RULE + f"{key} = []", f"policy.rule.{key}: {EMPTY}") for key in ("service", "server", "networks", "user")),
    ('[policy.always]\naddress = "192.0.2.9"', "policy.always: is not a list of tables; write it as [[policy.always]], with two brackets"),
    ("[[policy.always]]", "policy.always.address: is missing; write the one address that may always relay"),
    (
        '[[policy.always]]\naddress = "192.0.2.0/24"',
        "policy.always.address: '192.0.2.0/24' is no address; "  # noqa: ISC004
        "write one such as 192.0.2.25 or 2001:db8::25 (a network cannot be looked up in the map)",
    ),
    (
        '[[policy.always]]\naddress = "192.0.2.9"\n[[policy.always]]\naddress = "::ffff:192.0.2.9"',
        "policy.always[1].address: is listed twice; write it once",
    ),
    (
        '[[policy.always]]\naddress = "192.0.2.9"\ncomment = 5',
        "policy.always.comment: 5 is not a string in double quotes; write a string in double quotes",
    ),
    ("[listen.source]\nescapes = true", "listen.source: is not a list of tables; write it as [[listen.source]], with two brackets"),
    ('[[listen.source]]\npeers = ["192.0.2.7"]', f"listen.source.escapes: {ESCAPES}"),
    ("[[listen.source]]\nescapes = true", "listen.source: names no peers, no tls_peers and no files; write one of them"),
    ("[[listen.source]]\nescapes = true\npeers = []", "listen.source: names no peers, no tls_peers and no files; write one of them"),
    ('[[listen.source]]\nescapes = true\nfiles = ["log"]', "listen.source.files: 'log' is not an absolute path; begin it with /"),
    (
        '[[listen.source]]\nescapes = 1\npeers = ["192.0.2.7"]',
        "listen.source.escapes: 1 is not true or false; write true or false",
    ),
    ('[listen]\napp_names = ["dovecot-front"]', f"listen.app_names: ['dovecot-front'] is not a table of tags; {TAGS}"),
    ("[listen.app_names]\nmine = 5", f"listen.app_names: {{'mine': 5}} is not a table of tags; {TAGS}"),
    (
        '[listen.app_names]\nsyslogauth = "dovecot"',
        "listen.app_names: 'syslogauth' is the tag of this program, whose messages are never read; give the server another",
    ),
    ('[listen.app_names]\n"my tag" = "dovecot"', "listen.app_names: 'my tag' is no tag; write it as syslog shows it before `[pid]:`"),
    (
        '[listen.app_names]\nfront = "dovcot"',
        "listen.app_names: 'dovcot' is the tag of no format (did you mean dovecot?); see: syslogauth formats",
    ),
    ('[listen.app_names]\nimapd = "dovecot"', "listen.app_names: 'imapd' is a tag of its own; take it out"),
    ("[policy]\nhold_while_connected = 1", "policy.hold_while_connected: 1 is not true or false; write true or false"),
    ("[policy]\nhold_max_seconds = 0", "policy.hold_max_seconds: 0 seconds is out of range; write one from 1 to 2678400"),
    *(
        (f"[policy]\n{key} = {number}", f"policy.{key}: {number} {unit} is out of range; write one from 0 to 100000000")
        for key, number, unit in (
            ("max_addresses_per_user", -1, "addresses"),
            ("max_addresses_per_ipv6_64", 100000001, "addresses"),
            ("max_new_grants_per_minute", -5, "grants"),
        )
    ),
    (
        "[policy]\nmax_addresses_per_user = 1.5",
        "policy.max_addresses_per_user: 1.5 is not a whole number of addresses; write it without quotes",
    ),
    ('[policy]\nnever_networks_files = ["never"]', "policy.never_networks_files: 'never' is not an absolute path; begin it with /"),
    ("[format]\nname = 5", "format: is not a list of tables; write it as [[format]], with two brackets"),
    (FORMAT.replace("mypop", "dovecot", 1), "format.name: dovecot is the name of a format that there is already; write another"),
    (FORMAT + FORMAT, "format[1].name: mypop is the name of a format that there is already; write another"),
    (
        FORMAT.replace("failed login", "login"),
        "format: near miss 'login bob from 192.0.2.25' gave 192.0.2.25",
    ),
]


@pytest.mark.parametrize(("text", "line"), BAD)
def test_a_mistake_is_one_line_that_says_where_what_and_how_to_mend_it(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml")
    assert (f"x.toml: {line}",) == raised.value.mistakes


def test_several_mistakes_are_told_together_each_with_the_number_of_its_table() -> None:
    text = (
        '[[policy.rule]]\nservice = ["pop"]\nrefuse = 1\n[[policy.rule]]\n[[policy.always]]\naddress = "x"\n'
        '[[listen.source]]\n[listen.app_names]\nfront = "x"\n[[format]]\n'
    )
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml")
    expected = [
        *("format.name", "format.app_name", "format.pattern", "format.samples", "format.near_misses"),
        *("listen.source.escapes", "listen.source", "policy.rule[0].service", "policy.rule[0].refuse", "policy.rule[1]"),
        *("policy.always.address", "listen.app_names"),
    ]
    assert sorted(expected) == sorted(mistake.split(": ")[1] for mistake in raised.value.mistakes)


def test_no_text_gives_the_defaults_of_the_contract() -> None:
    config = parse("")
    policy = config.policy
    assert (False, 43200, 256, 1024, 0) == (
        *(policy.hold_while_connected, policy.hold_max_seconds),
        *(policy.max_addresses_per_user, policy.max_addresses_per_ipv6_64, policy.max_new_grants_per_minute),
    )
    assert ((), {}, (), {}, (), {}) == (
        *(policy.rule, policy.always, config.listen.source, config.listen.app_names),
        *(config.format, config.files),
    )


def test_every_setting_is_taken(tmp_path: Path) -> None:
    (tmp_path / "never").write_text("198.51.100.0/24\n")
    config: Config = parse(
        f"""
        [listen]
        app_names = {{ front = "dovecot", mine = "mypopd" }}
        [[listen.source]]
        peers = ["192.0.2.0/28"]
        escapes = true
        [[listen.source]]
        files = ["/var/log/maillog*"]
        escapes = false
        [policy]
        never_networks_files = ["{tmp_path}/never"]
        hold_while_connected = true
        hold_max_seconds = 60
        max_addresses_per_user = 1
        max_addresses_per_ipv6_64 = 2
        max_new_grants_per_minute = 3
        [[policy.rule]]
        service = ["imap"]
        server = ["dovecot", "mypop"]
        networks = ["192.0.2.0/24"]
        user = ["b*"]
        grace_seconds = 7200
        [[policy.rule]]
        refuse = true
        [[policy.always]]
        address = "192.0.2.9"
        comment = "the copier"
        [[policy.always]]
        address = "2001:db8::9"
        """
        + FORMAT
    )
    policy, (first, second) = config.policy, config.policy.rule
    assert (frozenset({"imap"}), frozenset({"dovecot", "mypop"}), ("192.0.2.0/24",), 7200.0) == (
        *(first.services, first.servers, first.networks.texts if first.networks else (), first.grace_seconds),
    )
    assert (None, None, None, None, None) == (second.services, second.servers, second.networks, second.users, second.grace_seconds)
    assert {pack("192.0.2.9"): "the copier", pack("2001:db8::9"): ""} == policy.always
    assert (True, 60, 1, 2, 3) == (
        *(policy.hold_while_connected, policy.hold_max_seconds),
        *(policy.max_addresses_per_user, policy.max_addresses_per_ipv6_64, policy.max_new_grants_per_minute),
    )
    assert ("127.0.0.0/8", "::1/128", "198.51.100.0/24") == policy.never_networks.texts
    assert [(("192.0.2.0/28",), (), True), ((), (Path("/var/log/maillog*"),), False)] == [
        (source.peers.texts, source.files, source.escapes) for source in config.listen.source
    ]
    assert {b"front": b"dovecot", b"mine": b"mypopd"} == config.listen.app_names
    assert ["mypop"] == [form.name for form in config.format]


# files of networks


def with_files(*paths: Path) -> str:
    return f"[policy]\nnever_networks = []\nnever_networks_files = {json.dumps(list(map(str, paths)))}"


def test_a_file_of_networks_has_one_a_line_with_comments_and_blanks(tmp_path: Path) -> None:
    file = tmp_path / "never"
    file.write_text("# carriers\n\n192.0.2.0/24   # the first\n\t2001:db8::/32\r\n198.51.100.7\n  # none\u00e9")
    config = parse(with_files(file))
    assert ("192.0.2.0/24", "2001:db8::/32", "198.51.100.7") == config.policy.never_networks.texts
    assert {str(file): file.read_text()} == config.files


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be read (No such file or directory); make it a text with one network a line, or take it out"),
        (b"192.0.2.0/24\n\xff", "is no UTF-8; make it a text with one network a line"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, what: str) -> None:
    file = tmp_path / "never"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        parse(with_files(file), "x.toml")
    assert (f"x.toml: policy.never_networks_files: {file} {what}",) == raised.value.mistakes


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("192.0.2.0/24\n# x\nmail1 # y", 3, f"'mail1' does not appear to be an IPv4 or IPv6 network; {NETWORKS}"),
        ("192.0.2.1/24\nmail1", 1, f"192.0.2.1/24 has host bits set; {NETWORKS}"),
        ("192.0.2.0/24 198.51.100.0/24", 1, f"'192.0.2.0/24 198.51.100.0/24' does not appear to be an IPv4 or IPv6 network; {NETWORKS}"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    file = tmp_path / "never"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        parse(with_files(file), "x.toml")
    assert (f"x.toml: policy.never_networks_files: {file}: line {line}: {what}",) == raised.value.mistakes


def test_each_bad_file_has_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("y")
    with pytest.raises(ConfigError) as raised:
        parse(with_files(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
    assert 3 == len(raised.value.mistakes)


def test_files_too_large_to_be_handed_on_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 6 * blocks.FILES_CHARACTERS < MAX_LINE_BYTES
    monkeypatch.setattr(blocks, "FILES_CHARACTERS", 100)
    files = tmp_path / "a", tmp_path / "b"
    for file in files:
        file.write_text("#" * 50)
    parse(with_files(*files))
    files[0].write_text("#" * 51)
    with pytest.raises(ConfigError) as raised:
        parse(with_files(*files), "x.toml")
    what = "more than 100 characters in all; put networks together, and take comments out"
    assert (f"x.toml: policy.never_networks_files: {what}",) == raised.value.mistakes


def test_a_child_reads_what_its_parent_has_read_though_the_file_be_gone(tmp_path: Path) -> None:
    file = tmp_path / "never"
    file.write_text("192.0.2.0/24")
    text = with_files(file)
    parent = parse(text)
    file.write_text("198.51.100.0/24")
    assert ("198.51.100.0/24",) == parse(text).policy.never_networks.texts  # a reload
    file.unlink()
    child = parse(text, files=json.loads(json.dumps(parent.files)))
    assert ("192.0.2.0/24",) == child.policy.never_networks.texts
