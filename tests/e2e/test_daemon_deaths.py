"""The running daemon when its children die, and when somebody else has a hand in its map."""

import os
import resource
import signal
import subprocess
from itertools import count, islice
from pathlib import Path

import pytest

from tests.deadline import wait_until
from tests.needs import need
from tests.processes import PROC, alive, children
from tests.running import A, B, Site, log_in

# somebody else's hand, and the deaths of the children


def test_maps_that_somebody_else_changed_are_made_whole_within_seconds(site: Site) -> None:
    names = ("popauth", "second", "third")
    exports = "".join(f'[[export]]\npath = "{site.directory}/{name}"\nformat = "hash9"\n' for name in names[1:])
    site.configure(site.text.replace("[metrics]", exports + "[metrics]"))
    site.start()
    log_in(site.udp, A, B)
    overwritten, made_anew, deleted = (site.directory / f"{name}.db" for name in names)
    wait_until(lambda: [Site.read(path) for path in (overwritten, made_anew, deleted)] == [{A, B}] * 3, "three maps")
    with overwritten.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))
    subprocess.run([need("makemap"), "hash", made_anew], input=b"203.0.113.9\tOK\n", check=True)
    deleted.unlink()
    for path in (overwritten, made_anew, deleted):
        assert {A, B} != Site.read(path)
    wait_until(lambda: [Site.read(path) for path in (overwritten, made_anew, deleted)] == [{A, B}] * 3, "the maps to be whole again")
    wait_until(lambda: 2 <= site.figures()[f"exports_total {site.directory}/popauth whole"], "the repair to be counted")


def test_a_file_of_another_kind_at_the_maps_path_is_not_overwritten(site: Site) -> None:
    site.map.write_bytes(b"somebody's work " * 1000)
    site.appliance.start()
    wait_until(lambda: "no map at all" in site.appliance.said(), "the refusal to be logged")
    wait_until(lambda: answered(site) and 503 == site.appliance.get("/-/ready")[0], "the daemon not to be ready")
    wait_until(lambda: "or empty it" in site.appliance.get("/-/ready")[1], "the reason to be told")
    assert 1 == site.appliance.get("/-/ready")[1].count("\n")
    assert b"somebody's work " * 1000 == site.map.read_bytes()
    site.map.unlink()
    site.appliance.wait_ready()


def answered(site: Site) -> bool:
    try:
        site.appliance.get("/-/healthy")
    except OSError:
        return False
    return True


def test_the_death_of_the_exporter_does_not_hurt_the_receiver(site: Site) -> None:
    site.start()
    receiver, exporter = site.child("receiver"), site.child("exporter")
    os.kill(exporter, signal.SIGKILL)
    log_in(site.udp, A)
    site.holds(A)
    assert receiver == site.child("receiver")
    assert exporter != site.child("exporter")
    wait_until(lambda: site.figures()["process_restarts_total exporter"] == 1, "the restart to be counted")


@pytest.mark.parametrize("spare", [0, 2])
def test_a_parent_that_can_start_no_process_tries_until_it_can(tmp_path: Path, spare: int) -> None:
    """It has so many descriptors left: none for the control socket, or none for what a start takes besides."""
    site = Site(tmp_path, grace_seconds=4)
    site.start()
    parent = site.appliance.parent()
    try:
        log_in(site.udp, A)
        site.holds(A)
        receiver, exporter = site.child("receiver"), site.child("exporter")
        limits = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        used = {int(file.name) for file in (PROC / str(parent) / "fd").iterdir()}
        unused = (number for number in count() if number not in used)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (next(islice(unused, spare, None)), limits[1]))
        os.kill(exporter, signal.SIGKILL)
        wait_until(lambda: "cannot be started" in site.appliance.said(), "the failure to be logged")
        assert frozenset((A,)) == site.keys()
        resource.prlimit(parent, resource.RLIMIT_NOFILE, limits)
        site.holds()
        assert site.child("exporter") not in (0, exporter)
        assert receiver == site.child("receiver")
        wait_until(site.appliance.ready, "the daemon to be ready again")
        assert 1 <= site.figures()["process_restarts_total exporter"]
    finally:
        site.appliance.stop()


def test_a_receiver_that_hangs_is_unhealthy_and_its_death_stops_no_expiry_and_loses_no_datagram(tmp_path: Path) -> None:
    site = Site(tmp_path, grace_seconds=4)
    site.start()
    try:
        log_in(site.udp, A)
        site.holds(A)
        os.kill(site.child("receiver"), signal.SIGSTOP)
        log_in(site.udp, B)
        site.holds()
        assert not site.appliance.allows(A)
        wait_until(lambda: site.figures().get("grants_expired_total") == 1, "the expiry to be counted")
        wait_until(lambda: 503 == site.appliance.get("/-/healthy")[0], "the missing heartbeat to be noticed", 15)
        assert site.appliance.get("/-/healthy")[1].startswith("receiver: no heartbeat for 1")
        os.kill(site.child("receiver"), signal.SIGKILL)
        site.holds(B)
        wait_until(lambda: site.figures()["process_restarts_total receiver"] == 1, "the restart to be counted")
    finally:
        site.appliance.stop()


def test_children_end_by_themselves_when_the_parent_is_killed_and_the_map_stays(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    orphans = children(site.appliance.parent())
    assert 2 == len(orphans)
    site.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, orphans)), "the orphans to end")
    assert {A} == site.keys()
    site.start()
    site.holds(A)
