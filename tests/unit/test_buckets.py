import pytest

from syslogauth.exports.buckets import bucket_count, split


@pytest.mark.parametrize(
    ("stored_bytes", "previous", "expected"),
    [
        pytest.param(0, 0, 2, id="an empty table has two buckets"),
        pytest.param(1500, 0, 2, id="75 % of them is enough"),
        pytest.param(1501, 0, 4, id="more is not"),
        pytest.param(1501, 2, 4, id="the previous count goes once it is outgrown"),
        pytest.param(3001, 8, 8, id="it stays where a new table would have the same"),
        pytest.param(1000, 8, 8, id="it stays at an eighth"),
        pytest.param(999, 8, 2, id="under an eighth it goes"),
        pytest.param(0, 2, 2, id="there are never fewer than two"),
        pytest.param(100, 6, 2, id="no power of two, as libdb may have left it"),
        pytest.param(100, 1 << 25, 2, id="more buckets than the writers can hash for"),
    ],
)
def test_bucket_count(stored_bytes: int, previous: int, expected: int) -> None:
    assert expected == bucket_count(stored_bytes, 1000, previous)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        pytest.param([], [[]], id="an empty bucket has a page"),
        pytest.param([40, 40], [[40, 40]], id="two entries that fill a page"),
        pytest.param([40, 41], [[40], [41]], id="one byte too much"),
        pytest.param([90, 90, 10], [[90], [90], [10]], id="a page for each"),
    ],
)
def test_split(lengths: list[int], expected: list[list[int]]) -> None:
    assert expected == [[len(key) for key in part] for part in split([b"x" * length for length in lengths], 10, 100)]
