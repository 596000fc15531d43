"""policy.store_users = false: no name of a user anywhere on the disk, and the limit by user goes on."""

import json
import shutil
import time
from pathlib import Path

import pytest

from syslogauth import config
from syslogauth.assembly import intake_of, policy_of
from syslogauth.core.batch import Batch
from syslogauth.core.login import Grant
from syslogauth.core.policy import PSEUDONYM_BYTES, pseudonym
from syslogauth.limits import Limits
from syslogauth.record import Bounds
from syslogauth.table import Table
from tests.site import Site

NOW = 1_795_429_725.0
PRIVATE = "[policy]\nstore_users = false\n"
NAME = "mallory"
ADDRESSES = [bytes((192, 0, 2, number)) for number in range(1, 5)]


def login(name: str = NAME, address: str = "192.0.2.25") -> Batch:
    line = f"<22>Nov 23 10:28:45 mail1 dovecot: imap-login: Login: user=<{name}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=80"
    return Batch.of([(line.encode(), ("127.0.0.1", 514))])


def grant(address: bytes, user: str = NAME, at: float = NOW) -> Grant:
    return Grant(address, at + 1800, at, "imap", "dovecot", user, "mail1", "::1/128")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.make()
    made.config.write_text(made.text.replace("[policy]\n", PRIVATE))
    return made


def test_a_grant_names_its_user_by_default_and_bears_a_pseudonym_where_names_are_not_stored() -> None:
    named = intake_of(config.parse("")).feed(login(), NOW)
    hidden = intake_of(config.parse(PRIVATE), b"key").feed(login(), NOW)
    without = intake_of(config.parse(PRIVATE)).feed(login(), NOW)
    assert [NAME, pseudonym(b"key", NAME), ""] == [found.user for found in (*named, *hidden, *without)]


def test_a_pseudonym_is_the_same_for_the_same_user_and_key_alone() -> None:
    one = pseudonym(b"key", NAME)
    assert (PSEUDONYM_BYTES, "#") == (len(one), one[0])
    assert one == pseudonym(b"key", NAME)
    assert 4 == len({one, pseudonym(b"another", NAME), pseudonym(b"key", "bob"), pseudonym(b"key", NAME.upper())})
    assert ("", "") == (pseudonym(b"key", ""), pseudonym(b"", NAME))
    assert PSEUDONYM_BYTES == len(pseudonym(b"key", "\udcff" + "x" * 9999))


def test_rules_go_by_the_name_though_it_is_not_stored() -> None:
    rule = f'{PRIVATE}[[policy.rule]]\nuser = ["{NAME}"]\nrefuse = true\n'
    intake = intake_of(config.parse(rule), b"key")
    assert [] == intake.feed(login(), NOW)
    assert 1 == len(intake.feed(login("bob"), NOW))


def test_the_limit_by_user_goes_on(tmp_path: Path) -> None:
    intake = intake_of(config.parse(PRIVATE + "never_own = false\nnever_networks = []\n"), b"key")
    table = Table(tmp_path / "table", 100, Bounds(1800, 3600), limits=Limits(per_user=2))
    for number in range(1, 5):
        for name in (NAME, "bob"):
            table.commit(intake.feed(login(name, f"10.{len(name)}.0.{number}"), NOW), NOW)
    users = [entry.user for entry in table.entries()]
    table.close()
    assert {pseudonym(b"key", NAME): 2, pseudonym(b"key", "bob"): 2} == {user: users.count(user) for user in users}


@pytest.mark.parametrize("per_user", [0, 2], ids=["without an index", "with an index by user"])
def test_names_that_are_there_leave_the_table_and_nothing_else_changes(tmp_path: Path, per_user: int) -> None:
    table = Table(tmp_path / "table", 100, Bounds(1800, 3600), limits=Limits(per_user=per_user))
    kept = pseudonym(b"key", "bob")
    table.commit([grant(ADDRESSES[0]), grant(ADDRESSES[1], kept), grant(ADDRESSES[2], "")], NOW)
    table.grant(ADDRESSES[3], 600, "a note is no name", NOW)
    before = {entry.address: entry for entry in table.entries()}
    table.forget_users()
    after = {entry.address: entry for entry in table.entries()}
    assert {**before, ADDRESSES[0]: before[ADDRESSES[0]]._replace(user="")} == after
    table.commit([grant(bytes((192, 0, 2, number))) for number in (11, 12)], NOW)  # the one that left is counted no more
    assert 2 == sum(entry.user == NAME for entry in table.entries())
    table.close()


def test_thousands_of_names_leave_in_slices(tmp_path: Path) -> None:
    table = Table(tmp_path / "table", 10_000, Bounds(1800, 3600))
    table.commit([grant((0x0A000000 + number).to_bytes(4), f"user{number}") for number in range(5000)], NOW)
    table.forget_users()
    assert {""} == {entry.user for entry in table.entries()}
    table.close()


def test_replay_and_restore_store_no_name(site: Site) -> None:
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime())
    log = site.directory / "maillog"
    log.write_bytes(login().datagram(0).replace(b"<22>Nov 23 10:28:45", stamp.encode()) + b"\n")
    assert 0 == site.ask("replay", str(log)).returncode
    assert [""] == [row["user"] for row in json.loads(site.ask("list", "--json").stdout)]
    table = site.table()
    table.commit([grant(ADDRESSES[0], at=time.time())], time.time())
    table.close()
    backup = site.directory / "backup"
    assert 0 == site.ask("backup", str(backup)).returncode
    assert NAME in backup.read_text()
    shutil.rmtree(site.state / "table")
    assert 0 == site.ask("restore", str(backup)).returncode
    assert ["", ""] == [row["user"] for row in json.loads(site.ask("list", "--json").stdout)]
    assert NAME not in (site.state / "audit.log").read_text()


def test_list_says_that_no_names_are_stored(site: Site) -> None:
    done = site.ask("list", "--user", NAME)
    assert (0, True) == (done.returncode, "names of users are not stored (policy.store_users = false)" in done.stderr)
    assert "" == site.ask("list", "--user", pseudonym(b"key", NAME)).stderr


def test_names_in_the_log_alone_are_a_mistake() -> None:
    with pytest.raises(config.ConfigError) as raised:
        config.parse(PRIVATE + "[log]\nusers = true\n")
    expected = "defaults: log.users: would write the names that policy.store_users = false keeps out; set one of them the other way"
    assert expected == str(raised.value)


def test_policy_names_users_unless_it_is_told_otherwise() -> None:
    assert (None, b"") == (policy_of(config.parse("")).pseudonym_key, policy_of(config.parse(PRIVATE)).pseudonym_key)
