"""What each server's lines become: every verb that authorises, every near miss, and what happens where two formats know a line."""

from dataclasses import replace

import pytest

from syslogauth.core import formats
from syslogauth.core.address import canonical
from syslogauth.core.formats import dovecot, qpopper, uw
from syslogauth.core.formats.check import faults
from syslogauth.core.formats.grammar import Format, Kind, Line, Sample, message_of, printable, whole
from syslogauth.core.login import Login, Refusal
from syslogauth.core.message import Message

CLIENT, USER = "192.0.2.25", "bob"
TAIL = "method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80, TLS, session=<Yw62FttgdcTAAAIZ>"


def row(name: str, *values: object) -> object:
    return pytest.param(*values, id=name)


def sent(app_name: str, text: str) -> Message:
    """As it comes over the network: with a <PRI>."""
    return message_of(app_name, text)._replace(priority=22)


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_every_format_passes_its_own_check(form: Format) -> None:
    assert not faults(form)


def test_the_check_of_all_formats_finds_nothing() -> None:
    assert not formats.ALL.check()


OF_NEAR_MISSES = [
    row(f"{form.name} {n}", form, app_name, text) for form in formats.FORMATS for n, (app_name, text) in enumerate(form.near_misses)
]


@pytest.mark.parametrize(("form", "app_name", "text"), OF_NEAR_MISSES)
def test_no_near_miss_is_a_login_for_any_format(form: Format, app_name: str, text: str) -> None:
    for tag in {app_name.encode(), *formats.ALL.app_names, *formats.ALL.file_app_names}:
        found = formats.ALL.recognise(message_of(app_name, text)._replace(app_name=tag))
        assert not isinstance(found, Login), (form.name, tag)


@pytest.mark.parametrize(
    ("app_name", "text", "address", "user", "service"),
    [
        # Dovecot
        row("dovecot 0.99 imap", "dovecot", "imap-login: Login: bob [192.0.2.25]", CLIENT, USER, "imap"),
        row("dovecot 0.99 pop3", "dovecot", "pop3-login: Login: bob [::ffff:192.0.2.25]", CLIENT, USER, "pop3"),
        row(
            "dovecot 1.x",
            "dovecot",
            "imap-login: Login: user=<bob>, method=PLAIN, rip=::ffff:192.0.2.25, lip=::ffff:192.0.2.1, TLS",
            *(CLIENT, USER, "imap"),
        ),
        row(
            "dovecot 2.0",
            "dovecot",
            "pop3-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80",
            CLIENT,
            USER,
            "pop3",
        ),
        row("dovecot 2.3 imap", "dovecot", f"imap-login: Login: user=<bob>, {TAIL}", CLIENT, USER, "imap"),
        row("dovecot 2.3 pop3", "dovecot", f"pop3-login: Login: user=<bob>, {TAIL}", CLIENT, USER, "pop3"),
        row("dovecot 2.3 submission", "dovecot", f"submission-login: Login: user=<bob>, {TAIL}", CLIENT, USER, "submission"),
        row("dovecot 2.3 managesieve", "dovecot", f"managesieve-login: Login: user=<bob>, {TAIL}", CLIENT, USER, "managesieve"),
        row("dovecot 2.4 imap", "dovecot", f"imap-login: Logged in: user=<bob>, {TAIL}", CLIENT, USER, "imap"),
        row("dovecot 2.4 pop3", "dovecot", f"pop3-login: Logged in: user=<bob>, {TAIL}", CLIENT, USER, "pop3"),
        row("dovecot 2.4 submission", "dovecot", f"submission-login: Logged in: user=<bob>, {TAIL}", CLIENT, USER, "submission"),
        row("dovecot 2.4 sieve", "dovecot", f"sieve-login: Logged in: user=<bob>, {TAIL}", CLIENT, USER, "managesieve"),
        row("dovecot secured", "dovecot", f"imap-login: Login: user=<bob>, {TAIL.replace('TLS', 'secured')}", CLIENT, USER, "imap"),
        row("dovecot plain", "dovecot", f"imap-login: Login: user=<bob>, {TAIL.replace('TLS, ', '')}", CLIENT, USER, "imap"),
        row("dovecot APOP", "dovecot", f"pop3-login: Login: user=<bob>, {TAIL.replace('PLAIN', 'APOP')}", CLIENT, USER, "pop3"),
        row("dovecot CRAM", "dovecot", f"imap-login: Login: user=<bob>, {TAIL.replace('PLAIN', 'CRAM-MD5')}", CLIENT, USER, "imap"),
        row(
            "dovecot IPv6",
            "dovecot",
            f"imap-login: Login: user=<bob>, {TAIL.replace(CLIENT, '2001:DB8:0::10')}",
            "2001:db8::10",
            USER,
            "imap",
        ),
        row("dovecot, a long name", "dovecot", f"imap-login: Login: user=<{'b' * 77}...>, {TAIL}", CLIENT, f"{'b' * 77}...", "imap"),
        row("dovecot, a name with blanks", "dovecot", f'imap-login: Login: user=<b, o" b=>, {TAIL}', CLIENT, 'b, o" b=', "imap"),
        row(
            "dovecot, a name beyond ASCII",
            "dovecot",
            f"imap-login: Login: user=<b\u00f6b\u202e>, {TAIL}",
            CLIENT,
            "b\u00f6b\\u202e",
            "imap",
        ),
        # qpopper
        row("qpopper 2.53", "popper", '(v2.53) POP login by user "bob" at (c1.example.net) 192.0.2.25', CLIENT, USER, "pop3"),
        row("qpopper 3", "in.popper", '(v3.1.2) POP login by user "bob" at (192.0.2.25) 192.0.2.25', CLIENT, USER, "pop3"),
        row("qpopper 4", "qpopper", '(v4.0.19) POP login by user "bob" at (c1.example.net) 192.0.2.25', CLIENT, USER, "pop3"),
        row("qpopper 4 debug", "in.qpopper", '(v4.1.0) POP login by user "bob" at (c1) 192.0.2.25 [pop_log.c:244]', CLIENT, USER, "pop3"),
        row("qpopper Stats", "qpopper", "Stats: bob 0 0 3 2048 c1.example.net 192.0.2.25", CLIENT, USER, "pop3"),
        row("qpopper Stats debug", "qpopper", "Stats: bob 0 0 3 2048 c1.example.net 192.0.2.25 [pop_updt.c:296]", CLIENT, USER, "pop3"),
        row("qpopper Stats, no name", "qpopper", "Stats: bob 0 0 3 2048 192.0.2.25", CLIENT, USER, "pop3"),
        # UW
        row("uw imapd Login", "imapd", "Login user=bob host=c1.example.net [192.0.2.25]", CLIENT, USER, "imap"),
        row("uw imapd Login, no PTR", "imapd", "Login user=bob host=[::ffff:192.0.2.25]", CLIENT, USER, "imap"),
        row("uw imapd Authenticated", "imapd", "Authenticated user=bob host=[192.0.2.25] mech=PLAIN", CLIENT, USER, "imap"),
        row("uw imapd Authenticated, 4.x", "imapd", "Authenticated user=bob host=c1.example.net [192.0.2.25]", CLIENT, USER, "imap"),
        row("uw imapd Admin Login", "imaps", "Admin Login user=bob host=[192.0.2.25]", CLIENT, USER, "imap"),
        row("uw ipop3d Login", "ipop3d", "Login user=bob host=[192.0.2.25] nmsgs=0/0", CLIENT, USER, "pop3"),
        row("uw ipop3d Auth", "ipop3d", "Auth user=bob host=[192.0.2.25] nmsgs=3/3", CLIENT, USER, "pop3"),
        row("uw ipop3d APOP", "ipop3s", "APOP user=bob host=[192.0.2.25] nmsgs=3/3", CLIENT, USER, "pop3"),
        row("uw ipop3d Admin Login", "ipop3d", "Admin Login user=bob host=[192.0.2.25] nmsgs=3/3", CLIENT, USER, "pop3"),
        row("uw ipop3d no mailbox", "ipop3d", "Login user=bob host=[192.0.2.25] no mailbox", CLIENT, USER, "pop3"),
        row("uw IPv6", "imapd", "Login user=bob host=c1.example.net [2001:db8::10]", "2001:db8::10", USER, "imap"),
    ],
)
def test_every_verb_that_authorises_is_read(app_name: str, text: str, address: str, user: str, service: str) -> None:
    found = formats.ALL.recognise(sent(app_name, text))
    assert isinstance(found, Login)
    assert (address, user, service) == (canonical(found.address), found.user, found.service)


@pytest.mark.parametrize(
    ("text", "session"),
    [
        row("with a session", f"imap-login: Login: user=<bob>, {TAIL}", "Yw62FttgdcTAAAIZ"),
        row("an empty one", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, session=<>", ""),
        row("none, before 2.2", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1, mpid=80", ""),
    ],
)
def test_the_session_id_tells_a_line_that_can_not_repeat(text: str, session: str) -> None:
    found = formats.ALL.recognise(sent("dovecot", text))
    assert isinstance(found, Login)
    assert (session, "192.0.2.1") == (found.session, canonical(found.local_address or b""))


@pytest.mark.parametrize(
    "text",
    [
        row("2.0", f"pop3-login: proxy(bob): started proxying to 198.51.100.3:110: user=<bob>, {TAIL}"),
        row("2.3", f"imap-login: proxy(bob,127.0.0.1:143): Started proxying to <127.0.0.1> (0.000 secs): user=<bob>, {TAIL}"),
        row(
            "2.4",
            f"imap-login: proxy(bob,[::1]:143): Started proxying to remote host (0.123 secs): user=<bob>, {TAIL}".replace("[::1]", "::1"),
        ),
    ],
)
def test_a_proxy_s_login_is_marked(text: str) -> None:
    found = formats.ALL.recognise(sent("dovecot", text))
    assert isinstance(found, Login)
    assert (found.proxied, found.session_end, canonical(found.address)) == (True, False, CLIENT)


def test_the_end_of_a_session_is_marked() -> None:
    found = formats.ALL.recognise(sent("qpopper", "Stats: bob 0 0 3 2048 c1.example.net 192.0.2.25"))
    assert isinstance(found, Login)
    assert (found.session_end, found.proxied) == (True, False)


@pytest.mark.parametrize(
    ("app_name", "text", "expected"),
    [
        row("dovecot, SASL ANONYMOUS", "dovecot", f"imap-login: Login: user=<a>, {TAIL.replace('PLAIN', 'Anonymous')}", Refusal.ANONYMOUS),
        row("uw, anonymous", "imapd", "Login user=Anonymous host=[192.0.2.25]", Refusal.ANONYMOUS),
        row("dovecot, rip twice", "dovecot", f"imap-login: Login: user=<bob>, rip=192.0.2.9, {TAIL}", Refusal.AMBIGUOUS),
        row("dovecot, user twice", "dovecot", f"imap-login: Login: user=<bob>, user=<eve>, {TAIL}", Refusal.AMBIGUOUS),
        row("dovecot, TLS twice", "dovecot", f"imap-login: Login: user=<bob>, TLS, {TAIL}", Refusal.AMBIGUOUS),
        row("dovecot, rip in the user", "dovecot", f"imap-login: Login: user=<a, rip=192.0.2.9>, {TAIL}", Refusal.AMBIGUOUS),
        row("dovecot, an unknown element", "dovecot", f"imap-login: Login: user=<bob>, evil.example, {TAIL}", Refusal.AMBIGUOUS),
        row("dovecot, a comma at the end", "dovecot", f"imap-login: Login: user=<bob>, {TAIL}, ", Refusal.AMBIGUOUS),
        row("dovecot, no lip: cut", "dovecot", "imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25", Refusal.AMBIGUOUS),
        row(
            "dovecot, a scoped address",
            "dovecot",
            f"imap-login: Login: user=<bob>, {TAIL.replace(CLIENT, 'fe80::1%em0')}",
            Refusal.AMBIGUOUS,
        ),
        row("dovecot, proxy of another", "dovecot", f"imap-login: proxy(a): started proxying to h:1: user=<b>, {TAIL}", Refusal.AMBIGUOUS),
        row("uw, host in the user", "imapd", "Login user=host=[9.9.9.9] host=[192.0.2.25]", Refusal.AMBIGUOUS),
        row("dovecot, no address", "dovecot", f"imap-login: Login: user=<bob>, {TAIL.replace(CLIENT, '0.0.0.0')}", Refusal.BAD_ADDRESS),
        row("dovecot, octal", "dovecot", f"imap-login: Login: user=<bob>, {TAIL.replace(CLIENT, '192.0.2.025')}", Refusal.BAD_ADDRESS),
        row("dovecot 0.99, three bytes", "dovecot", "imap-login: Login: bob [192.0.25]", Refusal.BAD_ADDRESS),
        row("qpopper, multicast", "qpopper", '(v4.0.19) POP login by user "bob" at (c1) 224.0.0.1', Refusal.BAD_ADDRESS),
        row("uw, link-local", "imapd", "Login user=bob host=[fe80::1]", Refusal.BAD_ADDRESS),
        row("uw, a blank in the user", "imapd", "Login user=a b host=[192.0.2.25]", Refusal.NOT_LOGIN),
        row("unknown tag", "sendmail", f"imap-login: Login: user=<bob>, {TAIL}", Refusal.NOT_LOGIN),
        row("an instance that is not configured", "dovecot-front", f"imap-login: Login: user=<bob>, {TAIL}", Refusal.NOT_LOGIN),
        row("case of the tag", "Dovecot", f"imap-login: Login: user=<bob>, {TAIL}", Refusal.NOT_LOGIN),
        row("case of the verb", "dovecot", f"imap-login: login: user=<bob>, {TAIL}", Refusal.NOT_LOGIN),
        row("verb of another service", "dovecot", f"lmtp-login: Login: user=<bob>, {TAIL}", Refusal.NOT_LOGIN),
    ],
)
def test_what_is_no_plain_login_has_its_reason(app_name: str, text: str, expected: Refusal) -> None:
    assert expected == formats.ALL.recognise(sent(app_name, text))


@pytest.mark.parametrize(
    ("name_bytes", "cut"),
    [
        row("79 bytes: whole", 79, False),
        row("80 bytes: perhaps cut behind a bracket of the name's owner", 80, True),
        row("81 bytes: of a build that does not cut", 81, False),
    ],
)
def test_a_host_field_of_uw_that_may_have_been_cut_is_refused(name_bytes: int, cut: bool) -> None:
    host = f"{'b' * (name_bytes - len(' [192.0.2.25]'))} [192.0.2.25]"
    assert name_bytes == len(host)
    for verb, tail in (("Login", ""), ("Authenticated", " mech=PLAIN")):
        found = formats.ALL.recognise(sent("imapd", f"{verb} user=bob host={host}{tail}"))
        assert cut == (found is Refusal.AMBIGUOUS)
        assert cut or (isinstance(found, Login) and canonical(found.address) == CLIENT)


@pytest.mark.parametrize(
    ("app_name", "text"),
    [
        row("1.x", "dovecot", f"2008-10-02 23:34:07 Info: pop3-login: Login: user=<bob>, {TAIL}"),
        row("1.x, the other stamp", "dovecot", f"Oct 02 23:34:07 Info: pop3-login: Login: user=<bob>, {TAIL}"),
        row("2.x", "pop3-login", f"Info: Login: user=<bob>, {TAIL}"),
        row("2.4", "imap-login", f"Info: Logged in: user=<bob>, {TAIL}"),
    ],
)
def test_forms_of_dovecot_s_own_log_are_read_from_files_alone(app_name: str, text: str) -> None:
    not_login = Refusal.NOT_LOGIN
    assert isinstance(formats.ALL.recognise(message_of(app_name, text)), Login)
    assert not_login == formats.ALL.recognise(sent(app_name, text))


@pytest.mark.parametrize("server", ["dovecot", "qpopper", "uw"])
def test_a_source_that_splits_lines_is_believed_for_servers_that_escape(server: str) -> None:
    [form] = [form for form in formats.FORMATS if form.name == server]
    for sample in form.samples:
        found = formats.ALL.recognise(message_of(sample.app_name, sample.text), escaped=False)
        assert (server == "uw") == (found is Refusal.UNESCAPED_SOURCE)


SAMPLE = Sample("imapd", "Login user=bob host=[192.0.2.25]", CLIENT, USER, "imap")


def format_that(answers: Login | Refusal) -> Format:
    return replace(uw.FORMAT, name="test", lines=(Line(Kind.LOGIN, whole(rb".*"), read=lambda message, found: answers),))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        row("another login", Login("test", "imap", "eve", b"\x09\x09\x09\x09"), Refusal.AMBIGUOUS),
        row("the same login", uw.FORMAT.recognise(message_of(SAMPLE.app_name, SAMPLE.text)), Refusal.AMBIGUOUS),
        row("a refusal of a line that it knows", Refusal.ANONYMOUS, Refusal.AMBIGUOUS),
        row("nothing", Refusal.NOT_LOGIN, uw.FORMAT.recognise(message_of(SAMPLE.app_name, SAMPLE.text))),
    ],
)
@pytest.mark.parametrize("other_first", [True, False])
def test_a_line_that_two_formats_know_is_ambiguous(other: Login | Refusal, expected: Login | Refusal, other_first: bool) -> None:
    both = (format_that(other), uw.FORMAT) if other_first else (uw.FORMAT, format_that(other))
    assert expected == formats.Recogniser(both).recognise(sent(SAMPLE.app_name, SAMPLE.text))


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        row("no samples", replace(uw.FORMAT, samples=()), "uw: a format needs samples"),
        row("no near misses", replace(uw.FORMAT, near_misses=()), "uw: a format needs near misses"),
        row("no sources", replace(uw.FORMAT, sources=()), "uw: a format needs app_names, lines, and sources"),
        row("no tags", replace(qpopper.FORMAT, app_names={}), "qpopper: a format needs app_names"),
        row("a sample of another user", replace(uw.FORMAT, samples=(replace(SAMPLE, user="eve"),)), "uw: sample"),
        row("a sample of another address", replace(uw.FORMAT, samples=(replace(SAMPLE, address="192.0.2.2"),)), "uw: sample"),
        row("a sample that is no login", replace(dovecot.FORMAT, samples=(replace(SAMPLE, app_name="dovecot"),)), "dovecot: sample"),
        row(
            "a login that the gate would stop", replace(uw.FORMAT, begins=rb"Authenticated", samples=(SAMPLE,)), "uw: `begins` would refuse"
        ),
        row("a near miss that hits", replace(uw.FORMAT, near_misses=((SAMPLE.app_name, SAMPLE.text),)), "uw: near miss"),
    ],
)
def test_the_check_finds_what_is_wrong_with_a_format(form: Format, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults(form))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bob", "bob"),
        ("b\u00f6b".encode(), "b\u00f6b"),
        (b"b\xff", "b\\xff"),
        ("\u0085\u2028".encode(), "\\x85\\u2028"),
        (b"\x1b[2J", "\\x1b[2J"),
    ],
)
def test_a_client_s_text_is_made_fit_for_a_terminal(field: bytes, expected: str) -> None:
    assert expected == printable(field)
