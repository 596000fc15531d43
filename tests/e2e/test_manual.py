"""deploy/MANUAL.md: each command of it is run, in order, on a host of its own; and what each section promises is looked at."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.appliance import REPOSITORY
from tests.e2e.manual import READ, RUN, Host, administered_host, blocks, syntax_faults

MANUAL = REPOSITORY / "deploy/MANUAL.md"
ALICE, BOB, PRIVACY = "192.0.2.25", "192.0.2.26", "2001:db8:0:1::77"
LOGINS = [("carol@example.org", "192.0.2.27"), ("bob@example.org", BOB), ("dave@example.org", PRIVACY), ("alice@example.org", ALICE)]
NAMES = {"192.0.2.1": "pop.example.org", "2001:db8::1": "smtp.example.org"}
STATE = "/var/lib/syslogauth"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with administered_host(NAMES, LOGINS) as host:
        yield host


def live(host: Host) -> set[str]:
    return {row["address"] for row in json.loads(host.said("syslogauth list --json"))}


def in_the_map(host: Host) -> set[str]:
    return set(host.said("flock -s /etc/mail/popauth.db makemap -u hash /etc/mail/popauth | cut -f1").split())


def lose_the_table(host: Host) -> None:
    """Another host has another table."""
    host.said(f"rm -r {STATE}/table")


def lose_a_grant(host: Host) -> None:
    host.said("syslogauth grant 192.0.2.99 --seconds 600 --note moving")


def check_first_start(host: Host) -> None:
    assert {address for _, address in LOGINS} == live(host)
    assert "syslogauth" == host.said("stat -c %U /etc/mail/popauth.db").strip()


def check_backup(host: Host) -> None:
    assert "600 root" == host.said("stat -c '%a %U' /var/backups/syslogauth.gz").strip()
    command = host.said("sed 's/^.* root //; s/ >.*//' /etc/cron.d/syslogauth")
    assert f"/var/backups/syslogauth.gz: {len(LOGINS)} rows\n" == host.said(command)


def check_all_are_there(host: Host) -> None:
    assert {address for _, address in LOGINS} <= live(host)
    assert f"ipv6:{PRIVACY.replace('::', ':0:0:0:')}" in in_the_map(host)


def check_bob_is_out(host: Host) -> None:
    assert BOB not in live(host)
    assert 'user = ["bob@example.org"]' in host.said("cat /etc/syslogauth.toml")


def check_privacy(host: Host) -> None:
    assert "store_users = false" in host.said("cat /etc/syslogauth.toml")
    assert ALICE not in live(host)


def check_nothing_is_left(host: Host) -> None:
    left = host.said("find / -xdev /etc /var /usr/local -name '*syslogauth*' -not -path '*/run/*' 2>/dev/null || :").split()
    assert [] == [path for path in left if path.startswith(("/etc", "/var/lib/syslogauth", "/var/backups", "/usr/local"))]
    assert 0 != host.run("id syslogauth").returncode
    assert 0 != host.run("ls /etc/mail/popauth.db").returncode
    assert "" == host.said("pgrep -f '[s]yslogauth run' || :")


BEFORE: dict[tuple[str, int], Callable[[Host], None]] = {("Moving to another host", 2): lose_the_table}
AFTER: dict[str, Callable[[Host], None]] = {
    "First start, cold start, warm start": check_first_start,
    "Backup": check_backup,
    "Restore": check_all_are_there,
    "Moving to another host": check_all_are_there,
    "Upgrade": check_all_are_there,
    "A stolen password": check_bob_is_out,
    "Privacy": check_privacy,
    "Uninstall": check_nothing_is_left,
}


def test_every_command_of_the_manual_does_what_its_section_says(host: Host) -> None:
    found = [block for block in blocks(MANUAL) if block.kind in RUN]
    sections = list(dict.fromkeys(block.section for block in found))
    for section in sections:
        for number, block in enumerate(block for block in found if block.section == section):
            if (make := BEFORE.get((section, number))) is not None:
                make(host)
            done = host.run(block.text)
            assert 0 == done.returncode, f"{block}\n{block.text}\n{done.stdout}{done.stderr}{host.daemon()}"
            if section == "Uninstall" and number == 0:
                assert "0\n" == done.stdout  # the map is empty before anything else goes
        AFTER.get(section, lambda host: None)(host)
    assert set(AFTER) <= set(sections)


def test_the_rest_of_the_blocks_are_shell() -> None:
    found = blocks(MANUAL)
    assert {*RUN, *READ} == {block.kind for block in found}
    assert [] == syntax_faults([block for block in found if block.kind in READ])
