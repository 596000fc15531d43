"""The time of a log line from its own stamp: years guessed, zones kept, nonsense passed over."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syslogauth.core.linetime import DAY_SECONDS, LineClock


@pytest.fixture(autouse=True, params=["UTC", "Asia/Tokyo", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test in three zones: stamps of RFC 3164 are local time."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def local(*fields: int) -> float:
    return time.mktime((*fields, *(0,) * (8 - len(fields)), -1))


def utc(*fields: int) -> float:
    return datetime(*fields, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("stamp", "reference", "expected"),
    [
        pytest.param(b"Nov 22 10:28:45", (2026, 11, 23), (2026, 11, 22, 10, 28, 45), id="of yesterday"),
        pytest.param(b"Nov  2 10:28:45", (2026, 11, 23), (2026, 11, 2, 10, 28, 45), id="a day of one digit"),
        pytest.param(b"Nov 23 12:00:00", (2026, 11, 23), (2026, 11, 23, 12, 0, 0), id="less than a day ahead: a clock that is wrong"),
        pytest.param(b"Nov 25 12:00:00", (2026, 11, 23), (2025, 11, 25, 12, 0, 0), id="more than a day ahead: of last year"),
        pytest.param(b"Dec 31 23:59:59", (2027, 1, 1), (2026, 12, 31, 23, 59, 59), id="over the turn of the year"),
        pytest.param(b"Jan  1 00:00:10", (2026, 12, 31, 23, 50), (2027, 1, 1, 0, 0, 10), id="just ahead of the turn of the year"),
        pytest.param(b"Feb 29 12:00:00", (2026, 11, 23), (2024, 2, 29, 12, 0, 0), id="a leap day is of a leap year"),
        pytest.param(b"Feb 29 12:00:00", (2103, 11, 23), (2096, 2, 29, 12, 0, 0), id="2100 has none"),
        pytest.param(b"Jul 15 12:00:00", (2026, 11, 23), (2026, 7, 15, 12, 0, 0), id="in the other half of daylight saving"),
        pytest.param(b"Nov 22 2019 10:28:45", (2026, 11, 23), (2019, 11, 22, 10, 28, 45), id="with its year"),
    ],
)
def test_a_stamp_without_a_zone_is_local_time(stamp: bytes, reference: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert local(*expected) == LineClock(local(*reference)).at(stamp)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        pytest.param(b"2026-11-22T10:00:00Z", utc(2026, 11, 22, 10), id="Z"),
        pytest.param(b"2026-11-22T10:00:00+01:00", utc(2026, 11, 22, 9), id="an offset"),
        pytest.param(b"2026-11-22T10:00:00-0500", utc(2026, 11, 22, 15), id="an offset without a colon"),
        pytest.param(b"2026-11-22T10:00:00.500000Z", utc(2026, 11, 22, 10) + 0.5, id="a fraction"),
        pytest.param(b"2026-11-22T10:00:00,500Z", utc(2026, 11, 22, 10) + 0.5, id="a fraction after a comma"),
        pytest.param(b"2026-11-22T10:00:00.500000999Z", utc(2026, 11, 22, 10) + 0.5, id="nanoseconds"),
    ],
)
def test_a_stamp_with_a_zone_is_its_own_time(stamp: bytes, expected: float) -> None:
    assert expected == LineClock(0.0).at(stamp)


@pytest.mark.parametrize("stamp", [b"2026-11-22T10:00:00", b"2026-11-22 10:00:00", b"Nov 22 2026 10:00:00"])
def test_an_iso_stamp_without_a_zone_is_local_time(stamp: bytes) -> None:
    assert local(2026, 11, 22, 10) == LineClock(0.0).at(stamp)


FIRST, SECOND = utc(2026, 11, 1, 5, 30), utc(2026, 11, 1, 6, 30)  # half past one in New York, and half past one again


@pytest.mark.parametrize("stamp", [b"Nov  1 01:30:00", b"Nov 1 2026 01:30:00", b"2026-11-01T01:30:00"])
@pytest.mark.parametrize("asked_before", [FIRST, SECOND])
@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param(FIRST, FIRST, id="now is the first"),
        pytest.param(FIRST + 600, FIRST, id="shortly after"),
        pytest.param(SECOND - 600, SECOND, id="a clock that is ten minutes ahead"),
        pytest.param(SECOND, SECOND, id="now is the second"),
        pytest.param(SECOND + 86400, SECOND, id="a day later"),
    ],
)
def test_an_hour_that_comes_twice_is_read_by_what_time_it_is(
    stamp: bytes, asked_before: float, reference: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    time.mktime(time.localtime(asked_before))
    assert expected == LineClock(reference).at(stamp)


def test_a_fraction_of_a_bsd_stamp_counts() -> None:
    assert local(2026, 11, 22, 10, 28, 45) + 0.25 == LineClock(local(2026, 11, 23)).at(b"Nov 22 10:28:45.25")


@pytest.mark.parametrize(
    "stamp",
    [
        *(
            b"",
            b"-",
            b"Feb 30 10:00:00",
            b"Feb 29 2026 10:00:00",
            b"Abc 22 10:00:00",
            b"Nov 22 24:00:00",
            b"Nov 22 10:00:60",
            b"Nov 0 10:00:00",
        ),
        *(b"2026-13-01T10:00:00Z", b"2026-02-30T10:00:00Z", b"2026-11-22T10:00:60Z", b"2026-11-22T10:00:00+99:00", b"0000-01-01T00:00:00"),
        *(b"Nov 22 0000 10:00:00", b"2026-11-22T10:00:00\xff", b"9"),
    ],
)
def test_a_line_without_a_readable_stamp_has_the_time_of_the_line_before(stamp: bytes) -> None:
    clock = LineClock(local(2026, 11, 23))
    before = clock.at(b"Nov 22 10:28:45")
    assert before == clock.at(stamp)
    assert LineClock(5.0).reference == LineClock(5.0).at(stamp)


@pytest.mark.parametrize("stamp", [b"0001-01-01T00:00:00", b"9999-12-31T23:59:59", b"Nov 22 0001 10:00:00", b"Dec 31 9999 23:59:59"])
def test_the_ends_of_the_calendar_raise_nothing(stamp: bytes) -> None:
    assert isinstance(LineClock(0.0).at(stamp), float)


@pytest.mark.parametrize("month", range(1, 13))
def test_no_line_is_more_than_a_day_ahead_nor_a_year_behind(month: int) -> None:
    reference = local(2026, month, 15, 12)
    for day in range(1, 366):
        moment = time.localtime(reference - day * DAY_SECONDS)
        found = LineClock(reference).at(time.strftime("%b %e %H:%M:%S", moment).encode())
        assert reference - 366 * DAY_SECONDS <= found <= reference + DAY_SECONDS
        assert time.localtime(found)[1:6] == moment[1:6]
