"""deploy/rc.d/syslogauth under dash, with an rc.subr and a daemon(8) that are made here: see rc_subr.py."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadline import wait_until
from tests.needs import need
from tests.processes import alive
from tests.rc_subr import RC_SUBR, STUBS, Service

SCRIPT = Path(__file__).parent.parent.parent / "deploy/rc.d/syslogauth"

CONFIG = "--config {}/syslogauth.toml"
CHECK = [f"su -m syslogauth -c {{}}/bin/syslogauth check-config {CONFIG}", f"syslogauth check-config {CONFIG}"]
DAEMON = (
    "daemon -c -f -r -S -T syslogauth -P {}/run/supervisor.pid -p {}/run/syslogauth.pid -u syslogauth "
    "{}/bin/syslogauth run --config {}/syslogauth.toml"
)
START = [
    "install -d -o root -g 0 -m 0755 {}/run",
    "install -d -o syslogauth -g 0 -m 0750 {}/state",
    *CHECK,
    f"su -m syslogauth -c {{}}/bin/syslogauth export {CONFIG}",
    f"syslogauth export {CONFIG}",
    DAEMON,
    f"syslogauth run {CONFIG}",
]


@pytest.fixture(params=["FreeBSD 13", "FreeBSD 14"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    for tool in ("dash", "pgrep", "pkill"):
        need(tool)
    made = Service(tmp_path)
    for directory in ("bin", "rc.d"):
        made.file(directory).mkdir()
    for name, text in STUBS.items():
        made.file(f"bin/{name}").write_text(text)
        made.file(f"bin/{name}").chmod(0o755)
    made.file("rc.subr").write_text(RC_SUBR)
    script = SCRIPT.read_text()
    for path, own in {"/etc/rc.subr": "rc.subr", "/var/run/syslogauth": "run", "/usr/sbin/daemon": "bin/daemon"}.items():
        assert path in script
        script = script.replace(path, str(made.file(own)))
    made.file("rc.d/syslogauth").write_text(script)
    if request.param == "FreeBSD 13":
        made.file("leaves_at_once").touch()
    made.file("syslogauth.toml").touch()
    made.configure(enable="YES", **settings(made))
    yield made
    for name in ("supervisor", "syslogauth"):  # its supervisor first
        if made.file(f"run/{name}.pid").exists():
            os.kill(made.pid(name), signal.SIGKILL)


def settings(service: Service) -> dict[str, str]:
    own = {"config": "syslogauth.toml", "executable": "bin/syslogauth", "statedir": "state"}
    return {name: str(service.file(path)) for name, path in own.items()}


def started(service: Service) -> tuple[int, int]:
    """Start it; the supervisor's process id and the daemon's."""
    done = service("start")
    assert (0, "Starting syslogauth.\n", "") == (done.returncode, done.stdout, done.stderr)
    wait_until(service.runs, "the daemon to run")
    assert START == service.called()
    return service.pid("supervisor"), service.pid("syslogauth")


def test_start_makes_the_directories_checks_publishes_and_only_then_starts(service: Service) -> None:
    supervisor, daemon = started(service)
    status = service("status")
    assert (0, f"syslogauth is running as pid {supervisor}.\n") == (status.returncode, status.stdout)
    assert alive(daemon)
    again = service("start")
    assert 0 != again.returncode
    assert "already running" in again.stderr
    assert [] == service.called()


def test_stop_ends_both_and_waits_for_the_daemon(service: Service) -> None:
    supervisor, daemon = started(service)
    assert 0 == service("stop").returncode
    assert ["TERM", "ended by TERM"] == service.signals()
    assert (False, False) == (alive(supervisor), alive(daemon))
    assert [] == service.called(), "nothing is started anew"
    status = service("status")
    assert (1, "syslogauth is not running.\n") == (status.returncode, status.stdout)


def test_the_end_of_the_machine_is_a_stop(service: Service) -> None:
    """rc.shutdown(8) says faststop, of scripts with KEYWORD shutdown."""
    supervisor, daemon = started(service)
    assert (0, "") == ((done := service("faststop")).returncode, done.stderr)
    assert ["TERM", "ended by TERM"] == service.signals()
    assert (False, False) == (alive(supervisor), alive(daemon))


def test_restart_tells_the_daemon_to_keep_its_maps_and_publishes_before_the_next(service: Service) -> None:
    before = started(service)
    done = service("restart")
    assert (0, "Stopping syslogauth; its maps stay.\nStarting syslogauth.\n") == (done.returncode, done.stdout)
    wait_until(service.runs, "the daemon to run again")
    assert ["USR1", "ended by USR1"] == service.signals(), "not one TERM, which would empty the maps"
    assert [*CHECK, *START] == service.called()
    assert [False, False] == [alive(pid) for pid in before]
    assert (True, True) == (alive(service.pid("supervisor")), alive(service.pid("syslogauth")))


def test_restart_with_a_bad_configuration_leaves_the_daemon_alone(service: Service) -> None:
    before = started(service)
    service.file("bad").touch()
    done = service("restart")
    assert (1, "mistake\n") == (done.returncode, done.stderr)
    assert [] == service.signals()
    assert before == (service.pid("supervisor"), service.pid("syslogauth"))
    assert [True, True] == [alive(pid) for pid in before]


def test_restart_of_what_does_not_run_starts_it(service: Service) -> None:
    done = service("restart")
    assert (0, "Starting syslogauth.\n") == (done.returncode, done.stdout)
    wait_until(service.runs, "the daemon to run")
    assert [*CHECK, *START] == service.called()


def test_reload_reaches_the_daemon_and_not_its_supervisor(service: Service) -> None:
    before = started(service)
    assert 0 == service("reload").returncode
    wait_until(lambda: service.signals() == ["HUP"], "the signal")
    assert CHECK == service.called()
    assert [True, True] == [alive(pid) for pid in before]


def test_reload_of_a_bad_configuration_is_refused(service: Service) -> None:
    started(service)
    service.file("bad").touch()
    assert (1, "mistake\n") == ((done := service("reload")).returncode, done.stderr)
    assert [] == service.signals()


def test_a_stale_pid_file_makes_nobody_else_the_target(service: Service) -> None:
    supervisor, daemon = started(service)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        service.file("run/syslogauth.pid").write_text(f"{stranger.pid}\n")
        assert 0 != service("reload").returncode
        assert None is stranger.poll()
        stranger.kill()
    service.file("run/syslogauth.pid").write_text(f"{daemon}\n")
    assert alive(supervisor)


@pytest.mark.parametrize(("verb", "code"), [("stop", 1), ("faststop", 0), ("reload", 1)])
def test_what_does_not_run_cannot_be_told_anything(verb: str, code: int, service: Service) -> None:
    done = service(verb)
    assert code == done.returncode
    assert ("not running?" in done.stderr) == (code != 0)


def test_a_bad_configuration_is_not_started(service: Service) -> None:
    service.file("bad").touch()
    done = service("start")
    assert 1 == done.returncode
    assert done.stderr.startswith("mistake\n")
    assert START[:4] == service.called()


def test_a_configuration_that_is_not_there_is_not_started(service: Service) -> None:
    service.file("syslogauth.toml").unlink()
    done = service("start")
    assert 1 == done.returncode
    assert "is not readable" in done.stderr
    assert [] == service.called()


def test_maps_that_cannot_be_written_do_not_keep_the_daemon_from_its_start(service: Service) -> None:
    service.file("no_export").touch()
    done = service("start")
    assert (0, "cannot\nsyslogauth: WARNING: the maps could not be written; the daemon will try again\n") == (done.returncode, done.stderr)
    wait_until(service.runs, "the daemon to run")
    assert DAEMON in service.called()


def test_checkconfig_says_what_syslogauth_says(service: Service) -> None:
    assert (0, "the configuration is right\n") == ((done := service("checkconfig")).returncode, done.stdout)
    service.file("bad").touch()
    assert (78, "mistake\n") == ((done := service("checkconfig")).returncode, done.stderr)
    assert CHECK + CHECK == service.called()


def test_it_is_off_by_default(service: Service) -> None:
    service.configure(**settings(service))
    assert 'syslogauth_enable="NO"\n' == service("rcvar").stdout
    done = service("start")
    assert (0, "Cannot 'start' syslogauth.\n") == (done.returncode, done.stdout)
    assert [] == service.called()
    assert 0 == service("onestart").returncode
    wait_until(service.runs, "the daemon to run")
    assert DAEMON in service.called()


def test_settings_of_rc_conf_reach_the_daemon_and_flags_not_its_supervisor(service: Service) -> None:
    service.configure(enable="YES", runas="mailauth", flags="--more", **settings(service))
    assert 0 == service("start").returncode
    wait_until(service.runs, "the daemon to run")
    (called,) = [line for line in service.called() if line.startswith("daemon ")]
    assert DAEMON.replace("-u syslogauth", "-u mailauth") + " --more" == called


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_shells_can_read_it(shell: str) -> None:
    checked = subprocess.run([need(shell), "-n", SCRIPT], capture_output=True, text=True, check=False)
    assert (0, "") == (checked.returncode, checked.stderr)


def test_rcorder_finds_its_words() -> None:
    words = dict(re.findall(r"^# (PROVIDE|REQUIRE|BEFORE|KEYWORD): (.*)$", SCRIPT.read_text(), re.MULTILINE))
    assert {"PROVIDE": "syslogauth", "REQUIRE": "LOGIN FILESYSTEMS", "BEFORE": "mail", "KEYWORD": "shutdown"} == words


def test_rc_conf_is_documented_at_its_defaults() -> None:
    documented = dict(re.findall(r'^# syslogauth_(\w+)="(.*?)"', SCRIPT.read_text(), re.MULTILINE))
    assert {"flags": ""} | dict(re.findall(r"^: \$\{syslogauth_(\w+):=(.*)\}$", SCRIPT.read_text(), re.MULTILINE)) == documented


def test_the_pid_file_of_rc_is_the_supervisors_where_daemon_starts_the_child_anew() -> None:
    """With -r and the child's, a stop would kill the child, and daemon(8) would start it again; HUP goes to the child all the same."""
    script = SCRIPT.read_text()
    (words,) = re.findall(r'^command_args="(.*?)\\$', script, re.MULTILINE)
    assert {"-r", "-P", "-p"} <= {*words.split()}
    assert "-P ${pidfile} -p ${childfile}" in words
    assert "pidfile=${rundir}/supervisor.pid" in script


def test_no_variable_of_the_script_is_one_that_rc_subr_takes_for_its_own() -> None:
    """${name}_user would run daemon(8) itself as that user, beside its own -u (rc.subr(8))."""
    own = set(re.findall(r"^: \$\{syslogauth_(\w+):=", SCRIPT.read_text(), re.MULTILINE))
    assert {"enable", "config", "executable", "runas", "statedir"} == own
    taken = {
        "user",
        "group",
        "groups",
        "chdir",
        "chroot",
        "env",
        "env_file",
        "fib",
        "limits",
        "login_class",
        "nice",
        "oomprotect",
        "prepend",
    }
    assert set() == own & (taken | {"program", "setup", "svcj", "umask"})
