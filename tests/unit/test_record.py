import pytest

from syslogauth.record import FOR_EVER_MS, KINDS, Bounds, Entry, decode, encode, ms, prolonged, user_bytes

ADDRESS = bytes((192, 0, 2, 25))
ENTRY = Entry(ADDRESS, "login", 1700001800.0, 1700000000.0, 1700000000.5, 3, "imap", "dovecot", "alice", "mail1", "192.0.2.0/24")
BYTES = b"".join(
    (
        b"\x01\x00",
        (1700001800000).to_bytes(8),
        (1700000000000).to_bytes(8),
        (1700000000500).to_bytes(8),
        b"\x00\x00\x00\x03",
        b"\x04imap\x07dovecot\x05alice\x05mail1\x0c192.0.2.0/24",
    )
)


def entry(**changed: object) -> Entry:
    values = {name: getattr(ENTRY, name) for name in Entry._fields}
    return Entry(**{**values, **changed})  # type: ignore[arg-type]


def test_a_record_has_the_bytes_that_its_module_documents() -> None:
    assert BYTES == encode(ENTRY)


def test_an_entry_is_read_back_from_its_record() -> None:
    assert ENTRY == decode(ADDRESS, BYTES)


@pytest.mark.parametrize(("number", "kind"), list(enumerate(("login", "manual", "held"))))
def test_each_kind_has_the_number_that_is_stored(number: int, kind: str) -> None:
    assert KINDS[number] == kind
    assert number == encode(entry(kind=kind))[1]


def test_a_record_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^table record version 2: written by a newer syslogauth$"):
        decode(ADDRESS, b"\x02" + BYTES[1:])


@pytest.mark.parametrize(
    ("text", "read_back"),
    [
        ("", ""),
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 255),
        ("größe", "größe"),
        ("é" * 128, "é" * 127 + "\ufffd"),  # 256 bytes: cut in the middle of the last character
        ("a\udcffb", "a?b"),  # a byte of the command line that is not UTF-8, as Python hands it over
    ],
)
def test_a_text_is_kept_up_to_255_bytes(text: str, read_back: str) -> None:
    assert read_back == decode(ADDRESS, encode(entry(user=text))).user


def test_the_count_saturates() -> None:
    assert 0xFFFFFFFF == decode(ADDRESS, encode(entry(count=2**40))).count


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0, 0), (-5.0, 0), (1.0006, 1001), (1700000000.123, 1700000000123), (1e300, FOR_EVER_MS), (float("inf"), FOR_EVER_MS)],
)
def test_times_are_milliseconds_and_never_leave_their_eight_bytes(seconds: float, milliseconds: int) -> None:
    assert milliseconds == ms(seconds)


def test_each_kind_has_its_own_bound() -> None:
    bounds = Bounds(login_seconds=1800, manual_seconds=86400, held_seconds=60.5)
    assert [1_801_000, 86_401_000, 61_500] == [bounds.latest_ms(kind, 1000) for kind in range(3)]


@pytest.mark.parametrize(
    ("record", "user"),
    [
        (None, b""),
        (BYTES, b"alice"),
        (encode(entry(user="größe", service="", server="")), "größe".encode()),
        (encode(entry(user="")), b""),
        (encode(entry(kind="manual", user="a note")), b""),
        (b"\x02" + BYTES[1:], b""),
    ],
)
def test_the_user_of_a_record_is_that_of_a_login(record: bytes | None, user: bytes) -> None:
    assert user == user_bytes(record)


@pytest.mark.parametrize(
    ("before", "until", "after"),
    [
        (ENTRY, 1700001800.0, ENTRY),
        (ENTRY, 1700001801.0, entry(expires_at=1700001801.0)),
        (entry(kind="manual"), 1700001800.0, entry(kind="manual")),
        (entry(kind="manual"), 1700001801.0, entry(expires_at=1700001801.0, user="")),
    ],
)
def test_a_record_is_prolonged_and_never_shortened(before: Entry, until: float, after: Entry) -> None:
    assert after == decode(ADDRESS, prolonged(ADDRESS, encode(before), ms(until)))


def test_a_record_of_another_version_is_not_prolonged() -> None:
    assert b"\x02" + BYTES[1:] == prolonged(ADDRESS, b"\x02" + BYTES[1:], ms(1800000000.0))
