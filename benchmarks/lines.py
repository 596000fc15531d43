"""A log file read: lines a CPU second of `syslogauth replay --nowrite` and of a Perl loop of pop-before-smtp's shape, same lines.

CPU time is of the whole process, its start included. The Perl loop keeps its entries in memory only, and does not fsync: in its favour.
"""

import re
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM

from benchmarks.corpus import corpus, counted, repeated
from benchmarks.figures import markdown, ratio_to_better, spread
from benchmarks.servers import CONFIGURATION, clean_environment, free_port, syslogauth_command

PERL_LOOP = Path(__file__).with_name("pop-before-smtp.pl")
LOGIN_SHARE = 0.05
SECONDS = 300
REPLAY, PERL_1, PERL_5 = "syslogauth replay --nowrite", "Perl loop, 1 pattern", "Perl loop, 5 patterns"


def measure(rounds: int, count: int, directory: Path) -> dict[str, list[float]]:
    """CPU seconds a line, by program, a value a round."""
    entries = corpus(LOGIN_SHARE)
    log = directory / "maillog"
    with log.open("wb") as file:
        file.writelines(repeated([entry.line() for entry in entries], count))
    expected = counted([entry.login for entry in entries], count)
    configuration = directory / "replay.toml"
    configuration.write_text(
        CONFIGURATION.format(directory=directory, udp=free_port(SOCK_DGRAM), metrics=free_port(SOCK_STREAM), buffer=65536)
    )
    commands = {REPLAY: [*syslogauth_command("replay", configuration), "--nowrite", str(log)]}
    if perl := shutil.which("perl"):
        commands |= {name: [perl, str(PERL_LOOP), patterns, str(log)] for name, patterns in ((PERL_1, "1"), (PERL_5, "5"))}
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            cpu, said = _run(command)
            logins = int(re.findall(r"(\d+) logins|^(\d+)$", said)[0][name != REPLAY])
            assert logins == expected, f"{name} saw {logins} logins, {expected} are in the file"
            figures[name].append(cpu / count)
    return figures


def _run(command: Sequence[str]) -> tuple[float, str]:
    """CPU seconds of a command, and what it says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=clean_environment(), check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


def table(figures: Mapping[str, Sequence[float]], perl: Sequence[str] = (PERL_1, PERL_5)) -> str:
    """Nanoseconds a line, and lines a CPU second as a multiple of each Perl loop's in the same round."""
    perl = [name for name in perl if name in figures]
    rows = [
        [name, spread([value * 1e9 for value in values]).text()]
        + [ratio_to_better(figures[loop], values).text(2) if name != loop else "1" for loop in perl]
        for name, values in figures.items()
    ]
    return markdown(["program", "ns a line", *(f"lines a CPU second : {loop}" for loop in perl)], rows)
