"""The whole log of a running daemon with two receivers: each thing that happens is one line, and nothing else is said."""

import json
import os
import socket
from typing import Any

import pytest

from tests.deadline import wait_until
from tests.running import LOGIN, A, B, Site, log_in, send

HEARD, NEVER, UNLISTED, STRANGER = "127.0.0.1/32", "127.0.0.3/32", "127.0.0.2", "127.0.0.4"
NAME = "mallory"
FORGED = f"<22>Nov 22 10:09:49 mail1 imapd[7]: Login user={NAME}\n\x1b[31m\u202e host=x [192.0.2.9]"
SILENCE = ("peer gone silent", "peer speaks again")
SETTINGS = """[log]
silent_after_seconds = 1
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the daemon says of a life with everything in it."""
    site = Site(tmp_path_factory.mktemp("story") / "site")
    text = site.text.replace("[policy]", f'peers = ["{HEARD}", "{NEVER}"]\nworkers = 2\n[policy]').replace(
        "[metrics]", f"{SETTINGS}[metrics]"
    )
    site.configure(text)
    try:
        site.start()
        tell(site, text)
    finally:
        site.appliance.stop()
    return lines(site)


def tell(site: Site, text: str) -> None:
    for number in range(16):  # the kernel picks a receiver by the sender's port: both have some of them
        log_in(site.udp, A, user=f"{NAME}{number}")
    site.holds(A)
    for _ in range(2):
        send_from(UNLISTED, site.udp, LOGIN.format(service="imap", user=NAME, address=B))
    for _ in range(8):
        send(site.udp, FORGED)
    said(site, "first message of a peer", "refused: sender not in listen.peers", "refused: control bytes in a message", "peer gone silent")
    send(site.udp, "<999>?")
    said(site, "peer speaks again", "refused: no syslog message")
    aside = site.map.rename(site.directory / "aside")
    site.map.mkdir()
    log_in(site.udp, B, user=NAME)
    said(site, "export failed; the map stays as it was")
    wait_until(lambda: site.figures()[f"exports_total {site.directory}/popauth failed"] > 1, "it to be tried again")
    site.map.rmdir()
    aside.rename(site.map)
    said(site, "export works again")
    site.reload(text.replace("silent_after_seconds = 1", "silent_after_seconds = 0\nusers = true"))
    site.appliance.wait_ready()
    send_from(STRANGER, site.udp, LOGIN.format(service="imap", user="carol\x1b[0m", address=B))
    wait_until(lambda: any("example" in line for line in lines(site)), "an example to be said")


def said(site: Site, *events: str) -> None:
    wait_until(lambda: set(events) <= {line["event"] for line in lines(site)}, f"{events} to be said, not {lines(site)}")


def lines(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in site.appliance.said().splitlines()]


def send_from(host: str, server: tuple[str, int], line: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((host, 0))
        sender.sendto(line.encode(), server)


def test_each_thing_that_happened_is_one_line_in_its_order_and_nothing_else_is_said(story: list[dict[str, Any]]) -> None:
    root = ["runs as root; give the state directory to a user of its own"] if os.geteuid() == 0 else []
    refusals = ["refused: sender not in listen.peers", "refused: control bytes in a message", "refused: no syslog message"]
    export = ["export failed; the map stays as it was", "export works again"]
    again = "refused: sender not in listen.peers"
    told = [line["event"] for line in story if line["event"] not in SILENCE]
    assert [*root, "start", "first message of a peer", *sorted(refusals[:2]), refusals[2], *export, "reload", again, "stop"] == [
        *told[: len(root) + 2],
        *sorted(told[len(root) + 2 : len(root) + 4]),
        *told[len(root) + 4 :],
    ]


def test_silence_and_its_end_take_turns_until_it_is_switched_off(story: list[dict[str, Any]]) -> None:
    told = [line["event"] for line in story if line["event"] in SILENCE]
    assert [SILENCE[number % 2] for number in range(max(2, len(told)))] == told
    reload = next(number for number, line in enumerate(story) if line["event"] == "reload")
    assert not any(line["event"] in SILENCE for line in story[reload:])


def test_a_peer_is_named_with_its_sender_and_one_that_never_sent_is_not(story: list[dict[str, Any]]) -> None:
    assert (HEARD, "127.0.0.1") == tuple(one(story, "first message of a peer")[key] for key in ("peer", "sender"))
    assert not any(line.get("peer") == NEVER for line in story)


def test_refusals_of_both_receivers_are_one_line_with_what_mends_them(story: list[dict[str, Any]]) -> None:
    forged, unlisted = one(story, "refused: control bytes in a message"), one(story, "refused: sender not in listen.peers")
    assert ("control_bytes", HEARD, "127.0.0.1") == tuple(forged[key] for key in ("reason", "peer", "sender"))
    assert ("unlisted_peer", UNLISTED, UNLISTED) == tuple(unlisted[key] for key in ("reason", "peer", "sender"))
    # the first line is said at once: what came after it, by the other receiver's next beat, is for the line a minute later
    assert [True, True] == [1 <= forged["messages"] <= 8, 1 <= unlisted["messages"] <= 2]
    assert f'if it is one of your mail servers, add "{UNLISTED}" to listen.peers' == unlisted["mend"]


def test_no_user_is_named_before_that_is_allowed_and_then_as_text_that_drives_no_terminal(story: list[dict[str, Any]]) -> None:
    assert NAME not in json.dumps(story)
    told = [line for line in story if "example" in line]
    assert ["user=<carol\\x1b[0m>"] == [word.rstrip(",") for line in told for word in line["example"].split() if word.startswith("user=")]
    assert all(value.isprintable() for line in story for value in line.values() if isinstance(value, str))


def one(story: list[dict[str, Any]], event: str) -> dict[str, Any]:
    """The first line of that event."""
    return next(line for line in story if line["event"] == event)
