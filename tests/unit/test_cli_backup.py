"""`backup` and `restore`: each a process of its own, with no daemon running; and what a damaged text is refused with."""

import gzip
import io
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syslogauth.backup import DamageError, Granted, lines_of, read
from tests.needs import need
from tests.site import PACKED, A, B, C, Site, nobody
from tests.unit.inside import Inside

HEAD = b'{"syslogauth":"1.0","backup":1,"record":1,"at":1700000000.0}\n'
GRANT = (
    b'{"grant":"192.0.2.1","kind":"login","expires":1700001800000,"granted":1700000000000,"refreshed":1700000000000,"count":1,'
    b'"service":"imap","server":"dovecot","user":"alice","hostname":"mail1","peer":"p"}\n'
)
DENIED = b'{"denied":"198.51.100.0/24","until":null}\n'
END = b'{"rows":2,"unreadable":0}\n'


@pytest.fixture
def inside(site: Site, capsys: pytest.CaptureFixture[str]) -> Inside:
    """With a table, but no daemon."""
    return Inside(site, capsys)


def fill(inside: Inside) -> None:
    inside.site.log_in(A, C)
    for words in (("deny", "203.0.113.0/24"), ("deny", B, "--seconds", "600"), ("revoke", "192.0.2.9")):
        assert 0 == inside.ask(*words).returncode


def test_a_backup_is_restored_into_an_empty_table_and_once_more_without_effect(inside: Inside, tmp_path: Path) -> None:
    fill(inside)
    listed = [row["address"] for row in json.loads(inside.ask("list", "--json").stdout)]
    done = inside.ask("backup", str(tmp_path / "b"))
    assert (0, f"{tmp_path}/b: 5 rows\n") == (done.returncode, done.stdout)
    assert 0o600 == stat.S_IMODE((tmp_path / "b").stat().st_mode)
    (inside.site.state / "table").rename(tmp_path / "lost")
    done = inside.ask("restore", str(tmp_path / "b"), "--json")
    expected = {"file": f"{tmp_path}/b", "stored": True, "revocations": {"new": 1}, "denials": {"new": 2}, "grants": {"new": 2}}
    assert (0, expected) == (done.returncode, json.loads(done.stdout))
    assert listed == [row["address"] for row in json.loads(inside.ask("list", "--json").stdout)]
    assert 1 == inside.ask("grant", B).returncode
    again = inside.ask("restore", str(tmp_path / "b"))
    assert "  grants: 2 that were as long already" in again.stdout
    assert "the daemon does not run" in again.stderr
    assert ["backup", "restore", "restore"] == [line["verb"] for line in inside.site.audited() if line["verb"] in ("backup", "restore")]


def test_what_was_revoked_and_denied_since_the_backup_stays_so(inside: Inside, tmp_path: Path) -> None:
    inside.site.log_in(A, B, C)
    inside.ask("backup", str(tmp_path / "b.gz"))
    assert b"\x1f\x8b" == (tmp_path / "b.gz").read_bytes()[:2]
    inside.ask("revoke", A)
    inside.ask("deny", B)
    done = json.loads(inside.ask("restore", str(tmp_path / "b.gz"), "--json").stdout)
    assert {"void": 1, "same": 2} == done["grants"]
    assert [C] == [row["address"] for row in json.loads(inside.ask("list", "--json").stdout)]


def test_standard_output_and_input(site: Site, tmp_path: Path) -> None:
    site.log_in(A)
    text = site.ask("backup", "-").stdout
    assert 3 == len(text.splitlines())
    (site.state / "table").rename(tmp_path / "lost")
    assert {"new": 1} == json.loads(site.ask("restore", "-", "--json", stdin=text.encode()).stdout)["grants"]
    packed = gzip.compress(text.encode())
    assert {"same": 1} == json.loads(site.ask("restore", "-", "--json", stdin=packed).stdout)["grants"]


def test_nowrite_counts_and_needs_no_table(bare: Site, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(HEAD + GRANT + DENIED + END)
    done = bare.ask("restore", "--nowrite", str(tmp_path / "b"))
    assert (0, f"{tmp_path}/b: 1 grants, 1 denials; nothing stored (--nowrite)\n") == (done.returncode, done.stdout)
    assert not bare.state.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "line 1: there is none: the file is empty"),
        (HEAD + GRANT + DENIED, "line 3: the text ends here, without the count that ends a backup; the file has been cut off"),
        (HEAD + GRANT + END, "line 3: says that 2 rows are before it, but 1 are; the file has been cut or mixed up"),
        (HEAD + GRANT + DENIED + END + GRANT, "line 5: goes on behind its last line"),
        (HEAD + GRANT[:100] + b"\n" + DENIED + END, "line 2: "),
        (HEAD + GRANT.replace(b'"count":1,', b"") + DENIED + END, "line 2: has no 'count'"),
        (HEAD + GRANT.replace(b"192.0.2.1", b"192.0.2.1e") + DENIED + END, "line 2: '192.0.2.1e' is no address"),
        (HEAD + GRANT.replace(b"1700001800000", b"1e300") + DENIED + END, "line 2: 1e+300 is no time or number"),
        (HEAD + GRANT.replace(b'"login"', b'"root"') + DENIED + END, "line 2: 'root' is no kind of grant"),
        (HEAD + b'{"something":1}\n' + DENIED + END, "line 2: a row of an unknown kind: something"),
        (HEAD + b'{"x":"' + b"x" * 20000 + b'"}\n' + END, "line 2: longer than 16384 bytes"),
        (HEAD.replace(b'"backup":1', b'"backup":2'), "line 1: a backup of form 2, made by syslogauth 1.0; this one reads 1"),
        (b"192.0.2.1 ok\n", "line 1: Extra data"),
        (b"{}\n", "line 1: this is no backup"),
        (b"\xff\xfe\n", "line 1: "),
        (b"[" * 9000 + b"\n", "line 1: "),
    ],
)  # fmt: skip
def test_a_damaged_text_is_refused_with_its_line(text: bytes, said: str) -> None:
    with pytest.raises(DamageError) as refused:
        list(read(text.splitlines(keepends=True)))
    assert str(refused.value).startswith(said)


class Zeros(io.RawIOBase):
    """A text without an end or a line, as a small .gz can hold one."""

    def __init__(self) -> None:
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        assert self.taken < 1 << 20
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_a_line_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(DamageError, match="line 1: longer than"):
        list(read(lines_of(io.BufferedReader(Zeros()))))


def test_no_text_of_a_backup_drives_the_terminal(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(HEAD + b'{"\\u001b[2J\\n":1}\n' + END)
    refused = inside.ask("restore", str(tmp_path / "b")).stderr
    assert (1, True) == (len(refused.splitlines()), "\\x1b[2J\\n" in refused)
    now = int(time.time() * 1000)
    grant = GRANT.replace(b"1700001800000", str(now + 60_000).encode()).replace(b"1700000000000", str(now).encode())
    rows = grant.replace(b'"imap"', b'"\\u001b[1m"').replace(b'"dovecot"', b'"\\u001b[2m"')
    (tmp_path / "b").write_bytes(HEAD + rows + b'{"rows":1,"unreadable":0}\n')
    assert 0 == inside.ask("restore", str(tmp_path / "b")).returncode
    shown = inside.ask("list").stdout + inside.ask("top", "--once").stdout
    assert 4 == shown.count("\\x1b[")
    assert "\x1b" not in shown


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_that_was_cut_off_is_65_and_nothing_of_it_is_stored(inside: Inside, tmp_path: Path, suffix: str) -> None:
    inside.site.log_in(A, B, C)
    path = tmp_path / f"b{suffix}"
    inside.ask("backup", str(path))
    path.write_bytes(path.read_bytes()[:-9])
    inside.ask("flush", "--yes")
    (inside.site.state / "table").rename(tmp_path / "lost")
    done = inside.ask("restore", str(path))
    assert (65, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "nothing of it is stored" in done.stderr
    assert not (inside.site.state / "table").exists()


def test_a_restored_grant_ends_as_it_would_have_and_never_beyond_its_bound(inside: Inside, tmp_path: Path) -> None:
    now = int(time.time() * 1000)
    rows = [
        GRANT.replace(b"1700001800000", str(until).encode()).replace(b"1700000000000", str(now).encode())
        for until in (now + 10**12, now - 1)
    ]
    rows[1] = rows[1].replace(b"192.0.2.1", b"192.0.2.2")
    (tmp_path / "b").write_bytes(HEAD + b"".join(rows) + END)
    assert {"new": 1, "over": 1} == json.loads(inside.ask("restore", "--json", str(tmp_path / "b")).stdout)["grants"]
    (row,) = json.loads(inside.ask("list", "--json").stdout)
    assert ("192.0.2.1", True) == (row["address"], 1700 < row["seconds_left"] <= 1800)


def test_a_file_that_is_missing_or_cannot_be_written_is_66_or_73_and_leaves_nothing(inside: Inside, tmp_path: Path) -> None:
    assert 66 == inside.ask("restore", str(tmp_path / "none")).returncode
    done = inside.ask("backup", str(tmp_path / "none/b"))
    assert (73, 1) == (done.returncode, len(done.stderr.splitlines()))
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    assert 73 == inside.ask("backup", str(tmp_path / "folder")).returncode
    assert before == sorted(tmp_path.iterdir())


@pytest.fixture
def passable() -> Iterator[Site]:
    """A site where every user may pass through to it, which pytest's own directories are not while another pytest begins."""
    with tempfile.TemporaryDirectory(prefix="syslogauth-test-") as directory:
        Path(directory).chmod(0o755)
        yield Site(Path(directory))


def test_a_backup_by_root_belongs_to_the_owner_of_its_directory(passable: Site) -> None:
    need("root")
    site = passable
    site.make()
    site.log_in(A)
    for path in (site.state, *site.state.rglob("*")):
        os.chown(path, *nobody())
    private = site.directory / "roots"
    private.mkdir(mode=0o700)  # where the owner of the state directory may not write, nor read
    for folder, owner in ((private, 0), (site.state, nobody()[0])):
        done = site.ask("backup", str(folder / "b.gz"))
        assert (0, "") == (done.returncode, done.stderr)
        found = (folder / "b.gz").stat()
        assert (owner, 0o600) == (found.st_uid, stat.S_IMODE(found.st_mode))
    assert 0 == site.ask("restore", str(private / "b.gz")).returncode
    assert {nobody()[0]} == {path.stat().st_uid for path in site.state.rglob("*") if path.name != "b.gz"}
    assert PACKED[A] in list(site.table().addresses())


def test_a_record_that_cannot_be_read_is_left_out_and_said(inside: Inside, tmp_path: Path) -> None:
    inside.site.log_in(A, B)
    data = inside.site.state / "table" / "data.mdb"
    content = data.read_bytes()
    at = content.rindex(b"\x04imap\x07dovecot") - 30
    data.write_bytes(
        content.replace(content[at : at + 10], b"\2" + content[at + 1 : at + 10], 1)
        if content.count(content[at : at + 10]) == 1
        else content[:at] + b"\2" + content[at + 1 :]
    )
    done = inside.ask("backup", str(tmp_path / "b"))
    assert (0, "syslogauth: 1 records of the table cannot be read, and are not in the backup\n") == (done.returncode, done.stderr)
    assert f"{tmp_path}/b: 1 rows\n" == done.stdout
    done = inside.ask("list", "--json")
    assert (0, 1) == (done.returncode, len(json.loads(done.stdout)))
    assert "1 of the table's records cannot be read" in done.stderr


def test_a_backup_is_of_one_moment_however_slowly_it_is_read(site: Site) -> None:
    site.log_in(A)
    table = site.table()
    text = table.backup()
    head = next(text)
    table.deny(PACKED[B], None, time.time())
    table.revoke(PACKED[A], time.time())
    (row,) = read([head, *text])  # neither the denial nor the revocation
    assert isinstance(row, Granted)
    assert PACKED[A] == row.address
    table.close()
