"""policy.store_users on a running daemon: what its state directory and its log hold of a user's name."""

import os
import signal
from pathlib import Path

from tests.deadline import wait_until
from tests.running import A, B, C, D, Site, log_in, send

NAME = "mallory"
PRIVATE = "[policy]\nstore_users = false\nmax_addresses_per_user = 2\n"


def users(site: Site) -> dict[str, str]:
    return {entry["address"]: entry["user"] for entry in site.appliance.listed()}


def written(site: Site) -> list[str]:
    """The files of its state directory that hold the name anywhere, and its log."""
    files = [path for path in (site.directory / "state").rglob("*") if path.is_file()]
    return [path.name for path in (*files, site.directory / "appliance.out") if NAME.encode() in path.read_bytes()]


def test_a_name_is_nowhere_and_one_user_is_one_user_all_the_same(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    private = site.text.replace("[policy]\n", PRIVATE)
    site.configure(private)
    site.start()
    try:
        log_in(site.udp, A, user=NAME)
        send(site.udp, f"<999>{NAME}", f"<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Successful login: {NAME}, rip=198.51.100.9")
        site.holds(A)
        wait_until(lambda: "refused: looks like a login" in site.appliance.said(), "refusals to be told")
        killed = site.child("receiver")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: site.child("receiver") not in (0, killed), "another receiver")
        site.appliance.wait_ready()
        log_in(site.udp, B, user=NAME)
        site.holds(A, B)
        log_in(site.udp, C, user=NAME)
        wait_until(lambda: site.figures()["grants_total user_limit"] == 1, "the limit by user")
        assert 1 == len(set(users(site).values()))
        assert [] == written(site)

        site.appliance.adopt(private.replace("store_users = false", "store_users = true"))
        log_in(site.udp, D, user=NAME)
        site.holds(A, B, D)
        assert NAME == users(site)[D]
        site.appliance.adopt(private)
        wait_until(lambda: users(site)[D] == "", "the name to leave the table")
        site.holds(A, B, D)
    finally:
        site.appliance.stop()
