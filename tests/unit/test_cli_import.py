"""`import`: what pop-before-smtp and its kin leave behind, as hash files of the real libraries and as texts."""

import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from syslogauth.core.address import Networks, canonical, pack
from syslogauth.exports import hash2, hash9
from syslogauth.importing import find, text_pairs
from tests.e2e.berkeleydb import libdb_185
from tests.needs import missing, need
from tests.site import A, B, C, Site
from tests.unit.inside import Inside

NEVER = Networks(("192.0.2.128/25", "2001:db8:dead::/48"))
FULL = "2001:db8:0:0:0:0:0:25"  # C as sendmail writes it


def outcomes(*lines: str) -> list[str]:
    """What each line of a text becomes: the address, or the word for what is wrong."""
    found = find(text_pairs(line.encode() + b"\n" for line in lines), ["relay-"], NEVER)
    return [one.wrong if one.address is None else canonical(one.address) for one in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),  # pop-before-smtp --list
        ("192.0.2.1 ok", "192.0.2.1"),
        ("192.0.2.1\tOK\n", "192.0.2.1"),  # makemap -u
        ("192.0.2.1\t1164195000", "192.0.2.1"),  # a time, as DRAC and poprelayd keep it
        ("POP:192.0.2.1\tok", "192.0.2.1"),  # popauth.m4
        ("Relay-192.0.2.1 ok", "192.0.2.1"),  # export.key_prefix of the site
        (f"IPv6:{FULL} ok", C),
        (f"pop:ipv6:{FULL}", C),
        ("2001:db8::25", C),
        ("2001:db8::25: bob@example.org, eve", C),  # cPanel's relayhostsusers
        ("2001:db8:: ok", "2001:db8::"),
        ("2001:db8::: bob", "2001:db8::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1: bob", "192.0.2.1"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("192.0.2.1 reject@example.org", "192.0.2.1"),  # a user, not a verdict
        ("192.0.2.1 4531", "192.0.2.1"),
        ("192.0.2.1 REJECT", "refused"),
        ("192.0.2.1 550 no relay", "refused"),
        ('192.0.2.1 ERROR:5.7.1:"550 no"', "refused"),
        ("192.0.2.1 no", "refused"),
        ("192.0.2.200 ok", "never"),
        ("2001:db8:dead::1", "never"),
        ("0.0.0.0 ok", "never"),
        ("fe80::1", "never"),
        ("192.0.2", "network"),
        ("192.0.2. RELAY", "network"),
        ("192.0.2.0/24", "network"),
        ("2001:db8::/32", "network"),
        ("ipv6:2001:db8", "network"),
        ("mail.example.org ok", "no_address"),
        ("999.9.9.9 ok", "no_address"),
        ("010.0.0.1", "no_address"),
        ("POP:POP:POP:POP:192.0.2.1", "no_address"),
    ],
)
def test_what_a_line_becomes(line: str, expected: str) -> None:
    assert [expected] == outcomes(line)


def test_comments_and_blank_lines_are_no_entries() -> None:
    assert ["192.0.2.1"] == outcomes("# 192.0.2.9", "", "   ", "192.0.2.1 ok # 192.0.2.8")


@pytest.fixture
def inside(site: Site, capsys: pytest.CaptureFixture[str]) -> Inside:
    """With a table, but no daemon."""
    return Inside(site, capsys)


@pytest.fixture
def unmade(bare: Site, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Configured, never started."""
    return Inside(bare, capsys)


def by_perl(path: Path) -> None:
    """As pop-before-smtp's own tie makes it: DB_File, locked, the values `ok`."""
    perl = need("perl")
    if subprocess.run([perl, "-MDB_File", "-e1"], capture_output=True, check=False).returncode:
        missing("DB_File (perl)")
    program = """
        use DB_File; use Fcntl qw(:DEFAULT :flock);
        my $hash = tie my %db, 'DB_File', $ARGV[0], O_CREAT|O_RDWR, 0644, $DB_HASH or die $!;
        $db{$_} = 'ok' for @ARGV[1..$#ARGV]; $hash->sync;
    """
    subprocess.run([perl, "-e", program, path, A, C, B], check=True)


def by_db_load(path: Path) -> None:
    text = f"{A}\\00\nok\\00\n{C}\nok\n{B}\nok\n".replace("\\00", "")
    subprocess.run([need("db5.3_load"), "-T", "-t", "hash", path], input=text, text=True, check=True)


def by_makemap(path: Path) -> None:
    made = subprocess.run(
        [need("makemap"), "hash", path], input=f"{A}\tOK\nIPv6:{FULL}\tOK\n{B}\tOK\n", text=True, capture_output=True, check=False
    )
    assert 0 == made.returncode, made.stderr


def by_1_85(path: Path) -> None:
    with libdb_185(path, os.O_RDWR | os.O_CREAT) as database:
        for key in (A, C, B):
            database.put(key.encode() + b"\0", b"ok\0")  # as postmap stores them


def as_text(path: Path) -> None:
    path.write_text(f"{A}\n{C}\n{B}\n")


@pytest.mark.parametrize(
    ("make", "form"), [(by_perl, "hash9"), (by_db_load, "hash9"), (by_makemap, "hash9"), (by_1_85, "hash2"), (as_text, "text")]
)
def test_what_the_real_programs_write_is_imported(inside: Inside, tmp_path: Path, make: Callable[[Path], None], form: str) -> None:
    make(tmp_path / "old.db")
    inside.ask("deny", B)
    done = inside.ask("import", str(tmp_path / "old.db"), "--seconds", "3600", "--json")
    expected = {
        "file": f"{tmp_path}/old.db",
        "format": form,
        "entries": 3,
        "seconds": 3600.0,
        "stored": True,
        "addresses": 3,
        "new": 2,
        "denied": 1,
    }
    assert (0, expected) == (done.returncode, json.loads(done.stdout))
    rows = json.loads(inside.ask("list", "--json").stdout)
    assert [(C, "manual", f"imported from {tmp_path}/old.db"), (A, "manual", f"imported from {tmp_path}/old.db")] == [
        (row["address"], row["kind"], row["user"]) for row in rows
    ]
    assert all(3590 < row["seconds_left"] <= 3600 for row in rows)


def test_a_btree_is_imported_by_the_line_that_its_refusal_says(inside: Inside, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    subprocess.run([need("db5.3_load"), "-T", "-t", "btree", path], input=f"{A}\n1164195000\n{C}\\00\n12\n", text=True, check=True)
    said = inside.ask("import", str(path)).stderr
    assert said.endswith(f"is a btree file, which is not read here; import it as a text: db_dump -p {path} | syslogauth import -\n")
    dumped = subprocess.run([need("db5.3_dump"), "-p", path], capture_output=True, check=True).stdout
    done = json.loads(inside.site.ask("import", "-", "--json", stdin=dumped).stdout)
    assert (2, 2) == (done["addresses"], done["new"])


def test_a_later_login_makes_it_a_login_and_a_longer_grant_stays(inside: Inside, tmp_path: Path) -> None:
    inside.ask("grant", B, "--seconds", "7000", "--note", "by hand")
    (tmp_path / "old").write_text(f"{A} ok\n{B} ok\n")
    done = inside.ask("import", str(tmp_path / "old"))
    assert [
        f"{tmp_path}/old: 2 entries (text), 2 addresses, 1800 s for each",
        "1 may relay now",
        "1 could for as long or longer already",
    ] == [line.strip() for line in done.stdout.splitlines()]
    inside.site.log_in(A)
    rows = {row["address"]: (row["kind"], row["user"]) for row in json.loads(inside.ask("list", "--json").stdout)}
    assert {A: ("login", "alice"), B: ("manual", "by hand")} == rows
    assert "import" == inside.site.audited()[-1]["verb"]


def test_nowrite_touches_nothing(unmade: Inside, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("192.0.2.1\n192.0.2\n127.0.0.1\n")
    done = unmade.ask("import", str(tmp_path / "old"), "--nowrite")
    assert 0 == done.returncode
    assert [
        "3 entries (text), 1 addresses, 1800 s for each",
        "1 are in policy.never_networks, or no client's addresses, as 127.0.0.1",
        "1 are networks or parts of addresses, which have no place in an exact map, as 192.0.2",
        "nothing stored (--nowrite)",
    ] == [line.strip().removeprefix(f"{tmp_path}/old: ") for line in done.stdout.splitlines()]
    assert not unmade.site.state.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda image: image[:5000], "damaged map"),
        (lambda image: image[:4096] + b"\xff" * 64 + image[4160:], "damaged map: page 1"),
        (lambda image: b"\0" * 4096 + image[4096:], "line 1: holds what no text does"),
        (lambda image: image[:16] + b"\x0a" + image[17:], "is a hash10 file, which is not read here; import it as a text: db_dump -p "),
        (lambda image: image[:12] + bytes.fromhex("62310500") + image[16:], "is a btree file"),
        (lambda image: b"mail.example.org ok\n", "has no address, but for one 'mail.example.org'"),
    ],
    ids=["cut", "page", "head", "libdb 18", "btree", "names"],
)
def test_a_damaged_or_foreign_file_is_65_and_nothing_of_it_is_stored(
    unmade: Inside, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    (tmp_path / "old.db").write_bytes(damage(hash9.render({A.encode(), B.encode()})))
    done = unmade.ask("import", str(tmp_path / "old.db"))
    assert (65, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert f"syslogauth: {tmp_path}/old.db: {said}" in done.stderr
    assert not unmade.site.state.exists()


def test_a_file_that_stays_locked_is_75_and_one_that_is_not_there_66(bare: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from syslogauth import cli
    from syslogauth.cli import imported

    monkeypatch.setattr(imported, "LOCK_SECONDS", 0.2)
    path = tmp_path / "old.db"
    path.write_bytes(hash2.render({A.encode()}))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as pop-before-smtp does while it changes the file
        assert 75 == cli.main(["import", "--config", str(bare.config), str(path)])
    assert 0 == cli.main(["import", "--config", str(bare.config), "--nowrite", str(path)])
    assert 66 == cli.main(["import", "--config", str(bare.config), str(tmp_path / "none")])


@pytest.mark.parametrize("seconds", ["0", "-1", "7201", "nan"])
def test_seconds_have_the_bound_of_manual_grants(unmade: Inside, tmp_path: Path, seconds: str) -> None:
    done = unmade.ask("import", str(tmp_path / "none"), "--seconds", seconds)
    assert (64, True) == (done.returncode, "policy.max_manual_seconds" in done.stderr)


def test_addresses_of_a_text_are_those_of_pack() -> None:
    assert pack(C) == next(iter(find(text_pairs([f"IPv6:{FULL}".encode()]), [], NEVER))).address
