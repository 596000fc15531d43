"""A table that a newer syslogauth wrote is refused, with the maps emptied; a record that cannot be read is skipped, and kills nobody."""

import os
import signal
from pathlib import Path

import lmdb

from syslogauth.environment import FORMAT
from syslogauth.record import U64, Bounds
from syslogauth.table import Table
from tests.running import A, B, Site, log_in

ENGINE = {"lib_version": 0} if int(lmdb.__version__.partition(".")[0]) >= 3 else {}


def put(directory: Path, database: bytes, key: bytes, value: bytes) -> bytes:
    """Write into the table as another program would. What was there."""
    environment = lmdb.open(str(directory / "state" / "table"), max_dbs=16, map_size=1 << 33, **ENGINE)
    try:
        with environment.begin(write=True, db=environment.open_db(database)) as txn:
            before = bytes(txn.get(key) or b"")
            txn.put(key, value)
        return before
    finally:
        environment.close()


def packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def test_the_daemon_of_an_older_program_refuses_the_table_of_a_newer_one_and_empties_the_map(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    site.appliance.ask("backup", str(site.directory / "backup"))
    assert 0 == site.signal(signal.SIGUSR1)  # the map stays
    site.holds(A)
    assert U64.pack(FORMAT) == put(site.directory, b"meta", b"format", U64.pack(FORMAT + 1))

    site.appliance.start()
    assert site.appliance.running
    assert os.EX_CONFIG == site.appliance.running.wait(20)
    said = f"has format {FORMAT + 1}, and this syslogauth knows none after {FORMAT}: run the newer syslogauth that wrote it; or move that"
    assert said in site.appliance.said()
    assert "starting it again" not in site.appliance.said()
    site.holds()
    for words in (["list"], ["stats"], ["test", A], ["deny", A], ["export"], ["restore", str(site.directory / "backup")]):
        done = site.appliance.ask(*words)
        assert (69, 1) == (done.returncode, len(done.stderr.splitlines())), (words, done.stderr)
        assert said in done.stderr

    (site.directory / "state" / "table").rename(site.directory / "newer")  # as the line says
    site.start()
    assert 0 == site.appliance.ask("restore", str(site.directory / "backup")).returncode
    site.holds(A)


def test_a_table_of_before_there_were_formats_is_taken_and_stamped_by_the_first_writer(tmp_path: Path) -> None:
    def stamp() -> bytes:
        return put(tmp_path, b"meta", b"format", U64.pack(FORMAT))

    (tmp_path / "state").mkdir()
    Table(tmp_path / "state" / "table", 100, Bounds(1800, 7200)).close()
    environment = lmdb.open(str(tmp_path / "state" / "table"), max_dbs=16, map_size=1 << 33, **ENGINE)
    with environment.begin(write=True, db=environment.open_db(b"meta")) as txn:
        assert txn.delete(b"format")
    environment.close()
    Table(tmp_path / "state" / "table", readonly=True).close()  # a reader stamps nothing
    Table(tmp_path / "state" / "table", 100, Bounds(1800, 7200)).close()
    assert U64.pack(FORMAT) == stamp()


def test_a_record_that_cannot_be_read_kills_nobody_and_the_next_login_replaces_it(site: Site) -> None:
    damaged = dict(zip([B, *(f"198.51.100.{n}" for n in range(11, 14))], (b"", b"\1", b"\2" + bytes(40), b"\1\7" + bytes(40)), strict=True))
    always = "198.51.100.13"  # the sweep looks at its record
    site.configure(site.text.replace("[[export]]", f'[[policy.always]]\naddress = "{always}"\n[[export]]', 1))
    site.start()
    log_in(site.udp, A, *damaged)
    site.holds(A, *damaged)
    lives = [site.child("receiver"), site.child("exporter")]
    for address, record in damaged.items():
        put(site.directory, b"grants", packed(address), record)
        put(site.directory, b"changes", U64.pack(1_000_000 + packed(address)[3]), packed(address))
    site.holds(A, always)
    assert f"{len(damaged)} of the table's records cannot be read" in site.appliance.ask("list", "--json").stderr
    log_in(site.udp, A, *damaged)
    site.holds(A, *damaged)
    put(site.directory, b"grants", packed(B), b"\2")
    assert 0 == site.appliance.ask("flush", "--yes").returncode
    site.holds(always)
    assert lives == [site.child("receiver"), site.child("exporter")]
