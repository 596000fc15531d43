import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from syslogauth.ownership import owner_of, take_lock
from tests.appliance import clean_environment
from tests.needs import need


def test_a_lock_is_had_once_until_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    held = take_lock(path)
    assert held is not None
    path.write_text("4711")
    assert take_lock(path) is None
    assert "4711" == path.read_text()
    os.close(held)
    again = take_lock(path)
    assert again is not None
    os.close(again)
    assert 0o600 == path.stat().st_mode & 0o7777


def test_a_lock_that_another_has_costs_no_descriptor(tmp_path: Path) -> None:
    held = take_lock(tmp_path / "lock")
    assert held is not None
    lowest = os.dup(held)
    os.close(lowest)
    for _ in range(10):
        assert take_lock(tmp_path / "lock") is None
    assert lowest == os.dup(held)
    os.close(lowest)
    os.close(held)


def test_a_lock_that_cannot_be_made_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take_lock(tmp_path / "missing" / "lock")


# root


NOBODY = pwd.getpwnam("nobody")
OWN = (NOBODY.pw_uid, NOBODY.pw_gid)


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory of nobody's, in group 0, that root's sendmail may read the map in it."""
    need("root")
    directory = tmp_path_factory.mktemp("ownership")
    for folder in (directory, *directory.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder.parent != Path("/"):
            folder.chmod(0o755)
    os.chown(directory, NOBODY.pw_uid, 0)
    return directory


def in_a_process(program: str, *words: str) -> object:
    """What a program, which has imported `ownership`, prints as JSON. Root's group 0 is among its supplementary groups."""
    whole = f"import json, os, sys; from syslogauth import ownership; {program}"
    command = [sys.executable, "-c", whole, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=clean_environment(), extra_groups=[0, NOBODY.pw_gid]
    )
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def test_an_owner_comes_with_his_own_group(state: Path) -> None:
    assert 0 != NOBODY.pw_gid
    assert OWN == owner_of(state)


def test_an_owner_without_a_name_has_the_directorys_group(state: Path) -> None:
    os.chown(state, 54321, 54322)
    with pytest.raises(KeyError):
        pwd.getpwuid(54321)
    assert (54321, 54322) == owner_of(state)


def test_a_lock_made_by_root_is_the_owners(state: Path) -> None:
    held = take_lock(state / "daemon.lock")
    assert held is not None
    os.close(held)
    assert OWN == owner(state / "daemon.lock")


def test_what_a_command_makes_as_the_owner_is_in_his_own_group(state: Path) -> None:
    program = "ownership.act_as_owner(sys.argv[1]); open(sys.argv[1] + '/audit.log', 'x').close(); print(json.dumps(os.getgroups()))"
    assert [] == in_a_process(program, str(state))
    assert OWN == owner(state / "audit.log")


GIVE_UP = """
said = ownership.give_up_root(sys.argv[1])
regained = []
for take in (lambda: os.seteuid(0), lambda: os.setegid(0), lambda: os.setgroups([0])):
    try:
        take()
        regained.append(True)
    except PermissionError:
        regained.append(False)
print(json.dumps([said, os.getresuid(), os.getresgid(), os.getgroups(), regained]))
"""


def test_root_is_given_up_for_good(state: Path) -> None:
    uid, gid = OWN
    groups = os.getgrouplist(NOBODY.pw_name, gid)  # his own, and none of root's
    assert 0 not in groups
    assert [True, [uid] * 3, [gid] * 3, groups, [False] * 3] == in_a_process(f"\n{GIVE_UP}", str(state))


def test_root_stays_root_where_the_directory_is_its_own_and_says_so(state: Path) -> None:
    os.chown(state, 0, NOBODY.pw_gid)
    said, uids, *_ = in_a_process(f"\n{GIVE_UP}", str(state))  # type: ignore[misc, attr-defined]
    assert (False, [0, 0, 0]) == (said, uids)
