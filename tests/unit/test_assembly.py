"""From the configuration to each part's values: what is declared of sources, the policy, the bounds and the limits of the table."""

from pathlib import Path

import pytest

from syslogauth.assembly import file_escapes, policy_of, recogniser_of, sources_of, table_of, unescaping
from syslogauth.config import parse
from syslogauth.core.address import pack
from syslogauth.core.formats.grammar import message_of
from syslogauth.core.login import Login
from syslogauth.limits import Limits
from syslogauth.record import Bounds

DECLARED = """
[listen]
accept_without_pri = ["192.0.2.0/24"]
[[listen.source]]
peers = ["192.0.2.1", "198.51.100.0/24"]
files = ["/var/log/rsyslog/*"]
escapes = true
[[listen.source]]
peers = ["198.51.100.9"]
files = ["/var/log/rsyslog/socklog*", "/srv/log/mail"]
escapes = false
"""


@pytest.mark.parametrize(
    ("address", "with_priority", "escapes"),
    [
        ("203.0.113.1", True, True),  # undeclared
        ("203.0.113.1", False, False),
        ("192.0.2.1", False, True),
        ("192.0.2.2", False, False),
        ("198.51.100.8", True, True),
        ("198.51.100.9", True, False),  # both, in whichever order: a single no counts
        ("198.51.100.9", False, False),
    ],
)
def test_a_sender_escapes_as_declared_or_else_where_it_sends_a_priority(address: str, with_priority: bool, escapes: bool) -> None:
    assert escapes == sources_of(parse(DECLARED)).escape(pack(address) or b"", with_priority)


@pytest.mark.parametrize(
    ("path", "escapes"),
    [
        ("/var/log/maillog", None),
        ("/var/log/rsyslog/maillog", True),
        ("/var/log/rsyslog/2026/11/maillog.gz", True),
        ("/var/log/rsyslog/socklog.1", False),
        ("/srv/log/mail", False),
        ("/srv/log/mail.1", None),
    ],
)
def test_what_is_declared_of_a_file(path: str, escapes: bool | None) -> None:
    assert escapes is file_escapes(parse(DECLARED), path)


@pytest.mark.parametrize(
    ("policy", "hold_max_seconds"),
    [("", 0.0), ("hold_max_seconds = 60", 0.0), ("hold_while_connected = true\nhold_max_seconds = 60", 60.0)],
)
def test_grants_are_held_only_where_it_is_asked_for(policy: str, hold_max_seconds: float) -> None:
    assert hold_max_seconds == policy_of(parse(f"[policy]\n{policy}")).hold_max_seconds


RULES = """
[[policy.rule]]
user = ["a"]
grace_seconds = 60
[[policy.rule]]
user = ["b"]
refuse = true
[[policy.rule]]
user = ["c"]
grace_seconds = 7200
"""


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("", Bounds(1800, 31536000, 0)),
        (RULES, Bounds(7200, 31536000, 0)),
        ("[policy]\ngrace_seconds = 9000" + RULES, Bounds(9000, 31536000, 0)),
        ("[policy]\nhold_while_connected = true\nhold_max_seconds = 600\nmax_manual_seconds = 5" + RULES, Bounds(7200, 5, 7800)),
    ],
)
def test_the_longest_grace_of_all_rules_bounds_what_the_table_honours(tmp_path: Path, text: str, bounds: Bounds) -> None:
    table = table_of(parse(f'state_directory = "{tmp_path}"\n' + text))
    try:
        assert bounds == table.bounds
    finally:
        table.close()


def test_the_limits_reach_the_table(tmp_path: Path) -> None:
    limits = "max_addresses_per_user = 3\nmax_addresses_per_ipv6_64 = 4\nmax_new_grants_per_minute = 5"
    table = table_of(parse(f'state_directory = "{tmp_path}"\n[policy]\n{limits}'))
    try:
        assert Limits(per_user=3, per_ipv6_64=4, new_per_minute=5) == table.limits
    finally:
        table.close()


SITE = """
[listen.app_names]
"mypop2" = "mypopd"
"dovecot-front" = "dovecot"
[[format]]
name = "mypop"
app_name = "mypopd"
pattern = 'login (?P<user>[^ ]{1,64}) from (?P<address>[0-9A-Fa-f:.]{2,45})'
service = "pop3"
samples = [{ text = "login bob from 192.0.2.25", address = "192.0.2.25", user = "bob" }]
near_misses = ["failed login bob from 192.0.2.25"]
"""


@pytest.mark.parametrize(
    ("app_name", "text", "server"),
    [
        ("mypopd", "login bob from 192.0.2.25", "mypop"),
        ("mypop2", "login bob from 192.0.2.25", "mypop"),
        ("dovecot-front", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1", "dovecot"),
        ("dovecot", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1", "dovecot"),
    ],
)
def test_the_site_s_tags_and_formats_are_recognised_beside_the_known_ones(app_name: str, text: str, server: str) -> None:
    config = parse(SITE)
    login = recogniser_of(config).recognise(message_of(app_name, text))
    assert isinstance(login, Login)
    assert server == login.server
    assert {"uw", "mypop"} <= set(unescaping(config))
