"""A log file read: lines a CPU second of `syslogauth replay` and of other readers of logs, the same lines.

    syslogauth replay             all its formats; --nowrite, and into its table, durable
    Perl loop                     pop-before-smtp.pl, of pop-before-smtp's shape: 1 and 5 patterns, in memory; 5 with its DB file
    pop-before-smtp               the original script, the user's copy, with the pattern for Dovecot of its 1.42; --nowrite, and with its DB
    mtail -one_shot               one pattern, a counter
    fail2ban-regex                one pattern; of the first FAIL2BAN_LINES lines only, for it is slow

CPU time is of the whole process, its start included. The lines are stamped within the last QUARTER, so that every login counts as of now.
Each reader's logins are counted where it says how many it saw.
"""

import re
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM

from benchmarks.corpus import Entry, corpus, counted
from benchmarks.figures import markdown, ratio_to_better, spread
from benchmarks.receive import progress
from benchmarks.servers import SYSTEM_PATH, clean_environment, configure, free_port, syslogauth_command

PERL_LOOP = Path(__file__).with_name("pop-before-smtp.pl")
LOGIN_SHARE = 0.05
CORPUS = 100_000
QUARTER = 900.0
SECONDS = 600
FAIL2BAN_LINES = 100_000
REPLAY, STORED = "syslogauth replay --nowrite", "syslogauth replay"
PERL_1, PERL_5, PERL_DB = "Perl loop, 1 pattern", "Perl loop, 5 patterns", "Perl loop, 5 patterns, DB kept"
SCRIPT, SCRIPT_DB = "pop-before-smtp --nowrite", "pop-before-smtp, DB kept"
UDP = "syslogauth, UDP flat out"
MTAIL, FAIL2BAN = "mtail -one_shot", "fail2ban-regex"

MTAIL_PROGRAM = r"""counter logins
/^\w+ +\d+ [\d:]+ \S+ dovecot: (?:imap|pop3)-login: (?:Login|Logged in): user=<[^>]*>, method=[A-Z0-9-]+, rip=(?P<rip>[0-9a-f.:]+), lip=/ {
  logins++
}
"""
FAIL2BAN_PATTERN = r"^ ?\S+ dovecot: (?:imap|pop3)-login: (?:Login|Logged in): user=<[^>]*>, method=[A-Z0-9-]+, rip=<HOST>, lip="

# a library of Perl, as the script requires it; reading standard input is one of the ways that its own one offers. Its
# exit code is 1 where it has kept nothing.
SCRIPT_CONFIGURATION = r"""
use strict;
use vars qw(%db $pat $write $dbfile $grace %file_tail $mynet_func $tail_init_func $tail_getline_func);
$dbfile = '{directory}/script';
$write = {write};
$file_tail{{'tail'}} = 0;
$mynet_func = sub {{ '127.0.0.0/8' }};
$tail_init_func = sub {{ }};
$tail_getline_func = sub {{ my $line = <STDIN>; exit($write && !%db) unless defined $line; $line }};
$pat = '^[LOGTIME] \S+ (?:dovecot: )?(?:imap|pop3)-login: Login: .*? (?:\[|rip=)[:f]*(\d+\.\d+\.\d+\.\d+)[],]';
1;
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """`lines` are how many it reads; `counts` finds in what it says how many logins it saw; `stdin` where it reads that."""

    command: Sequence[str]
    lines: int
    counts: str = ""
    stdin: Path | None = None


def measure(rounds: int, count: int, directory: Path, script: Path | None = None) -> dict[str, list[float]]:
    """CPU seconds a line, by program, a value a round."""
    entries = corpus(LOGIN_SHARE, min(CORPUS, count))
    log, few = directory / "maillog", directory / "maillog-short"
    write(log, entries, count)
    write(few, entries, min(FAIL2BAN_LINES, count))
    flags = [entry.login for entry in entries]
    known = readers(directory, log, count, few, min(FAIL2BAN_LINES, count), script)
    figures: dict[str, list[float]] = {name: [] for name in known}
    _run(Reader([*known[REPLAY].command[:-1], "/dev/null"], 0))  # makes the bytecode
    for number in range(rounds):
        for name, reader in known.items():
            progress(f"round {number + 1} of {rounds}: {name}")
            for left in [*directory.glob("*.db"), *directory.glob("state/table/*")]:
                left.unlink()
            cpu, said = _run(reader)
            expected = counted(flags, reader.lines)
            if reader.counts:
                found = re.search(reader.counts, said, re.MULTILINE)
                assert found, f"{name} does not say how many logins it saw: {said[-500:]}"
                assert int(found[1]) == expected, f"{name} saw {found[1]} logins, {expected} are in the file"
            figures[name].append(cpu / reader.lines)
    return figures


def write(log: Path, entries: Sequence[Entry], count: int) -> None:
    """The entries over and over, stamped evenly over the last QUARTER."""
    now = time.time()
    stamps = [time.strftime("%b %e %H:%M:%S", time.localtime(now - QUARTER + second)) for second in range(int(QUARTER))]
    with log.open("wb") as file:
        file.writelines(entries[number % len(entries)].line(stamps[number * len(stamps) // count]) for number in range(count))


def readers(directory: Path, log: Path, count: int, few: Path, few_count: int, script: Path | None) -> dict[str, Reader]:
    """Those that are on this machine."""
    file = configure(directory, free_port(SOCK_DGRAM), free_port(SOCK_STREAM))
    (directory / "state").mkdir(mode=0o700)
    replay = syslogauth_command("replay", file)
    said = r"lines, (\d+) logins"
    known = {REPLAY: Reader([*replay, "--nowrite", str(log)], count, said), STORED: Reader([*replay, str(log)], count, said)}
    if perl := shutil.which("perl"):
        loop = {name: [perl, str(PERL_LOOP), patterns, str(log)] for name, patterns in ((PERL_1, "1"), (PERL_5, "5"), (PERL_DB, "5"))}
        loop[PERL_DB].append(str(directory / "loop"))
        known |= {name: Reader(command, count, r"^(\d+)$") for name, command in loop.items()}
        for name, keeps in ((SCRIPT, 0), (SCRIPT_DB, 1)) if script else ():
            library = directory / f"script-{keeps}.pl"
            library.write_text(SCRIPT_CONFIGURATION.format(directory=directory, write=keeps))
            known[name] = Reader([perl, "-T", str(script), f"--config={library}"], count, stdin=log)
    if mtail := shutil.which("mtail", path=SYSTEM_PATH):
        program = directory / "logins.mtail"
        program.write_text(MTAIL_PROGRAM)
        options = ["-one_shot", "-one_shot_format", "prometheus", "-logtostderr", "-stderrthreshold", "FATAL"]
        known[MTAIL] = Reader([mtail, "-progs", str(program), "-logs", str(log), *options], count, r"^logins\{.*\} (\d+)$")
    if fail2ban := shutil.which("fail2ban-regex", path=SYSTEM_PATH):
        known[FAIL2BAN] = Reader([fail2ban, "--no-check-all", str(few), FAIL2BAN_PATTERN], few_count, r"lines, \d+ ignored, (\d+) matched")
    return known


def _run(reader: Reader) -> tuple[float, str]:
    """CPU seconds of a command, and what it says."""
    with (reader.stdin or Path("/dev/null")).open("rb") as stdin:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            reader.command, stdin=stdin, capture_output=True, text=True, timeout=SECONDS, env=clean_environment(), check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, f"{reader.command[:3]}: exit code {run.returncode}: {run.stderr[-500:]}"
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def table(figures: Mapping[str, Sequence[float]]) -> str:
    """Nanoseconds a line; and lines a CPU second of both kinds of replay as a multiple of each program's, of the same round."""
    rows = [
        [name, spread([value * 1e9 for value in values]).text()]
        + [ratio_to_better(values, figures[ours]).text(2) if name != ours else "1" for ours in (REPLAY, STORED)]
        for name, values in figures.items()
    ]
    return markdown(["program", "ns a line", *(f"lines a CPU second, {ours} : it" for ours in (REPLAY, STORED))], rows)
