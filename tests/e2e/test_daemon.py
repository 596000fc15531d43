"""The running daemon on loopback: what an administrator may do to it, and what becomes of the logins, the table and the map."""

import os
import signal
import socket

from tests.appliance import free_port
from tests.deadline import wait_until
from tests.processes import alive
from tests.running import A, B, C, D, Site, log_in, refused


def test_a_login_by_udp_opens_the_relay_and_its_line_is_counted(site: Site) -> None:
    site.start()
    assert (200, "ok\n") == site.appliance.get("/-/healthy") == site.appliance.get("/-/ready")
    assert 404 == site.appliance.get("/")[0] == site.appliance.get("/metrics/x")[0]
    assert not site.appliance.allows(A)
    log_in(site.udp, A, D, service="pop3")
    wait_until(lambda: site.appliance.allows(A) and site.appliance.allows(D), "both to be granted")
    site.holds(A, D)
    assert 0o640 == site.map.stat().st_mode & 0o7777
    wait_until(lambda: site.figures().get("logins_total dovecot pop3") == 2, "both logins to be counted")
    figures = site.figures()
    outcomes = sum(value for name, value in figures.items() if name.startswith("outcomes_total"))
    assert 2 == outcomes == figures["datagrams_received_total udp"] == figures["grants_total new"]


def test_commands_reach_the_map_of_the_running_daemon(site: Site) -> None:
    site.start()
    log_in(site.udp, A, B)
    site.holds(A, B)
    assert 0 == site.appliance.ask("revoke", A).returncode
    assert 0 == site.appliance.ask("grant", C, "--seconds", "600").returncode
    site.holds(B, C)
    assert 0 == site.appliance.ask("deny", B).returncode
    site.holds(C)
    assert 0 == site.appliance.ask("flush", "--yes").returncode
    site.holds()


# stopping and starting


def test_a_stop_empties_the_map_and_a_restart_makes_it_whole(site: Site) -> None:
    site.start()
    log_in(site.udp, A, B)
    site.holds(A, B)
    wait_until(lambda: site.figures().get("login_to_export_seconds_count") == 2, "their waits to be measured")
    assert 0 == site.signal(signal.SIGTERM)
    assert frozenset() == site.keys()
    assert site.appliance.allows(A)
    site.start()
    site.holds(A, B)
    wait_until(lambda: site.figures().get(f"export_entries {site.directory}/popauth") == 2, "the exporter's figures")
    assert 0 == site.figures()["login_to_export_seconds_count"]  # nobody has waited for this publication
    assert 0 == site.appliance.ask("export", "--check").returncode


def test_a_stop_for_a_restart_keeps_the_map(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    assert 0 == site.signal(signal.SIGUSR1)
    assert {A} == site.keys()


def test_a_stop_takes_in_what_the_kernel_still_holds(site: Site) -> None:
    site.start()
    addresses = [f"198.18.{n // 250}.{n % 250 + 1}" for n in range(500)]
    for first in range(0, 500, 250):  # max_addresses_per_user
        log_in(site.udp, *addresses[first : first + 250], user=f"user{first}")
    assert 0 == site.signal(signal.SIGTERM)
    assert set(addresses) == {entry["address"] for entry in site.appliance.listed()}


def test_a_stop_empties_the_map_also_where_the_exporter_has_just_died(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    exporter = site.child("exporter")
    os.kill(exporter, signal.SIGKILL)
    wait_until(lambda: not alive(exporter), "the exporter to die")
    assert 0 == site.signal(signal.SIGTERM)
    assert frozenset() == site.keys()


def test_on_stop_keep_is_the_administrators_choice(site: Site) -> None:
    site.configure(site.text.replace("[policy]", '[policy]\non_stop = "keep"'))
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    assert 0 == site.signal(signal.SIGTERM)
    assert {A} == site.keys()


# reloading


def test_a_good_file_is_taken_at_sighup_and_the_counters_go_on(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    site.reload(site.text.replace("[policy]", '[policy]\nservices = ["pop3"]'))
    wait_until(site.appliance.ready, "the daemon to be ready again")
    log_in(site.udp, B, service="imap")
    log_in(site.udp, C, service="pop3")
    site.holds(A, C)
    wait_until(lambda: site.figures()["datagrams_received_total udp"] == 3, "all three to be counted")
    figures = site.figures()
    assert (1, 2, 1) == (figures["outcomes_total service"], figures["outcomes_total grant"], figures["config_last_reload_successful"])
    assert (0, 0) == (figures["process_restarts_total receiver"], figures["process_restarts_total exporter"])


def test_a_bad_file_at_sighup_leaves_the_old_configuration_at_work(site: Site) -> None:
    site.start()
    taken = site.figures()["config_last_reload_success_timestamp_seconds"]
    site.reload(site.text.replace("grace_seconds", "grace_secnods"))
    assert "policy.grace_secnods: no such setting (did you mean grace_seconds?)" in site.appliance.said()
    figures = site.figures()
    assert (0, taken) == (figures["config_last_reload_successful"], figures["config_last_reload_success_timestamp_seconds"])
    log_in(site.udp, A)
    site.holds(A)
    site.reload(site.text)
    wait_until(lambda: site.figures()["config_last_reload_successful"] == 1, "the good file to be taken")
    site.reload(site.text.replace("/state", "/elsewhere"))
    assert "state_directory, metrics.listen: cannot change while it runs; restart syslogauth" in site.appliance.said()
    assert not (site.directory / "elsewhere").exists()
    assert 0 == site.figures()["config_last_reload_successful"]


def test_a_stop_right_behind_a_reload_is_obeyed_at_once(site: Site) -> None:
    site.start()
    log_in(site.udp, A)
    site.holds(A)
    site.reload(site.text)
    assert 0 == site.signal(signal.SIGTERM)
    assert "did not stop in time" not in site.appliance.said()
    assert frozenset() == site.keys()


def test_an_address_that_is_added_is_listened_on_and_one_that_is_removed_no_longer(site: Site) -> None:
    site.start()
    second = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
    first_text, second_text = (f'"127.0.0.1:{port}"' for port in (site.udp[1], second[1]))
    site.reload(site.text.replace(first_text, f"{first_text}, {second_text}"))
    log_in(site.udp, A)
    log_in(second, B)
    site.holds(A, B)
    site.reload(site.text.replace(first_text, second_text))
    log_in(second, C)
    site.holds(A, B, C)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(site.udp)
        wait_until(lambda: refused(sender), "the first port to be closed")
    assert 1 == sum(name.startswith("receive_buffer_bytes") for name in site.figures())
