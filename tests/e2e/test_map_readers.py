"""The programs and libraries that read the maps get every key of our images, and no other."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import pytest

from syslogauth.exports import hash2, hash9, makemap
from syslogauth.exports.sendmail_hash import detect, identify, map_keys
from syslogauth.publish import Publisher
from tests.e2e.berkeleydb import Reader, libdb_53, libdb_185
from tests.e2e.netns import Netns, mail_host
from tests.e2e.sendmail import AddressTest
from tests.keys import nested_keys, random_keys
from tests.needs import need

MANY = random_keys(100_000)
ABSENT = random_keys(5000, seed=7) - MANY
LISTED = b"OK<OK>"

Opener = Callable[[Path], AbstractContextManager[Reader]]


def colliding_keys(module: ModuleType) -> set[bytes]:
    """Keys that all lie in one bucket, over several pages."""
    return {key for key in random_keys(25_000, seed=2) if not module._hash(key) & 0x1F}


TABLES: dict[str, Callable[[ModuleType], set[bytes]]] = {
    "none": lambda _: set(),
    "one": lambda _: {b"192.0.2.1"},
    "nested": lambda _: nested_keys(),
    "few nested": lambda _: {key for key in nested_keys() if key.startswith(b"192.")},
    "in one bucket": colliding_keys,
    "100,000": lambda _: MANY,
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("module", "reader"), [(hash9, libdb_53), (hash2, libdb_185)], ids=["libdb 5.3", "Berkeley DB 1.85"])
def test_the_library_gets_every_key_and_no_other(module: ModuleType, reader: Opener, table: str, tmp_path: Path) -> None:
    keys = TABLES[table](module)
    path = tmp_path / "popauth.db"
    path.write_bytes(module.render(keys))
    with reader(path) as database:
        assert set() == {key for key in keys if database.get(key) != b"OK"}
        assert set() == {key for key in ABSENT - keys if database.get(key) is not None}


@pytest.mark.parametrize("table", TABLES)
def test_libdbs_own_check_is_content(table: str, tmp_path: Path) -> None:
    path = tmp_path / "popauth.db"
    path.write_bytes(hash9.render(TABLES[table](hash9)))
    checked = subprocess.run([need("db5.3_verify"), path], capture_output=True, text=True, check=False)
    assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize("buckets", [0, 512])
def test_the_1_85_library_can_go_on_with_our_file(buckets: int, tmp_path: Path) -> None:
    path = tmp_path / "popauth.db"
    ours, theirs = random_keys(20_000), random_keys(4000, seed=5)
    path.write_bytes(hash2.render(ours, buckets))
    with libdb_185(path, os.O_RDWR) as database:
        for key in theirs:
            database.put(key, b"OK")
        assert set() == {key for key in ours | theirs if database.get(key) != b"OK"}
    assert ours | theirs == hash2.read(path.read_bytes())
    assert {b"OK"} == {hash2.get(path.read_bytes(), key) for key in theirs}


def test_a_file_of_the_1_85_library_is_read(tmp_path: Path) -> None:
    path, keys = tmp_path / "theirs.db", random_keys(500)
    with libdb_185(path, os.O_RDWR | os.O_CREAT) as database:
        for key in keys:
            database.put(key, b"OK")
    image = path.read_bytes()
    assert "hash2" == identify(image)
    assert keys == hash2.read(image)
    assert {b"OK"} == {hash2.get(image, key) for key in keys}


def test_a_file_of_makemap_is_read_and_can_be_a_map() -> None:
    keys = random_keys(20_000)
    image = makemap.render(keys, 0, need("makemap"))
    assert "hash9" == identify(image)
    assert keys == hash9.read(image)
    assert {b"OK"} == {hash9.get(image, key) for key in keys}
    assert len(keys) == len(hash9.read(hash9.render(keys, hash9.bucket_count(image))))


def test_makemap_lists_every_key_of_our_image(tmp_path: Path) -> None:
    program = need("makemap")
    (tmp_path / "popauth.db").write_bytes(hash9.render(MANY))
    listed = subprocess.run([program, "-s", "-u", "hash", tmp_path / "popauth"], capture_output=True, check=True).stdout.split()
    assert MANY == set(listed[::2])
    assert {b"OK"} == set(listed[1::2])


def test_makemap_that_fails_is_an_error_of_the_environment_and_says_why(tmp_path: Path) -> None:
    failing = tmp_path / "makemap"
    failing.write_text("#!/bin/sh\necho 'makemap: Need to recompile with -DNEWDB for hash support' >&2\nexit 73\n")
    failing.chmod(0o755)
    with pytest.raises(OSError, match=r"makemap failed with exit code 73: makemap: Need to recompile with -DNEWDB for hash support"):
        makemap.render([b"192.0.2.1"], 0, str(failing))
    with pytest.raises(FileNotFoundError):
        makemap.render([b"192.0.2.1"], 0, str(tmp_path / "none"))
    with pytest.raises(ValueError, match="cannot be given the key"):
        makemap.render([b"192.0.2.1\tOK\n192.0.2.2"], 0, str(failing))


def test_the_format_of_this_machines_sendmail_is_detected(tmp_path: Path) -> None:
    program = need("sendmail")
    assert "hash9" == detect(tmp_path / "popauth.db", tmp_path, program, "freebsd14"), "not by the platform"


@pytest.fixture(scope="module")
def host() -> Iterator[Netns]:
    need("root")
    with mail_host({"192.0.2.25": "mail1.example.org"}) as namespace:
        yield namespace


@pytest.fixture
def map_path(host: Netns) -> Iterator[Path]:
    """A map, without `.db`, in a directory that sendmail trusts."""
    path = host.directory / "popauth"
    yield path
    path.with_suffix(".db").unlink()


def test_sendmail_finds_every_one_of_100_000_keys_and_no_other(host: Netns, map_path: Path) -> None:
    map_path.with_suffix(".db").write_bytes(hash9.render(MANY))
    with AddressTest(host, map_path) as test:
        assert set() == {key for key in MANY if test.get(key) != LISTED}
        assert set() == {key for key in ABSENT if test.get(key) is not None}


def test_sendmail_finds_an_address_by_the_key_that_map_keys_gives(host: Netns, map_path: Path) -> None:
    keys = {key for address in (bytes(range(4)), bytes(range(16))) for key in map_keys(address, "both", "POP:")}
    map_path.with_suffix(".db").write_bytes(hash9.render(keys))
    with AddressTest(host, map_path) as test:
        for asked in (b"POP:0.1.2.3", b"POP:IPv6:1:203:405:607:809:a0b:c0d:e0f"):
            assert LISTED == test.get(asked)
        assert None is test.get(b"0.1.2.3")


def test_an_open_reader_sees_a_map_that_grows_and_shrinks(host: Netns, map_path: Path) -> None:
    live = map_path.with_suffix(".db")
    publisher = Publisher(live, 0o640)
    publisher.publish(hash9.render([]))
    buckets = 0
    with AddressTest(host, map_path) as test:
        assert None is test.get(b"192.0.2.1")
        for keys in ({b"192.0.2.1"}, MANY, set(sorted(MANY)[:10]), set(), {b"192.0.2.1"}):
            image = hash9.render(keys, buckets)
            buckets = hash9.bucket_count(image)
            publisher.publish(image)
            assert set() == {key for key in keys if test.get(key) != LISTED}
            assert set() == {key for key in sorted(MANY - keys)[:2000] if test.get(key) is not None}
            with libdb_53(live) as database:
                assert set() == {key for key in keys if database.get(key) != b"OK"}
