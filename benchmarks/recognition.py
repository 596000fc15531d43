"""Which logins are recognised and what is taken for one: syslogauth beside patterns of pop-before-smtp's shapes, over the same lines.

The lines are syslogauth's own samples, or a directory of *.jsonl files, an object a line:

    line    a line of a mail server's log; or `lines`, those of one login (or of several at once) in order
    daemon  the server that wrote it            login  whether it reports a login, and `ip`, from which address
    forged_ip  an attack's: the address that it would have let in; `defence` begins with `parser` where reading must stop it
    optional   true where opinions may differ: left out

pop-before-smtp matches one pattern or, with a function of the administrator's own, several. Both are shown: the server's own pattern (of
several the one that finds most), and all of them at once. A row is found where its address is, and nothing else, comes out.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from benchmarks.figures import markdown
from syslogauth.core.address import Networks, canonical
from syslogauth.core.formats import FORMATS
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy

PERL_PATTERNS = Path(__file__).with_name("pop-before-smtp-patterns.pl")
SECONDS = 120
OURS, ONE, ALL = "syslogauth", "pop-before-smtp, the server's own pattern", "pop-before-smtp, all its patterns"
BETWEEN_CASES_SECONDS = 100_000.0  # beyond what any line is remembered for
WITHOUT_PID = ("dovecot", "courier")  # what most of their versions log
HEADER = "Nov 22 10:00:00 mail1 "
HEADED = re.compile(r"(?:<\d+>)?(?:\w{3} +\d+ \d|\d{4}-|dovecot: \d{4}|@4000)")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f]")
FAMILIES = (  # how the name of a daemon or of a format begins; the family; pop-before-smtp's patterns of it begin with
    ("uw", "UW, Panda", "uw"),
    ("gnu", "GNU pop3d, mailutils", "gnu"),
    ("mailutils", "GNU pop3d, mailutils", "gnu"),
    ("dovecot", "Dovecot", "dovecot"),
    ("courier", "Courier", "courier"),
    ("cyrus", "Cyrus", "cyrus"),
    ("qpopper", "Qpopper", "qpopper"),
    ("nginx", "nginx mail proxy", ""),
    ("zimbra", "Zimbra", ""),
    ("apple", "Apple", "apple"),
    ("imapproxy", "up-imapproxy", ""),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Lines of a log, and what is in them. `address`: of the login, empty where there is none; `forged`: of an attack."""

    family: str
    patterns: str  # pop-before-smtp's of this family begin with this; empty where it has none, or where another program wrote the line
    lines: tuple[str, ...]
    address: str = ""
    forged: str = ""
    by_reading: bool = True  # whether reading the line is what must stop the attack

    def found(self, addresses: Iterable[str]) -> bool:
        return bool(self.address) and {ip_address(self.address)} == {_read(text) for text in addresses}


def own_cases() -> list[Case]:
    """Syslogauth's own samples."""
    cases = []
    for form in FORMATS:
        _, family, patterns = _family(form.name)
        pid = "" if form.name in WITHOUT_PID else "[7]"
        cases += [Case(family, patterns, (f"{HEADER}{one.app_name}{pid}: {one.text}",), one.address) for one in form.samples]
        for sequence in form.sequences:
            lines = tuple(f"{HEADER}{sequence.app_name}{pid}: {text}" for text in sequence.texts)
            cases.append(Case(family, patterns, lines, sequence.address))
        cases += [Case(family, patterns, (f"{HEADER}{tag}{pid}: {text}",)) for tag, text in form.near_misses]
    return cases


def cases_in(directory: Path) -> list[Case]:
    """The rows of a directory's *.jsonl files that hold lines. OSError, or ValueError with file and line, where they cannot be read."""
    cases = []
    for file in sorted(directory.glob("*.jsonl")):
        for number, text in enumerate(file.read_text().splitlines(), 1):
            try:
                row = json.loads(text)
                if row.get("optional") or not ("line" in row or "lines" in row):
                    continue
                _, family, patterns = _family(row.get("daemon", ""))
                lines = tuple(map(_headed, row.get("lines") or [row["line"]]))
                by_reading = row.get("defence", "parser").startswith("parser")
                cases.append(Case(family, patterns, lines, row["ip"] if row["login"] else "", row.get("forged_ip", ""), by_reading))
            except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
                raise ValueError(f"{file.name}, line {number}: {error!r}; see benchmarks/recognition.py on what a row holds") from None
    return cases


def recognised(cases: Sequence[Case]) -> dict[str, list[set[str]]]:
    """The addresses that each takes for those of a login, by case. Without Perl, syslogauth's only."""
    found = {OURS: list(_ours(cases))}
    if perl := shutil.which("perl"):
        by_pattern = list(_theirs(perl, cases))
        best = {prefix: _best(prefix, cases, by_pattern) for prefix in {case.patterns for case in cases}}
        found[ONE] = [
            {address for name, address in hits if name == best[case.patterns] or not case.patterns}
            for case, hits in zip(cases, by_pattern, strict=True)
        ]
        found[ALL] = [{address for _, address in hits} for hits in by_pattern]
    return found


def _ours(cases: Iterable[Case]) -> Iterator[set[str]]:
    now = 0.0
    intake = Intake(Sources(Networks(("127.0.0.0/8",)), frozenset({"mail"})), Policy(1800.0, frozenset({"imap", "pop3"})))
    for case in cases:
        now += BETWEEN_CASES_SECONDS
        verdicts = [intake.lines.judge(line.encode(), lambda stamp, now=now: now, escaped=True) for line in case.lines]  # type: ignore[misc]
        yield {canonical(verdict.login.address) for verdict in verdicts if verdict.login}


def _theirs(perl: str, cases: Iterable[Case]) -> Iterator[list[tuple[str, str]]]:
    """What each pattern finds. In the log file that pop-before-smtp reads, the syslogd has written control bytes as #012."""
    blocks = ("\n".join(UNPRINTABLE.sub(lambda byte: f"#{ord(byte[0]):03o}", line) for line in case.lines) for case in cases)
    command = [perl, str(PERL_PATTERNS)]
    said = subprocess.run(command, input="\n\n".join(blocks) + "\n", capture_output=True, text=True, timeout=SECONDS, check=True)
    for line in said.stdout.splitlines():
        yield [(name, address) for name, _, address in (word.partition("=") for word in line.split())]


def _best(prefix: str, cases: Sequence[Case], by_pattern: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Of the patterns of a family the one that finds most of its logins."""
    found: dict[str, int] = {}
    for case, hits in zip(cases, by_pattern, strict=True):
        for name, address in hits if prefix and case.patterns == prefix else ():
            found[name] = found.get(name, 0) + (name.partition("/")[0] == prefix and case.found({address}))
    return max(found, key=lambda name: found[name], default="")


def table(cases: Sequence[Case], found: dict[str, list[set[str]]]) -> str:
    """Logins found, by family and in all, and below them what was taken for a login and is none, or for another client's."""

    def row(title: str, members: Sequence[int], counts: list[int], unit: str = "") -> list[str]:
        return [title, str(len(members)), *(f"{count}{unit}" for count in counts)]

    def hits(members: Sequence[int]) -> list[int]:
        return [sum(cases[at].found(addresses[at]) for at in members) for addresses in found.values()]

    logins = [at for at, case in enumerate(cases) if case.address]
    families = {cases[at].family: [other for other in logins if cases[other].family == cases[at].family] for at in logins}
    rows = [row(family, members, hits(members)) for family, members in sorted(families.items(), key=lambda item: (-len(item[1]), item[0]))]
    rows.append(row("**all logins**", logins, hits(logins)))

    def taken(title: str, members: list[int], wrong: str) -> list[str]:
        counts = [sum(_wrong(cases[at], addresses[at], wrong) for at in members) for addresses in found.values()]
        return row(title, members, counts)

    others = [at for at, case in enumerate(cases) if not case.address and not case.forged]
    attacks = [at for at, case in enumerate(cases) if case.forged]
    rows.append(taken("logins: another address taken", logins, "another"))
    rows.append(taken("no login: taken for one", others, "any"))
    rows.append(taken("attacks: forged address taken", [at for at in attacks if cases[at].by_reading], "forged"))
    rows.append(taken("the same, which only network or policy can stop", [at for at in attacks if not cases[at].by_reading], "forged"))
    return markdown(["server", "lines", *found], [line for line in rows if line[1] != "0"])


def _wrong(case: Case, addresses: set[str], wrong: str) -> bool:
    read = {_read(text) for text in addresses}
    if wrong == "forged":
        return _read(case.forged) in read
    return bool(read - {_read(case.address)} if wrong == "another" else read)


def _read(text: str) -> object:
    """The address; the text itself where it is none, as 999.0.0.1, which a pattern takes all the same."""
    try:
        return ip_address(text)
    except ValueError:
        return text


def _family(name: str) -> tuple[str, str, str]:
    name = name.lower().replace("_", "-")
    return next((family for family in FAMILIES if name.startswith(family[0])), (name, name, name))


def _headed(line: str) -> str:
    """A bare text gets the header that it came with; the tag is not quoted where it says nothing."""
    if HEADED.match(line):
        return line
    tag = "cyrus/imap[9]: " if line.startswith("event=") else "dovecot: " if re.match(r"(?:imap|pop3)-login: ", line) else ""
    return HEADER + tag + line
