"""sendmail.cf as far as our map is concerned: its K lines, the rules of its rulesets, three of its options; and what is wrong with them.

A K line is `Kpopauth hash -a<OK> /etc/mail/popauth` (map.c, map_parseargs). A rule is `R`, the left side, TABS, the right side, TABS, a
comment; a line that begins with a blank goes on the one before (conf.c). What the mistakes do was tried with sendmail 8.17: -N asks for
keys with a NUL, which are not written; -f does not fold the `IPv6:` that it asks with; `${client_addr}` without & is replaced when the
file is read, by nothing; beside -o a -T counts for nothing; any `$#` of a check ends it, `$#error` and `$#discard` against the client.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import WatchedMap

SUBJECT = "sendmail.cf"
RULESET = "Local_check_rcpt"
BLAME = "dontblamesendmail"


@dataclass(frozen=True, slots=True)
class MapLine:
    """A K line: the map's name and kind, its options by their letter, the file without `.db`."""

    name: str
    kind: str
    options: dict[str, str]
    file: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`right` is None where no tab tells the sides apart."""

    ruleset: str
    left: str
    right: str | None


@dataclass(frozen=True, slots=True)
class Cf:
    maps: tuple[MapLine, ...]
    rules: tuple[Rule, ...]
    options: dict[str, str]  # by their names in lower case

    @property
    def allowances(self) -> frozenset[str]:
        """The words of DontBlameSendmail, in lower case."""
        return frozenset(re.split(r"[,\s]+", self.options.get(BLAME, "").lower())) - {""}


def read(text: str) -> Cf:
    maps, rules, options = list[MapLine](), list[Rule](), dict[str, str]()
    ruleset = ""
    for line in re.sub(r"\n(?=[ \t])", "", text).splitlines():
        rest = line[1:]
        if line.startswith("K"):
            maps.append(_map_line(rest))
        elif line.startswith("S"):
            ruleset = re.split(r"[=\s]", rest.strip(), maxsplit=1)[0]
        elif line.startswith("R"):
            left, tab, right = rest.partition("\t")
            rules.append(Rule(ruleset, left.strip(), right.lstrip("\t").partition("\t")[0].strip() if tab else None))
        elif line.startswith("O "):
            name, _, value = rest.partition("=")
            options[name.strip().lower()] = value.strip()
    return Cf(tuple(maps), tuple(rules), options)


def _map_line(text: str) -> MapLine:
    name, kind, *words = [*text.split(), "", ""]
    options: dict[str, str] = {}
    words = [word for word in words if word]
    while words and words[0].startswith("-"):
        word = words.pop(0)
        options[word[1:2]] = word[2:]
    return MapLine(name, kind, options, " ".join(words))


def named(cf: Cf, path: Path) -> MapLine | None:
    """The K line that names the map at this path (with `.db`)."""
    return next((line for line in cf.maps if path in (Path(line.file), Path(line.file + ".db"))), None)


def judge(cf: Cf, watched: WatchedMap, rebuild: str, compressed: bool | None) -> Iterator[Finding]:
    """What is wrong with the K line and the rules of a map. `rebuild`: how the cf is made and taken.

    `compressed`: whether this sendmail asks for IPv6 addresses with `::`; None where that is not known.
    """
    bare = str(watched.path).removesuffix(".db")
    write = f"in the .mc: Kpopauth hash -a<OK> {bare}; then: {rebuild}"
    line = named(cf, watched.path)
    if line is None:
        others = [found for found in cf.maps if "popauth" in found.name.lower()]
        reads = f"; its K{others[0].name} reads {others[0].file or 'no file'}" if others else ""
        yield fail(SUBJECT, f"no K line names {bare}{reads}: sendmail does not look into the map", write)
        return
    faults = [*_k_faults(line, watched, write, rebuild), *_rule_faults(cf, line, watched, rebuild), *_ipv6(watched, compressed, line)]
    yield from faults
    if not faults:
        yield ok(SUBJECT, f"K{line.name} reads {line.file}, and {RULESET} ends in the right rules")


def _k_faults(line: MapLine, watched: WatchedMap, write: str, rebuild: str) -> Iterator[Finding]:
    written = f"K{line.name} {line.kind}"
    if line.kind != "hash":
        yield fail(SUBJECT, f"`{written}`: the map is a hash, not a {line.kind}", write)
    if not line.options.get("a"):
        yield fail(SUBJECT, f"`{written}` has no -a<OK>, so that no rule knows a listed address from any other", write)
    if "N" in line.options:
        yield fail(SUBJECT, f"`{written} -N` asks for keys that end in a NUL, and none is written so: no address is ever found", write)
    if "f" in line.options:
        yield warn(SUBJECT, f"`{written} -f` asks for `IPv6:`, and the keys are in lower case: no IPv6 client is ever found", write)
    if "T" in line.options and "o" in line.options:
        drop = f"take -o out of K{line.name} in the .mc; then: {rebuild}"
        yield warn(SUBJECT, f"`{written}` has -o beside -T: -o wins, and a broken map means 550 instead of 451", drop)


def _rule_faults(cf: Cf, line: MapLine, watched: WatchedMap, rebuild: str) -> Iterator[Finding]:
    ours = [rule for rule in cf.rules if rule.ruleset == RULESET]
    tag = line.options.get("a") or "<OK>"
    asked = f"$({line.name} {watched.key_prefix}$&{{client_addr}}"
    first, hit = f"R$*<TAB>$: {asked} $: <?> $)", f"R$*{tag}<TAB>$# OK"

    def write(rule: str) -> str:
        return f"below S{RULESET} in the .mc, with a tab for <TAB>: {rule}; then: {rebuild}"

    if blank := next((rule for rule in ours if rule.right is None), None):
        yield fail(SUBJECT, f"a rule of {RULESET} has blanks where a TAB must be: R{blank.left}", write(first))
        return
    if relays := _for_everybody(ours):
        text = f"R{relays.left} says `{relays.right}`, which lets everybody relay"
        yield fail(SUBJECT, text, f"take it out of {RULESET} in the .mc; then: {rebuild}")
    looks = [number for number, rule in enumerate(ours) if f"$({line.name} " in (rule.right or "")]
    if not looks:
        elsewhere = sorted({rule.ruleset for rule in cf.rules if f"$({line.name} " in (rule.right or "")})
        if elsewhere:
            text = f"the map is looked up in {', '.join(elsewhere)}, not in {RULESET}: these rules are not known here"
            yield warn(SUBJECT, text, "sendmail -bt, as deploy/sendmail/README.md has it")
        else:
            yield fail(SUBJECT, f"no rule of {RULESET} looks into K{line.name}", write(first))
        return
    look = ours[looks[0]].right or ""
    if "${client_addr}" in look:
        yield fail(SUBJECT, "the look-up says ${client_addr}, which is empty when the file is read", write(first))
    elif asked.lower().replace(" ", "") not in look.lower().replace(" ", ""):
        yield fail(SUBJECT, f"the look-up asks for something else than the keys that are written: {look}", write(first))
    elif "<?>" not in look:
        yield warn(SUBJECT, f"the look-up gives no <?> for an address that is not there: {look}", write(first))
    after = ours[looks[0] + 1 :]
    yield from _ends(after, line, tag, write, hit)


def _for_everybody(ours: Sequence[Rule]) -> Rule | None:
    """The rule that accepts whatever stands before it, or whoever is not in the map."""
    for rule in ours:
        left = rule.left.replace(" ", "")
        if left in ("$*", "$+", "<?>") and _accepts(rule.right or ""):
            return rule
        if left == "<?>" and (rule.right or "").startswith(("$@", "$#")):  # who is not in the map has been told
            return None
    return None


def _accepts(right: str) -> bool:
    right = right.replace(" ", "").lower()
    return right.startswith("$#") and not right.startswith(("$#error", "$#discard"))


def _ends(after: list[Rule], line: MapLine, tag: str, write: Callable[[str], str], hit: str) -> Iterator[Finding]:
    """What the rules behind the look-up make of its results."""
    decides = next((rule for rule in after if rule.left.replace(" ", "") == f"$*{tag}"), None)
    caught = after[: after.index(decides)] if decides else []
    if decides is None:
        yield fail(SUBJECT, f"no rule R$*{tag} stands behind the look-up: no listed address may relay", write(hit))
    elif not _accepts(decides.right or ""):
        yield fail(SUBJECT, f"R$*{tag} says `{decides.right}`, which lets nobody relay", write(hit))
    elif all_taken := next((rule for rule in caught if rule.left == "$*" and (rule.right or "").startswith(("$@", "$#"))), None):
        yield fail(SUBJECT, f"R$* `{all_taken.right}` stands before R$*{tag}, and takes all", write(hit))
    if not any(rule.left.replace(" ", "") == "<?>" for rule in after):
        yield warn(SUBJECT, "no rule R<?> ends the ruleset for an address that is not there", write("R<?><TAB>$@ NoPopAuth"))
    failed = line.options.get("T", "")
    if failed and not any(failed in rule.left for rule in after):
        rule = f'R$*{failed}<TAB>$#error $@ 4.7.1 $: "451 Try again, popauth lookup failed"'
        yield warn(SUBJECT, f"K{line.name} has -T{failed}, and no rule R$*{failed} reads it: a broken map means 550", write(rule))


def _ipv6(watched: WatchedMap, compressed: bool | None, line: MapLine) -> Iterator[Finding]:
    wanted = "" if compressed is None else "compressed" if compressed else "full"
    if wanted and watched.ipv6_form not in (wanted, "both"):
        text = f"sendmail asks K{line.name} for {wanted} IPv6 addresses, and {watched.ipv6_form} ones are written: none is ever found"
        yield fail(SUBJECT, text, f'export.ipv6_form = "{wanted}"')
