import fcntl
import time
from pathlib import Path

import pytest
import structlog

from syslogauth import maps
from syslogauth.exports import hash2, hash9
from syslogauth.exports.sendmail_hash import identify
from syslogauth.maps import CHECK_SECONDS, RETRY_SECONDS, TOUCH_SECONDS, Map, MapSettings
from syslogauth.publish import Published
from syslogauth.settings import map_file
from tests.needs import need

A, B, C = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)), bytes.fromhex("20010db8000000000000000000000025")


def settings(directory: Path, **changed: object) -> MapSettings:
    values = {"format": "hash9", "ipv6_form": "full", "key_prefix": "", "min_interval_seconds": 1.0, "mode": 0o640} | changed
    return MapSettings(path=directory / "popauth", **values)  # type: ignore[arg-type]


def new_map(directory: Path, **changed: object) -> Map:
    return Map(settings(directory, **changed), structlog.get_logger())


@pytest.mark.parametrize(("name", "file"), [("popauth", "popauth.db"), ("popauth.db", "popauth.db"), ("pop.auth", "pop.auth.db")])
def test_db_is_appended_as_makemap_does(name: str, file: str) -> None:
    assert Path("/etc/mail") / file == map_file(Path("/etc/mail") / name)


def test_a_new_map_is_published_at_once_even_where_it_is_empty(tmp_path: Path) -> None:
    map_ = new_map(tmp_path)
    assert (True, "not published yet") == (map_.due(100.0), map_.reason)
    assert map_.keep((), 100.0)
    assert (frozenset(), "", 0) == (hash9.read((tmp_path / "popauth.db").read_bytes()), map_.reason, map_.entries)


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({}, {b"192.0.2.1", b"ipv6:2001:db8:0:0:0:0:0:25"}),
        ({"ipv6_form": "compressed"}, {b"192.0.2.1", b"ipv6:2001:db8::25"}),
        ({"ipv6_form": "both"}, {b"192.0.2.1", b"ipv6:2001:db8::25", b"ipv6:2001:db8:0:0:0:0:0:25"}),
        ({"key_prefix": "POP:"}, {b"pop:192.0.2.1", b"pop:ipv6:2001:db8:0:0:0:0:0:25"}),
    ],
)
def test_the_keys_are_those_of_the_settings(tmp_path: Path, changed: dict[str, object], keys: set[bytes]) -> None:
    map_ = new_map(tmp_path, **changed)
    map_.keep({A, C}, 0.0)
    assert keys == hash9.read((tmp_path / "popauth.db").read_bytes())


def test_the_first_change_is_written_at_once_and_the_next_after_the_interval(tmp_path: Path) -> None:
    map_ = new_map(tmp_path, min_interval_seconds=3.0)
    map_.keep((), 0.0)
    map_.keep((), 50.0)  # a look that finds nothing to do
    map_.note({A})
    assert map_.due(51.0)
    assert map_.keep({A}, 51.0)
    map_.note({B})
    assert (False, True) == (map_.due(53.9), map_.due(54.0))


def test_a_map_without_changes_is_looked_at_and_touched_at_their_times(tmp_path: Path) -> None:
    map_ = new_map(tmp_path)
    map_.keep({A}, 0.0)
    path = tmp_path / "popauth.db"
    written = dict(map_.results)
    assert (False, True) == (map_.due(CHECK_SECONDS - 0.1), map_.due(CHECK_SECONDS))
    before = path.stat().st_mtime_ns
    assert map_.keep({A}, CHECK_SECONDS)
    assert (before, written) == (path.stat().st_mtime_ns, map_.results)
    assert map_.keep({A}, TOUCH_SECONDS)
    assert before < path.stat().st_mtime_ns
    assert written == map_.results


@pytest.mark.parametrize("how", ["bytes", "another map", "deletion"])
def test_what_somebody_else_wrote_is_put_right_at_the_next_look(tmp_path: Path, how: str) -> None:
    map_ = new_map(tmp_path)
    map_.keep({A, B}, 0.0)
    path, image = tmp_path / "popauth.db", (tmp_path / "popauth.db").read_bytes()
    if how == "deletion":
        path.unlink()
    else:
        path.write_bytes(image[:5000] + b"\xff" * 10 + image[5010:] if how == "bytes" else hash9.render({b"203.0.113.1"}))
    assert map_.keep({A, B}, CHECK_SECONDS)
    assert (image, 2, 0) == (path.read_bytes(), map_.results["whole"], map_.results["failed"])


def test_a_failure_keeps_the_map_is_told_and_tried_again_ever_more_slowly(tmp_path: Path) -> None:
    map_ = new_map(tmp_path)
    map_.publisher.lock_timeout_seconds = 0.01
    map_.keep({A}, 0.0)
    path = tmp_path / "popauth.db"
    before, at = path.read_bytes(), 10.0
    with path.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        for pause in (*RETRY_SECONDS, RETRY_SECONDS[-1]):
            map_.note({B})
            assert map_.due(at)
            assert not map_.keep({A, B}, at)
            assert "somebody else has held its lock" in map_.reason
            assert (False, True) == (map_.due(at + pause - 0.01), map_.due(at + pause))
            at += pause
    assert (before, len(RETRY_SECONDS) + 1, True) == (path.read_bytes(), map_.results["failed"], map_.stale)
    assert map_.keep({A, B}, at)
    assert ("", False, {b"192.0.2.1", b"192.0.2.2"}) == (map_.reason, map_.stale, hash9.read(path.read_bytes()))


def test_a_change_writes_its_page_and_the_head_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = {n.to_bytes(4) for n in range(1, 20_000)}
    map_ = new_map(tmp_path)
    map_.keep(live, 0.0)
    written: list[int] = []
    publish = map_.publisher.publish

    def recorded(*arguments: object, **options: object) -> Published:
        done = publish(*arguments, **options)  # type: ignore[arg-type]
        written.append(done.pages_written)
        return done

    monkeypatch.setattr(map_.publisher, "publish", recorded)
    map_.note({A})
    map_.keep(live | {A}, 1.0)
    map_.note({A, C})
    map_.keep(live | {C}, 2.0)
    map_.keep(live | {C}, 2.0 + CHECK_SECONDS)
    assert [2, 2, 0] == written, "the head says how many keys there are: one goes and one comes"
    assert set(map_.settings.keys(live | {C})) == hash9.read((tmp_path / "popauth.db").read_bytes())


def test_what_could_not_be_written_is_written_with_the_next_change(tmp_path: Path) -> None:
    map_ = new_map(tmp_path)
    map_.publisher.lock_timeout_seconds = 0.01
    map_.keep({A}, 0.0)
    path = tmp_path / "popauth.db"
    with path.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        map_.note({A, B})
        assert not map_.keep({B}, 1.0)
    map_.note({C})
    assert map_.keep({B, C}, 2.0)
    assert (0, 1) == (map_.results["published"] - 1, map_.results["whole"])
    assert set(map_.settings.keys({B, C})) == hash9.read(path.read_bytes())


def test_more_changes_than_the_table_is_worth_make_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MANY_CHANGES", 2)
    map_ = new_map(tmp_path)
    map_.keep({n.to_bytes(4) for n in range(1, 20_000)}, 0.0)
    map_.note({n.to_bytes(4) for n in range(1, 20_000)} | {A})
    assert map_.keep({A}, 1.0)
    assert {b"192.0.2.1"} == hash9.read((tmp_path / "popauth.db").read_bytes())


@pytest.mark.parametrize(("rest_seconds", "interval_seconds"), [(0.0, 1.0), (0.5, 1.0), (7.0, 7.0)])
def test_it_may_be_told_to_wait_longer(tmp_path: Path, rest_seconds: float, interval_seconds: float) -> None:
    map_ = new_map(tmp_path)
    map_.keep({A}, 0.0)
    map_.postpone(0.0, rest_seconds)
    map_.note({B})
    assert [interval_seconds] == [value for _, value in map_.samples()["export_interval_seconds"]]
    assert (False, True) == (map_.due(interval_seconds - 0.01), map_.due(interval_seconds))
    assert pytest.approx(interval_seconds - 0.4) == map_.wait_seconds(0.4)


def test_a_failure_is_one_line_whatever_it_turns_into_and_so_is_its_end(tmp_path: Path) -> None:
    path, now = tmp_path / "popauth.db", 0.0
    with structlog.testing.capture_logs() as said:
        map_ = new_map(tmp_path)
        for fault in (path.mkdir, lambda: (path.rmdir(), path.symlink_to("elsewhere")), path.unlink):
            fault()
            for _ in range(3):
                now += RETRY_SECONDS[-1]
                map_.keep({A}, now)
    expected = [("error", "export failed; the map stays as it was", None), ("info", "export works again", 6)]
    assert expected == [(line["log_level"], line["event"], line.get("failures")) for line in said]


def test_a_look_that_failed_is_a_failure_and_heals(tmp_path: Path) -> None:
    map_ = new_map(tmp_path)
    map_.keep({A}, 0.0)
    (tmp_path / "popauth.db").rename(tmp_path / "aside")
    (tmp_path / "popauth.db").symlink_to("aside")
    assert not map_.keep({A}, CHECK_SECONDS)
    assert "is a symbolic link" in map_.reason
    (tmp_path / "popauth.db").unlink()
    assert map_.keep({A}, CHECK_SECONDS + 1)
    assert {b"192.0.2.1"} == hash9.read((tmp_path / "popauth.db").read_bytes())


def test_auto_writes_the_format_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "popauth.db").write_bytes(hash2.render({b"192.0.2.9"}))
    map_ = new_map(tmp_path, format="auto")
    assert map_.keep({A}, 0.0)
    image = (tmp_path / "popauth.db").read_bytes()
    assert ("hash2", {b"192.0.2.1"}) == (identify(image[:512]), hash2.read(image))


READ = {"hash9": hash9.read, "hash2": hash2.read}
WRITE = {"hash9": hash9.render, "hash2": hash2.render}


@pytest.mark.parametrize(("first", "second"), [("hash9", "hash2"), ("hash2", "hash9")])
def test_auto_follows_a_host_whose_sendmail_now_reads_another_kind(tmp_path: Path, first: str, second: str) -> None:
    path = tmp_path / "popauth.db"
    path.write_bytes(WRITE[first]({b"192.0.2.9"}))
    map_ = new_map(tmp_path, format="auto")
    assert map_.keep({A}, 0.0)
    path.write_bytes(WRITE[second]({b"192.0.2.9"}))
    map_.note({B})
    assert map_.keep({A, B}, 1.0), map_.reason
    image = path.read_bytes()
    assert (second, {b"192.0.2.1", b"192.0.2.2"}) == (identify(image[:512]), READ[second](image))


def test_auto_follows_it_without_a_change_of_the_table_too(tmp_path: Path) -> None:
    """The look finds a file that its image does not fit; the next try renders another."""
    path = tmp_path / "popauth.db"
    path.write_bytes(hash2.render({b"192.0.2.9"}))
    map_ = new_map(tmp_path, format="auto")
    assert map_.keep({A}, 0.0)
    path.write_bytes(hash9.render({b"192.0.2.9"}))
    assert not map_.keep({A}, CHECK_SECONDS)
    assert map_.keep({A}, CHECK_SECONDS + RETRY_SECONDS[0]), map_.reason
    assert {b"192.0.2.1"} == hash9.read(path.read_bytes())


def test_the_hosts_own_makemap_may_write_it(tmp_path: Path) -> None:
    need("makemap")
    map_ = new_map(tmp_path, format="makemap")
    assert map_.keep({A, C}, 0.0), map_.reason
    assert {b"192.0.2.1", b"ipv6:2001:db8:0:0:0:0:0:25"} == hash9.read((tmp_path / "popauth.db").read_bytes())
    map_.note({A})
    assert map_.keep({C}, 2.0), map_.reason
    assert {b"ipv6:2001:db8:0:0:0:0:0:25"} == hash9.read((tmp_path / "popauth.db").read_bytes())


def test_its_figures(tmp_path: Path) -> None:
    began = time.time()
    map_ = new_map(tmp_path)
    map_.keep({A, C}, 0.0)
    name = str(tmp_path / "popauth")
    samples = map_.samples()
    assert [((name,), 2)] == samples["export_entries"]
    assert [((name,), 1.0)] == samples["export_interval_seconds"]
    assert [((name, "published"), 0), ((name, "whole"), 1), ((name, "failed"), 0)] == samples["exports"]
    ((labels, at),) = samples["export_last_success_timestamp_seconds"]
    assert (name,) == labels
    assert isinstance(at, float)
    assert began <= at <= time.time()
