"""What the log is told of peers and refusals, and when: time is passed in."""

from collections.abc import Iterable

import pytest

from syslogauth.core.refusals import MOST_PEERS, OTHERS, Example, example_of
from syslogauth.tidings import HOUR_SECONDS, MINUTE_SECONDS, Tiding, Tidings

FARM, OTHER = "10.0.0.0/8", "192.0.2.7"
AT = 1_795_429_725.0  # 2026-11-23T10:28:45Z
EXAMPLE = example_of(b"<22>?\x1b", "10.0.0.1")


def refused(peer: str = FARM, count: int = 1, reason: str = "malformed", example: Example = EXAMPLE) -> list[object]:
    return [reason, peer, count, list(example)]


def hear(one: Tidings, now: float, *rows: object, first: dict[str, str] | None = None) -> None:
    one.hear({"first_senders": first or {}, "refused": rows}, now)


def due(
    one: Tidings, now: float, last: dict[str, float] | None = None, *, silent: float = 900.0, users: bool = False, at_work: bool = True
) -> list[Tiding]:
    return list(one.due(last or {}, now, silent_after_seconds=silent, users=users, at_work=at_work))


def events(tidings: Iterable[Tiding]) -> list[tuple[str, str]]:
    return [(tiding.event, tiding.fields["peer"]) for tiding in tidings]


def test_the_first_refusal_is_told_at_once_and_what_goes_on_more_and_more_rarely() -> None:
    one, told = Tidings(), []
    for second in range(3 * int(HOUR_SECONDS)):
        hear(one, second, refused())
        told += [(second, tiding.fields["messages"]) for tiding in due(one, second)]
    assert [0, 60, 180, 420, 900, 1860, 3780, 7380] == [second for second, _ in told]
    assert [1, 60, 120, 240, 480, 960, 1920, 3600] == [messages for _, messages in told]


def test_what_stopped_for_as_long_as_it_was_last_waited_for_begins_anew() -> None:
    one = Tidings()
    hear(one, 0, refused())
    assert 1 == len(due(one, 0))
    assert [] == due(one, MINUTE_SECONDS)
    hear(one, MINUTE_SECONDS + 1, refused())
    assert 1 == len(due(one, MINUTE_SECONDS + 1))


def test_several_processes_make_one_line_by_reason_and_peer() -> None:
    one = Tidings()
    for worker in range(4):
        hear(one, 0, refused(count=2), refused(OTHER), refused(reason="oversize", example=example_of(b"", f"10.0.0.{worker}")))
    told = due(one, 0)
    assert [("malformed", FARM, 8), ("malformed", OTHER, 4), ("oversize", FARM, 4)] == [
        (tiding.fields["reason"], tiding.fields["peer"], tiding.fields["messages"]) for tiding in told
    ]
    assert "10.0.0.0" == told[2].fields["sender"]


def test_a_thousand_peers_of_a_reason_make_no_thousand_lines() -> None:
    one = Tidings()
    for number in range(1000):
        hear(one, 0, refused(str(number), reason="unlisted_peer"))
    told = due(one, 0)
    assert MOST_PEERS + 1 == len(told)
    assert (OTHERS, 1000 - MOST_PEERS) == (told[-1].fields["peer"], told[-1].fields["messages"])


def test_the_example_s_text_is_told_only_where_users_may_be_named() -> None:
    for users, expected in ((False, None), (True, "<22>?\\x1b")):
        one = Tidings()
        hear(one, 0, refused())
        [tiding] = due(one, 0, users=users)
        assert expected == tiding.fields.get("example")
        assert (("warning", "refused: no syslog message"), 6, "10.0.0.1") == (tiding[:2], tiding.fields["bytes"], tiding.fields["sender"])


@pytest.mark.parametrize(
    ("reason", "example", "mend"),
    [
        ("unlisted_peer", Example(OTHER, 1), 'if it is one of your mail servers, add "192.0.2.7" to listen.peers'),
        ("unlisted_facility", Example(OTHER, 1, "daemon", "popa3d"), 'where logins come by it, add "daemon" to listen.facilities'),
        ("no_priority", Example(OTHER, 1), 'where its syslogd is socklog: listen.accept_without_pri = ["192.0.2.7"]'),
        (
            "unescaped_source",
            Example("mx1", 1, "mail", "imapd", listed_in="tls_peers"),
            'where its syslogd escapes line feeds, say so: [[listen.source]] tls_peers = ["mx1"], escapes = true',
        ),
        ("untrusted_proxy", Example(OTHER, 1, via="192.0.2.9"), 'if it is one of yours, add "192.0.2.9" to policy.trusted_proxies'),
        ("malformed", Example(OTHER, 1), None),
    ],
)
def test_a_line_says_how_to_mend_it(reason: str, example: Example, mend: str | None) -> None:
    one = Tidings()
    hear(one, 0, refused(reason=reason, example=example))
    [tiding] = due(one, 0)
    assert mend == tiding.fields.get("mend")


def test_the_first_message_of_a_peer_is_told_once_whoever_hears_of_it_and_though_its_reader_starts_anew() -> None:
    one = Tidings()
    for sender in ("10.0.0.1", "10.0.0.2"):
        hear(one, 0, first={FARM: sender})
    assert [Tiding("info", "first message of a peer", {"peer": FARM, "sender": "10.0.0.1"})] == due(one, 0)
    hear(one, 5000, first={FARM: "10.0.0.3", OTHER: OTHER})
    assert [("first message of a peer", OTHER)] == events(due(one, 5000, {FARM: AT}))


def test_a_peer_falls_silent_once_and_speaks_again_once() -> None:
    one = Tidings()
    hear(one, 0, first={FARM: "10.0.0.1"})
    told = [(now, *tiding) for now in range(0, 3000, 10) for tiding in due(one, now, {FARM: AT if now < 2000 else AT + 2000})]
    assert [
        (0, "info", "first message of a peer", {"peer": FARM, "sender": "10.0.0.1"}),
        (900, "warning", "peer gone silent", {"peer": FARM, "last_message": "2026-11-23T10:28:45+00:00", "silent_seconds": 900}),
        (2000, "info", "peer speaks again", {"peer": FARM, "silent_seconds": 2000}),
        (2900, "warning", "peer gone silent", {"peer": FARM, "last_message": "2026-11-23T11:02:05+00:00", "silent_seconds": 900}),
    ] == told


def test_nobody_falls_silent_where_that_is_switched_off_or_while_nobody_reads() -> None:
    for silent, at_work in ((0.0, True), (900.0, False)):
        one = Tidings()
        hear(one, 0, first={FARM: "10.0.0.1"})
        due(one, 0, {FARM: AT})
        assert [] == [tiding for now in range(0, 5000, 10) for tiding in due(one, now, {FARM: AT}, silent=silent, at_work=at_work)]


def test_silence_begins_anew_when_the_receivers_are_at_work_again() -> None:
    one = Tidings()
    hear(one, 0, first={FARM: "10.0.0.1"})
    due(one, 0, {FARM: AT})
    assert [] == due(one, 2000, {FARM: AT}, at_work=False)
    assert [] == due(one, 2899, {FARM: AT})
    assert [("peer gone silent", FARM)] == events(due(one, 2900, {FARM: AT}))


def test_the_wall_clock_s_steps_make_nobody_silent() -> None:
    one = Tidings()
    hear(one, 0, first={FARM: "10.0.0.1"})
    due(one, 0, {FARM: AT})
    assert [] == [tiding for now in range(100, 5000, 100) for tiding in due(one, now, {FARM: AT - 86400 + now})]


def test_a_peer_that_a_reload_has_taken_out_is_not_missed_and_would_be_new() -> None:
    one = Tidings()
    hear(one, 0, first={FARM: "10.0.0.1", OTHER: OTHER})
    due(one, 0, {FARM: AT, OTHER: AT})
    one.keep({OTHER})
    assert [("peer gone silent", OTHER)] == events(due(one, 1000, {FARM: AT, OTHER: AT}))
    hear(one, 1000, first={FARM: "10.0.0.1"})
    assert [("first message of a peer", FARM)] == events(due(one, 1000, {FARM: AT, OTHER: AT}))
