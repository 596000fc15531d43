"""What this host's sendmail makes of the maps: its cf (cf.py), and what it answers in address test mode, `sendmail -bt`, for an address
that is in the map and for one that is not. Only root is asked: another user's sendmail reads the map as that user.

A host whose name has no dot keeps sendmail waiting for a minute, at its own start too (conf.c, myhostname): that is said instead.
"""

import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from syslogauth.core.address import pack
from syslogauth.doctor import cf, daemon
from syslogauth.doctor.finding import Finding, Level, fail, ok, warn
from syslogauth.doctor.site import AS_ROOT, START, Answer, Site, WatchedMap, ask
from syslogauth.exports import hash2, hash9
from syslogauth.exports.sendmail_hash import HEAD_BYTES, identify
from syslogauth.maplock import read_locked

SUBJECT = "sendmail -bt"
CF = "/etc/mail/sendmail.cf"
PLACES = "/usr/sbin:/usr/lib:/usr/libexec/sendmail:/usr/local/sbin"
READERS = {"hash9": hash9, "hash2": hash2}
ABSENT = ("192.0.2.254", "198.51.100.254", "203.0.113.254")  # RFC 5737: nobody's, unless somebody granted one by hand
COMPLAINT = re.compile(
    r"^.*(?:unsafe map file|Cannot open|invalid rewrite|multiply defined|[Ww]ritable directory|Unknown|undefined).*$", re.MULTILINE
)


def rebuild(freebsd: bool) -> str:
    return (
        "cd /etc/mail && make && make install restart"
        if freebsd
        else "m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf, and restart sendmail"
    )


def check(site: Site) -> Iterator[Finding]:
    program = shutil.which("sendmail", path=PLACES)
    text = site.text(CF)
    if program is None and not text:
        yield warn(SUBJECT, "no sendmail here: whether one reads the map was not looked at")
        return
    if not text:
        yield fail(cf.SUBJECT, f"{site.at(CF)} does not exist", f"make it: {rebuild(site.freebsd)}")
        return
    known = cf.read(text)
    asked = program is not None and os.geteuid() == 0
    waits = asked and "." not in socket.getfqdn()
    about = ask([program, "-d0.10", "-C", site.at(CF), "-bt"], "/quit\n") if program and asked and not waits else Answer("", None)
    for watched in site.maps:
        yield from cf.judge(known, watched, rebuild(site.freebsd), compressed(known, about.text))
    if program is None:
        yield warn(SUBJECT, "no sendmail here: its answers were not looked at")
    elif os.geteuid() != 0:
        yield warn(SUBJECT, "not looked at: sendmail reads its map as root", AS_ROOT)
    elif waits:
        name = os.uname().nodename
        text = f"not asked: the name of this host, {name}, has no dot, so that sendmail waits for a minute, at each of its starts too"
        yield warn(SUBJECT, text, f"hostname {name}.example.org, and that name first in its line of /etc/hosts")
    elif about.code is None:
        yield warn(SUBJECT, f"{program} does not answer", "sendmail -bt, by hand")
    elif "Version 8." not in about.text:
        said = about.text.strip()[:80] or "it says nothing"
        yield warn(SUBJECT, f"{program} is no sendmail: {said}", "install sendmail, or name it in mailer.conf(5)")
    else:
        for watched in site.maps:
            yield from _asked(site, program, known, watched)


def compressed(known: cf.Cf, about: str) -> bool | None:
    """Whether IPv6 addresses are looked up with `::`: by the cf, else as sendmail was built (conf.c); None where nobody says."""
    if option := known.options.get("usecompressedipv6addresses", ""):
        return option[:1] in "TtYy"
    if "Compiled with:" not in about:
        return None
    return "NETINET6" in about and "IPV6_FULL" not in about


def _asked(site: Site, program: str, known: cf.Cf, watched: WatchedMap) -> Iterator[Finding]:
    line = cf.named(known, watched.path)
    if line is None:
        return
    keys, fault = keys_of(watched.path)
    if fault:
        down = daemon.runs(site.state_directory) is False  # nobody would take addresses out of what is written now
        yield replace(fault, mend=START) if down and fault.level is Level.FAIL else fault
        return
    clients, absent = chosen(keys, watched)
    said = ask([program, "-C", site.at(CF), "-bt"], "".join(questions(line.name, watched, [*clients, absent]))).text
    yield from judge(said, line.name, watched, clients, absent)


def keys_of(path: Path) -> tuple[set[bytes], Finding | None]:
    """The keys of a live map, or what is wrong with it."""
    try:
        image = read_locked(path)
        kind = identify(image[:HEAD_BYTES]) or "none"
        if kind in READERS:
            return set(READERS[kind].read(image)), None
        if kind == "none":
            return set(), fail(SUBJECT, f"{path} is no map yet, or no map any more", "syslogauth export")
        return set(), warn(SUBJECT, f"{path} is a {kind} file, whose keys are not read here", f"makemap -u hash {path}")
    except (OSError, ValueError) as error:
        return set(), fail(SUBJECT, f"{path}: {error}", "syslogauth export")


def chosen(keys: set[bytes], watched: WatchedMap) -> tuple[list[str], str]:
    """Clients that are in the map, at most one of each family, as sendmail writes them; and one that is not."""
    prefix = watched.key_prefix.lower()
    bare = sorted(key.decode("ascii", "replace").removeprefix(prefix) for key in keys)
    families = (  # addresses alone: whoever wrote the map is not to speak to a sendmail that root runs
        [key for key in bare if ":" not in key and pack(key)],
        [f"IPv6:{key[5:]}" for key in bare if key.startswith("ipv6:") and pack(key[5:])],
    )
    absent = next(text for text in (*ABSENT, "192.0.2.253") if text not in bare or text == "192.0.2.253")
    return [family[0] for family in families if family], absent


def questions(name: str, watched: WatchedMap, clients: Sequence[str]) -> Iterator[str]:
    for client in clients:
        yield f".D{{client_addr}}{client}\n{cf.RULESET} x\n/map {name} {watched.key_prefix}{client}\n"
    yield "/quit\n"


def judge(said: str, name: str, watched: WatchedMap, clients: Sequence[str], absent: str) -> Iterator[Finding]:
    """By what `sendmail -bt` said to our questions."""
    rulings = re.findall(rf"^(?:> )*{cf.RULESET} +returns: (.*)$", said, re.MULTILINE)
    lookups = re.findall(rf"^(?:> )*map_lookup: {re.escape(name)} \(.*?\) (returns .*|no match) \((\d+)\)$", said, re.MULTILINE)
    why = (COMPLAINT.search(said) or [""])[0].strip()
    because = f": {why}" if why else ""
    mend = f"sendmail -C {CF} -bt, as deploy/sendmail/README.md has it; then look at: ls -ld {watched.path} and the directories above"
    if len(rulings) != len(lookups) or len(lookups) != len(clients) + 1:
        yield fail(SUBJECT, f"sendmail does not know the map {name} or the ruleset {cf.RULESET}{because}", mend)
        return
    faults = []
    for client, ruling, (found, code) in zip([*clients, absent], rulings, lookups, strict=True):
        listed, relays = client != absent, ruling.replace(" ", "").startswith("$#") and "error" not in ruling and "discard" not in ruling
        if code != "0":
            faults.append(f"sendmail cannot read {watched.path} ({code}){because}")
        elif listed and found == "no match":
            faults.append(f"sendmail does not find {client}, which is in {watched.path}{because}")
        elif listed is not relays:
            faults.append(f"{cf.RULESET} says `{ruling.strip()}` of {client}, which is {'' if listed else 'not '}in the map{because}")
    yield from (fail(SUBJECT, fault, mend) for fault in faults[:1])
    if not faults:
        who = " and ".join(clients)
        yield ok(SUBJECT, f"K{name}: {f'{who} may relay, ' if who else 'the map is empty; '}{absent} may not")
