"""A site's own formats: a good one all the way through the intake, and each thing that can be wrong with one."""

from typing import Any

import pytest

from syslogauth.core import formats
from syslogauth.core.address import Networks, canonical
from syslogauth.core.batch import Batch
from syslogauth.core.formats import Recogniser
from syslogauth.core.formats.grammar import Format, message_of
from syslogauth.core.formats.site import Fault, read
from syslogauth.core.gate import gate_pattern
from syslogauth.core.intake import Intake
from syslogauth.core.login import Login, Refusal
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy

NOW = 1_700_000_000.0
PEER, SOCKLOG = "10.0.0.1", "10.9.0.1"
TAKEN = frozenset(form.name for form in formats.FORMATS)
USER, ADDRESS = r"(?P<user>[^\x00-\x20\x7f=]{1,64})", "(?P<address>[0-9A-Fa-f:.]{2,45})"
SAMPLE = {"text": "login user=bob from=192.0.2.25", "address": "192.0.2.25", "user": "bob"}
GOOD: dict[str, Any] = {
    "name": "mypop",
    "app_name": "mypopd",
    "pattern": f"login user={USER} from={ADDRESS}",
    "service": "pop3",
    "samples": [SAMPLE],
    "near_misses": ["login failed user=bob from=192.0.2.25"],
}
SERVICES = "imap, pop3, submission, managesieve"
QUADRATIC = "which can cost quadratic time"


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def form_of(**changes: Any) -> Format:
    form = read(GOOD | changes, TAKEN)
    assert isinstance(form, Format), form
    return form


def faults_of(table: dict[str, Any]) -> list[tuple[str, str]]:
    found = read(table, TAKEN)
    assert isinstance(found, list)
    return [(fault.key, fault.text) for fault in found]


def sample(text: str, **changes: str) -> dict[str, Any]:
    return {"samples": [SAMPLE | {"text": text} | changes]}


# a good one


def test_a_good_one_is_a_format_like_the_others() -> None:
    form = form_of()
    login = form.recognise(message_of("mypopd", "login user=bob from=192.0.2.25"))
    assert Login("mypop", "pop3", "bob", b"\xc0\x00\x02\x19") == login
    assert (True, False, "", {b"mypopd": "pop3"}, ("the site's own",)) == (form.site, form.escapes, form.ends, form.app_names, form.sources)


@pytest.mark.parametrize(
    ("changes", "app_name", "text", "expected"),
    [
        row("several tags", {"app_name": ["mypopd", "mypopd-ssl"]}, "mypopd-ssl", SAMPLE["text"], ("192.0.2.25", "bob", "pop3")),
        row(
            "the service by group",
            {
                "pattern": f"(?P<service>imap|pop3) {USER} {ADDRESS}",
                "service": "",
                **sample("imap bob 192.0.2.25", service="imap"),
            },
            *("mypopd", "pop3 eve 2001:DB8::1", ("2001:db8::1", "eve", "pop3")),
        ),
        row(
            "the service by group, or else the one named",
            {"pattern": f"(?:(?P<service>imap) )?{USER} {ADDRESS}", **sample("bob 192.0.2.25")},
            *("mypopd", "imap bob 192.0.2.25", ("192.0.2.25", "bob", "imap")),
        ),
        row(
            "in any case",
            {"pattern": f"(?i)LOGIN user={USER} from={ADDRESS}"},
            *("mypopd", "Login User=bob from=192.0.2.25", ("192.0.2.25", "bob", "pop3")),
        ),
        row("anchors", {"pattern": f"^login user={USER} from={ADDRESS}$"}, "mypopd", SAMPLE["text"], ("192.0.2.25", "bob", "pop3")),
        row(
            "free text behind the address",
            {"pattern": f"login user={USER} from={ADDRESS}(?:, .*)?"},
            *("mypopd", "login user=bob from=192.0.2.25, anything", ("192.0.2.25", "bob", "pop3")),
        ),
        row(
            "letters beyond ASCII",
            {"pattern": f"angemeldet für {USER} {ADDRESS}", **sample("angemeldet für bob 192.0.2.25")},
            *("mypopd", "angemeldet für bob 192.0.2.25", ("192.0.2.25", "bob", "pop3")),
        ),
    ],
)  # fmt: skip
def test_what_a_site_may_write(changes: dict[str, Any], app_name: str, text: str, expected: tuple[str, str, str]) -> None:
    login = form_of(**changes).recognise(message_of(app_name, text))
    assert isinstance(login, Login)
    assert expected == (canonical(login.address), login.user, login.service)


@pytest.mark.parametrize(
    "text",
    [
        row("an address that is none", "login user=bob from=192.0.2.256"),
        row("an address that no client has", "login user=bob from=0.0.0.0"),
        row("more behind it", "login user=bob from=192.0.2.25 x"),
        row("a name that forges", "login user=a from=9.9.9.9 from=192.0.2.25"),
    ],
)
def test_what_its_pattern_does_not_take_as_a_whole_is_no_login(text: str) -> None:
    assert isinstance(form_of().recognise(message_of("mypopd", text)), Refusal)


@pytest.mark.parametrize("group", ["address", "local_address"])
def test_bytes_that_are_no_text_in_an_address_are_no_address(group: str) -> None:
    """Its class is the site's own choice: what a client puts there must not end the receiver."""
    loose = {"pattern": f"login user={USER} from=(?P<address>[^ ]{{1,64}})(?: to=(?P<local_address>[^ ]{{1,64}}))?"}
    line = "login user=bob from=192.0.2.25 to=192.0.2.1".replace("192.0.2.25" if group == "address" else "192.0.2.1", "\u00e9\u00ff")
    found = form_of(**loose).recognise(message_of("mypopd", line))
    assert (Refusal.BAD_ADDRESS if group == "address" else Login("mypop", "pop3", "bob", b"\xc0\x00\x02\x19")) == found


# through the intake


def intake_of(*forms: Format) -> Intake:
    sources = Sources(Networks(("10.0.0.0/8",)), frozenset({"mail"}), without_priority=Networks((SOCKLOG,)))
    return Intake(sources, Policy(1800.0, frozenset({"imap", "pop3"})), Recogniser((*formats.FORMATS, *forms)))


@pytest.mark.parametrize("header", ["", "mail1 "])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        row("a literal beginning", {}, SAMPLE["text"]),
        row("in any case", {"pattern": f"(?i)LOGIN user={USER} from={ADDRESS}"}, SAMPLE["text"]),
        row("alternatives", {"pattern": f"(?:login|access) user={USER} from={ADDRESS}"}, SAMPLE["text"]),
        row(
            "the user first",
            {"pattern": f"{USER} let in from {ADDRESS}", **sample("bob let in from 192.0.2.25")},
            "bob let in from 192.0.2.25",
        ),
    ],
)  # fmt: skip
def test_it_is_recognised_through_the_gate(changes: dict[str, Any], text: str, header: str) -> None:
    one = intake_of(form_of(**changes))
    [grant] = one.feed(Batch.of([(f"<22>Nov 22 10:28:45 {header}mypopd[7]: {text}".encode(), (PEER, 514))]), NOW)
    assert ("192.0.2.25", "bob", "mypop", "pop3") == (canonical(grant.address), grant.user, grant.server, grant.service)


@pytest.mark.parametrize(("escapes", "outcome"), [(True, "grant"), (False, "unescaped_source")])
def test_it_says_whether_it_is_believed_from_a_source_that_may_split(escapes: bool, outcome: str) -> None:
    one = intake_of(form_of(escapes=escapes))
    one.feed(Batch.of([(f"mail.info: Nov 22 10:28:45 mypopd[7]: {SAMPLE['text']}".encode(), (SOCKLOG, 514))]), NOW)
    assert {outcome: 1} == {name: count for name, count in one.tally.outcomes.items() if count}


def test_without_it_its_tag_is_noise() -> None:
    one = intake_of()
    one.feed(Batch.of([(f"<22>Nov 22 10:28:45 mypopd[7]: {SAMPLE['text']}".encode(), (PEER, 514))]), NOW)
    assert {"not_login": 1} == {name: count for name, count in one.tally.outcomes.items() if count}
    assert {} == one.tally.unrecognised


SNI = "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mail.example.org"
OF_SNI = {
    "app_name": "dovecot",
    "pattern": r"(?P<service>imap|pop3)-login: Login: user=<(?P<user>[^\x00-\x20\x7f<>,=]{1,80})>, method=[A-Z0-9-]{1,20}, "
    rf"rip={ADDRESS}, lip=(?P<local_address>[0-9A-Fa-f:.]{{2,45}}), [a-z0-9.-]{{1,255}}",
    "service": "",
    "escapes": True,
    **sample(SNI, service="imap"),
    "near_misses": ["imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, a=b"],
}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        row("what the known format finds ambiguous, and the site takes", SNI, "grant"),
        row("what the known format takes", SNI.replace(", mail.example.org", ""), "grant"),
        row("what neither takes", SNI.replace("mail.example", "mail, example"), "ambiguous"),
        row("a name that forges", SNI.replace("<bob>", "<a, rip=9.9.9.9>"), "ambiguous"),
    ],
)
def test_a_site_may_know_what_a_known_format_finds_ambiguous(text: str, outcome: str) -> None:
    one = intake_of(form_of(**OF_SNI))
    grants = one.feed(Batch.of([(f"<22>Nov 22 10:28:45 dovecot: {text}".encode(), (PEER, 514))]), NOW)
    assert {outcome: 1} == {name: count for name, count in one.tally.outcomes.items() if count}
    assert {"192.0.2.25"} >= {canonical(grant.address) for grant in grants}


def test_a_line_that_a_site_and_a_known_format_both_take_is_ambiguous() -> None:
    own = form_of(app_name="imapd", pattern=rf"Login user={USER} host=\[{ADDRESS}\]", **sample("Login user=bob host=[192.0.2.25]"))
    one = intake_of(own)
    one.feed(Batch.of([(b"<22>Nov 22 10:28:45 imapd[7]: Login user=bob host=[192.0.2.25]", (PEER, 514))]), NOW)
    assert {"ambiguous": 1} == {name: count for name, count in one.tally.outcomes.items() if count}


def test_the_gate_stops_what_begins_otherwise_and_does_not_look_like_a_login() -> None:
    gate = gate_pattern(Recogniser((form_of(),)), frozenset({"mail"}), logouts=False)
    assert gate.match(b"<22>Nov 22 10:28:45 mypopd[7]: login user=bob")
    assert not gate.match(b"<22>Nov 22 10:28:45 mypopd[7]: stopping")


# what is wrong with one

KEYS = "app_name, escapes, name, near_misses, pattern, samples, service, sources"
GAVE = "sample 'login user=bob from=192.0.2.25' gave ('192.0.2.25', 'bob', 'pop3'), and not "
GROUPED = "; write it as Python's re takes it, groups as (?P<user>...)"
MOVES = "a user named {!r} would move the address to 203.0.113.66; take the separators out of the user's characters"


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        row("an unknown key", {"tag": "x"}, "tag", f"no such setting; known here: {KEYS}"),
        row("no name", {"name": None}, "name", "None is no name; write a word of small letters, digits, - and _"),
        row("a bad name", {"name": "My POP"}, "name", "'My POP' is no name; write a word of small letters, digits, - and _"),
        row("a name that is taken", {"name": "uw"}, "name", "uw is the name of a format that there is already; write another"),
        row(
            "no tag", {"app_name": []}, "app_name", "[] is no tag; write it as syslog shows it before `[pid]:`, or a list of such"
        ),
        row(
            "a bad tag", {"app_name": ["a", "a b"]}, "app_name",
            "['a', 'a b'] is no tag; write it as syslog shows it before `[pid]:`, or a list of such",
        ),
        row("a bad service", {"service": "pop"}, "service", f"'pop' is not known; write one of {SERVICES}"),
        row("no service", {"service": ""}, "service", f"is missing, and the pattern has no such group; write one of {SERVICES}"),
        row("escapes", {"escapes": "no"}, "escapes", "'no' is not true or false; write true or false"),
        row("sources", {"sources": ["x"]}, "sources", "['x'] is not a string in double quotes; write a string in double quotes"),
        row("no pattern", {"pattern": ""}, "pattern", "is missing; write a regular expression for the whole text, in single quotes"),
        row("no regular expression", {"pattern": "(x"}, "pattern",
            "missing ), unterminated subpattern at position 0" + GROUPED),
        row("a flag for text", {"pattern": "(?u)x"}, "pattern",
            "bad inline flags: cannot use 'u' flag with a bytes pattern at position 3" + GROUPED),
        row("a bound out of bounds", {"pattern": "x{1,99999999999}"}, "pattern",
            "the repetition number is too large" + GROUPED),
        row("a group that is not known", {"pattern": f"login user={USER} from={ADDRESS}(?P<tls> tls)?"}, "pattern",
            "has the group tls; known are address, local_address, service, session, user"),
        row("no user", {"pattern": f"login from={ADDRESS}"}, "pattern", "needs the group user: (?P<user>...)"),
        row("no address", {"pattern": f"login user={USER}"}, "pattern", "needs the group address: (?P<address>...)"),
        row("no samples", {"samples": []}, "samples", "are missing; write a list of { text = '...', address = \"...\", user = \"...\" }"),
        row("samples of text", {"samples": ["x"]}, "samples",
            "are missing; write a list of { text = '...', address = \"...\", user = \"...\" }"),
        row("a sample's unknown key", {"samples": [SAMPLE | {"host": "x"}]}, "samples[0].host",
            "no such setting; known here: address, app_name, service, text, user"),
        row("a sample without a user", {"samples": [SAMPLE, {"text": "x", "address": "192.0.2.25"}]}, "samples[1].user",
            "is missing; write it as a string"),
        row("a sample's service", {"samples": [SAMPLE | {"service": "pop"}]}, "samples[0].service",
            f"'pop' is not known; write one of {SERVICES}"),
        row("a sample's tag", {"samples": [SAMPLE | {"app_name": "x"}]}, "samples[0].app_name",
            "'x' is not in app_name; write one of mypopd"),
        row("a sample's tag that is no text", {"samples": [SAMPLE | {"app_name": 5}]}, "samples[0].app_name",
            "5 is not in app_name; write one of mypopd"),
        row("no near misses", {"near_misses": []}, "near_misses",
            "are missing; write a list of texts that must yield no login: the server's failed logins"),
        row("a near miss that is no text", {"near_misses": [5]}, "near_misses",
            "are missing; write a list of texts that must yield no login: the server's failed logins"),
        # by check.py: of the whole
        row("a sample that it does not take", sample("login bob 192.0.2.25"), "",
            "sample 'login bob 192.0.2.25' gave not_login, and not ('192.0.2.25', 'bob', 'pop3')"),
        row("a sample of another user", {"samples": [SAMPLE | {"user": "eve"}]}, "",
            GAVE + "('192.0.2.25', 'eve', 'pop3')"),
        row("a sample of another address", {"samples": [SAMPLE | {"address": "192.0.2.26"}]}, "",
            GAVE + "('192.0.2.26', 'bob', 'pop3')"),
        row("a sample of another service", {"samples": [SAMPLE | {"service": "imap"}]}, "",
            GAVE + "('192.0.2.25', 'bob', 'imap')"),
        row("a near miss that hits", {"near_misses": ["login user=eve from=192.0.2.9"]}, "",
            "near miss 'login user=eve from=192.0.2.9' gave 192.0.2.9"),
        # by pattern.py
        row("a dot before the address", {"pattern": f"login user={USER}.from={ADDRESS}"}, "",
            "`.` stands before the address; name the characters, without those that separate the fields"),
        row("something unbounded before the address", {"pattern": rf"login user=(?P<user>[^\x00-\x20=]+) from={ADDRESS}"}, "",
            "nothing without a bound may stand before the address; write {1,64}, say, instead of *, + or {1,}"),
        row("nested quantifiers", {"pattern": f"login user={USER} from={ADDRESS}(?:,[^,]{{1,9}}){{0,9}}"}, "",
            f"a quantifier stands inside another one, {QUADRATIC}; write the inner part out"),
        row("two unbounded", {"pattern": f"login user={USER} from={ADDRESS}(?:;.*;.*)?"}, "",
            f"its quantifiers can share a text in {8192**2} ways, one by one tried; exclude from each the character that follows it"),
        row("a reference to a group", {"pattern": f"login user={USER} from={ADDRESS}(?: (?P=user))?"}, "",
            "refers back to a group, which no line needs"),
        row("a possessive group", {"pattern": f"login user={USER} from={ADDRESS}(?:, tls)?+"}, "",
            "a possessive group stands in it, which Python before 3.11.5 matches wrongly; write (?>...) instead"),
        # by its own sample, with the name of an attacker in it
        row(
            "a user that may hold what separates",
            {"pattern": rf"login user=(?P<user>[^\x00-\x1f]{{1,64}}?) from={ADDRESS}(?: [a-z=0-9.]{{1,99}})?"},
            "",
            MOVES.format("bob from=203.0.113.66"),
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_key_and_how_to_mend_it(changes: dict[str, Any], key: str, text: str) -> None:
    assert (key, text) == faults_of(GOOD | changes)[-1]


def test_the_name_of_an_attacker_is_put_where_the_user_stands() -> None:
    """And not where its letters come first."""
    pattern = rf"login (?P<user>[^\x00-\x1f]{{1,64}}?) from {ADDRESS}(?: [a-z0-9. ]{{1,99}})?"
    found = faults_of(GOOD | {"pattern": pattern, **sample("login in from 192.0.2.25", user="in")})
    assert ("", MOVES.format("in from 203.0.113.66")) == found[-1]


def test_several_mistakes_are_told_together() -> None:
    assert ["name", "app_name", "pattern", "samples", "near_misses"] == [key for key, _ in faults_of({})]


def test_a_fault_is_compared_by_its_words() -> None:
    assert [Fault("name", "uw is the name of a format that there is already; write another")] == read(GOOD | {"name": "uw"}, TAKEN)
