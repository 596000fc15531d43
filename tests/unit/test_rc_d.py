"""deploy/rc.d/syslogauth under dash, with an rc.subr, a daemon(8) and other commands of FreeBSD's that are made here.

The stubs do what FreeBSD's own do as far as the script can tell (rc.subr 12 to 15), and write down how they were called. daemon(8) is there
twice: up to FreeBSD 13 it leaves on TERM at once, later it waits for its child; both start a child that has ended anew.
"""

import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from syslogauth.config import SECTIONS, TOP, parse
from syslogauth.core.formats.site import KEYS
from tests.deadline import wait_until
from tests.needs import need
from tests.processes import alive

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
SCRIPT = DEPLOY / "rc.d/syslogauth"

RC_SUBR = r"""
load_rc_config() { . "$STUBS/rc.conf"; }
warn() { echo "$name: WARNING: $*" >&2; }
checkyesno() { eval "case \$$1 in [Yy][Ee][Ss]) return 0 ;; esac"; return 1; }
check_pidfile() {
    [ -s "$1" ] || return 0
    read -r _pid <"$1"
    case $(tr '\0' ' ' 2>/dev/null <"/proc/$_pid/cmdline") in *"$2"*) echo "$_pid" ;; esac
}
wait_for_pids() { while kill -0 "$1" 2>/dev/null; do sleep 0.02; done; }
_run_rc_precmd() {
    if [ "$rc_arg" = start ]; then
        for _file in $required_files; do [ -r "$_file" ] || { warn "$_file is not readable."; return 1; }; done
    fi
    [ -z "$_precmd" ] || eval "$_precmd"
}
run_rc_command() {
    rc_arg=$1
    case $rc_arg in
    fast*) rc_arg=${rc_arg#fast} rc_fast=yes ;;
    one*) rc_arg=${rc_arg#one}; eval "$rcvar=YES" ;;
    esac
    eval "command=\${${name}_program:-$command}"
    eval "_user=\$${name}_user"
    [ -z "$_user" ] || { echo "su would run daemon(8) as $_user" >&2; return 1; }
    if [ -n "$flags" ]; then rc_flags=$flags; else eval "rc_flags=\$${name}_flags"; fi
    case " start stop restart rcvar status $extra_commands " in *" $rc_arg "*) ;; *) echo "unknown directive" >&2; return 1 ;; esac
    rc_pid=$(check_pidfile "$pidfile" "${procname:-$command}")
    case $rc_arg in
    rcvar | status) ;;
    stop) [ -n "$rc_pid" ] || checkyesno "$rcvar" || { echo "Cannot '$rc_arg' $name."; return 0; } ;;
    *) checkyesno "$rcvar" || { echo "Cannot '$rc_arg' $name."; return 0; } ;;
    esac
    if [ "$rc_arg" = start ] && [ -n "$rc_pid" ]; then echo "$name already running?  (pid=$rc_pid)." >&2; return 1; fi
    eval "_cmd=\$${rc_arg}_cmd _precmd=\$${rc_arg}_precmd"
    if [ -n "$_cmd" ]; then _run_rc_precmd || return 1; eval "$_cmd"; return; fi
    case $rc_arg in
    rcvar) eval "echo $rcvar=\\\"\$$rcvar\\\"" ;;
    status) if [ -n "$rc_pid" ]; then echo "$name is running as pid $rc_pid."; else echo "$name is not running."; return 1; fi ;;
    start)
        _run_rc_precmd || { warn "failed precmd routine for $name"; return 1; }
        echo "Starting $name."
        eval "$command $rc_flags $command_args"
        ;;
    esac
}
"""

CALLED = '#!/bin/sh\necho "${0##*/} $*" >>"$STUBS/called"\n'
STUBS = {
    "install": CALLED + 'for last; do :; done; mkdir -p "$last"\n',
    "su": CALLED + '[ "$1" = -m ] && [ "$3" = -c ] && exec sh -c "$4"\n',
    "pwait": '#!/bin/sh\nwhile grep -q "^State:.[^ZX]" "/proc/$3/status" 2>/dev/null; do sleep 0.02; done\n',
    "daemon": CALLED
    + """
while getopts cfrST:P:p:u: option; do
    case $option in P) supervisor=$OPTARG ;; p) child=$OPTARG ;; esac
done
shift $((OPTIND - 1))
sh "$STUBS/bin/supervise" "$STUBS/bin/daemon" "$supervisor" "$child" "$@" </dev/null >/dev/null 2>&1 &
echo $! >"$supervisor"
""",
    "supervise": """#!/bin/sh
supervisor=$2 child=$3 ended=
shift 3
leave() { rm -f "$supervisor" "$child"; exit; }
trap 'ended=yes; kill -TERM $pid 2>/dev/null; [ ! -e "$STUBS/leaves_at_once" ] || leave' TERM
until [ "$ended" ]; do
    "$@" & pid=$!
    echo $pid >"$child"
    while kill -0 $pid 2>/dev/null; do wait $pid; done
    [ "$ended" ] || { sleep 0.05 & wait $!; }
done
leave
""",
    "syslogauth": CALLED
    + """
case $1 in
check-config) [ ! -e "$STUBS/bad" ] || { echo "mistake" >&2; exit 78; }; echo "the configuration is right" ;;
export) [ ! -e "$STUBS/no_export" ] || { echo "cannot" >&2; exit 73; } ;;
run)
    end() { echo "$1" >>"$STUBS/signals"; rm -f "$STUBS/ready"; sleep 0.2; echo "ended by $1" >>"$STUBS/signals"; exit; }
    trap 'echo HUP >>"$STUBS/signals"' HUP
    trap 'end USR1' USR1
    trap 'end TERM' TERM
    echo $$ >"$STUBS/ready"
    while :; do sleep 0.1 & wait $!; done ;;
esac
""",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    directory: Path

    def __call__(self, verb: str) -> subprocess.CompletedProcess[str]:
        """Run the script as service(8) does."""
        return subprocess.run(
            [need("dash"), self.directory / "rc.d/syslogauth", verb],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={"STUBS": str(self.directory), "PATH": f"{self.directory}/bin:{os.environ['PATH']}"},
        )

    def configure(self, **settings: str) -> None:
        """rc.conf."""
        self.file("rc.conf").write_text("".join(f'syslogauth_{name}="{value}"\n' for name, value in settings.items()))

    def file(self, name: str) -> Path:
        return self.directory / name

    def called(self) -> list[str]:
        """How the stubs were called since this was asked last; {} is the directory."""
        log = self.file("called")
        lines = log.read_text().replace(str(self.directory), "{}").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def signals(self) -> list[str]:
        log = self.file("signals")
        return log.read_text().splitlines() if log.exists() else []

    def runs(self) -> bool:
        """Whether the daemon is there, waits for signals, and is in its pid file."""
        ready, pidfile = self.file("ready"), self.file("run/syslogauth.pid")
        return ready.exists() and pidfile.exists() and ready.read_text() == pidfile.read_text() != ""

    def pid(self, name: str) -> int:
        return int(self.file(f"run/{name}.pid").read_text())


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


EXAMPLES = {"listen.source", "policy.rule", "policy.always"}  # they have no default


def test_the_shipped_configuration_has_every_setting_at_its_default() -> None:
    text = (DEPLOY / "syslogauth.toml").read_text()
    shipped = tomllib.loads(text)
    assert TOP - {"format"} == shipped.keys()
    (export,) = shipped["export"]
    assert f"{shipped['state_directory']}/popauth" == export["path"], "config.py: state_directory/popauth"
    for name, known in SECTIONS.items():
        defaults = {key: default for key, (_, default) in known.items()}
        if name == "export":
            defaults["path"] = export["path"]
        if name not in EXAMPLES:
            assert defaults == (export if name == "export" else shipped[name])
    assert "/var/db/syslogauth" == shipped["state_directory"]
    assert 'On Linux: "/var/lib/syslogauth"' in text
    assert Path(export["path"]) == parse(f'state_directory = "{shipped["state_directory"]}"').export[0].path
    parse(text)


def test_the_examples_in_the_shipped_configuration_name_every_setting_and_are_right() -> None:
    text = (DEPLOY / "syslogauth.toml").read_text()
    with_examples = re.sub(r"^# (\[\[\w|\w+ = )", r"\1", text, flags=re.MULTILINE)
    document = tomllib.loads(with_examples)
    found = {name: {key for table in document[name.partition(".")[0]][name.partition(".")[2]] for key in table} for name in EXAMPLES}
    assert {name: SECTIONS[name].keys() for name in EXAMPLES} == found
    (form,) = document["format"]
    assert KEYS == form.keys()
    config = parse(with_examples)
    assert (1, 2, 1, 1) == (len(config.listen.source), len(config.policy.rule), len(config.policy.always), len(config.format))
