"""A format held against the rules, and against its own samples: the daemon does not start on a fault, and the tests fail."""

import re

from syslogauth.core.address import canonical
from syslogauth.core.formats import pattern
from syslogauth.core.formats.grammar import Format, Kind, Sample, message_of
from syslogauth.core.login import Authenticated, Connected, Login, Logout

FORGED = "203.0.113.66"
NEEDS = {  # the groups without which a line of a kind says nothing
    Kind.LOGIN: ("user", "address"),
    Kind.CONNECTED: ("address",),
    Kind.AUTHENTICATED: ("user",),
    Kind.FAILED: (),
    Kind.LOGOUT: (),
    Kind.CUT: (),
}


def faults(form: Format) -> list[str]:
    """What is wrong with the format, a sentence each; empty where all its lines keep the rules and every sample and near miss holds."""
    found = [] if form.samples or form.sequences else [f"{form.name}: a format needs samples: real lines, and what each must yield"]
    if not form.near_misses:
        found.append(f"{form.name}: a format needs near misses: lines that must yield no login, attacks above all")
    if not (form.sources and form.app_names and form.lines):
        found.append(f"{form.name}: a format needs app_names, lines, and sources that say where they are from")
    found += [f"{form.name}: {fault}" for line in form.lines if line.read is None for fault in pattern.faults(line.pattern)]
    for line in form.lines:
        for name in NEEDS[line.kind] if line.read is None else ():
            if name not in line.pattern.groupindex:
                found.append(f"{form.name}: a {line.kind.value} line needs the group {name}: (?P<{name}>...)")
    return found + _samples(form) + _forgeries(form) + _sequences(form) + _others(form)


def _samples(form: Format) -> list[str]:
    found = []
    begins = re.compile(form.begins)
    for sample in form.samples:
        message = message_of(sample.app_name, sample.text)
        if taken := [
            line
            for line in form.lines
            if line.kind is Kind.LOGIN and line.pattern.fullmatch(message.text) and _has(line.app_names, message.app_name)
        ][1:]:
            found.append(f"{form.name}: {1 + len(taken)} lines take sample {sample.text!r}; one must")
        login = form.recognise(message)
        yields = (canonical(login.address), login.user, login.service) if isinstance(login, Login) else login
        expected = (sample.address, sample.user, sample.service)
        if yields != expected:
            found.append(f"{form.name}: sample {sample.text!r} gave {yields}, and not {expected}")
        elif not sample.own_log and not begins.match(sample.text.encode()):
            found.append(f"{form.name}: `begins` would refuse sample {sample.text!r}")
    return found


def _forgeries(form: Format) -> list[str]:
    """Each sample with a user whose name goes on like the line itself, another address in it: that one must never come out."""
    found = []
    for sample in form.samples:
        before, user, rest = _around_user(form, sample)
        if user and sample.address in rest:
            name = user + rest.replace(sample.address, FORGED)
            login = form.recognise(message_of(sample.app_name, before + name + rest))
            if isinstance(login, Login) and canonical(login.address) == FORGED:
                mend = "take the separators out of the user's characters"
                found.append(f"{form.name}: a user named {name!r} would move the address to {FORGED}; {mend}")
    return found


def _around_user(form: Format, sample: Sample) -> tuple[str, str, str]:
    """The text before the user's name, the name, and what follows: by the group of the line that takes it, if there is one."""
    text = sample.text.encode()
    for line in form.lines:
        if "user" in line.pattern.groupindex and _has(line.app_names, sample.app_name.encode()) and (found := line.pattern.fullmatch(text)):
            start, end = found.span("user")
            return text[:start].decode(), text[start:end].decode(), text[end:].decode()
    return sample.text.partition(sample.user)


def _sequences(form: Format) -> list[str]:
    """The joining itself is sessions.py's: here, that the first line gives the address and the last one the user."""
    found = []
    begins = re.compile(form.begins)
    for sequence in form.sequences:
        reports = [form.recognise(message_of(sequence.app_name, text, "7")) for text in sequence.texts]
        address = [canonical(report.address) for report in reports if isinstance(report, Connected)]
        user = [(report.user, report.service) for report in reports if isinstance(report, Authenticated)]
        if (address, user) != ([sequence.address], [(sequence.user, sequence.service)]):
            found.append(f"{form.name}: sequence {sequence.texts} gave {reports}")
        for text, report in zip(sequence.texts, reports, strict=True):
            if isinstance(report, Connected | Authenticated) and not begins.match(text.encode()):
                found.append(f"{form.name}: `begins` would refuse {text!r}")
    return found


def _others(form: Format) -> list[str]:
    found = []
    for app_name, text in form.near_misses:
        if isinstance(login := form.recognise(message_of(app_name, text, "7")), Login):
            found.append(f"{form.name}: near miss {text!r} gave {canonical(login.address)}")
    for app_name, text in form.logouts:
        if not isinstance(report := form.recognise(message_of(app_name, text, "7")), Logout):
            found.append(f"{form.name}: end of a session {text!r} gave {report}")
        if not form.logout_begins or not re.match(form.logout_begins, text.encode()):
            found.append(f"{form.name}: `logout_begins` would refuse {text!r}")
    return found


def _has(app_names: frozenset[bytes] | None, app_name: bytes) -> bool:
    return app_names is None or app_name in app_names
