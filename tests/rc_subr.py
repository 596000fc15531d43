"""An rc.subr, a daemon(8) and other commands of FreeBSD's, made here for tests of deploy/rc.d under dash.

The stubs do what FreeBSD's own do as far as the script can tell (rc.subr 12 to 15), and write down how they were called. daemon(8) is there
twice: up to FreeBSD 13 it leaves on TERM at once, later it waits for its child; both start a child that has ended anew.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.needs import need

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
