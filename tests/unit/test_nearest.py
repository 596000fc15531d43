"""Why a message gave no login, in words: where the text stopped to fit, or what else it is."""

import pytest

from syslogauth.core import formats
from syslogauth.core.formats import FORMATS, Recogniser, dovecot, uw
from syslogauth.core.formats.grammar import Format, Kind, Line, Sample, message_of, whole
from syslogauth.core.formats.nearest import Explanation, explain
from syslogauth.core.formats.pattern import pieces
from syslogauth.core.login import Refusal
from syslogauth.core.message import Message

ALL = Recogniser(FORMATS)
UW_END = "' mech=...' or ' nmsgs=N/N' or ' no mailbox'"
NEEDS = "login_log_format_elements needs user, method, rip and lip"
BARE = "login_log_format_elements may hold keyed ones alone (what stands there bare, such as an SNI, is a client's text)"
NONE = "(syslogauth formats lists those that there are; a [[format]] of your own adds one)"
KEY = "which is a key of the line itself: a client's text may stand there"
TAIL = "rip=192.0.2.25, lip=192.0.2.1"


def why(app_name: str, text: str, outcome: str | None = None, recogniser: Recogniser = ALL, procid: str = "7") -> Explanation:
    message = message_of(app_name, text, procid)
    found = recogniser.recognise(message)
    return explain(recogniser, message, outcome or (found if isinstance(found, Refusal) else Refusal.NOT_LOGIN))


@pytest.mark.parametrize(
    ("app_name", "text", "expected"),
    [
        (
            "dovecot",
            "imap-login: Success: user=<bob>",
            "after 12 bytes of the text, behind '-login: ', 'Login' or 'Logged in' is expected; 'Success: user=<bob>' stands there",
        ),
        (
            "dovecot",
            "imap-login: Login: bob [192.0.2.25] [9.9.9.9]",
            "after 35 bytes of the text, behind ']', the end is expected; ' [9.9.9.9]' stands there",
        ),
        (
            "dovecot",
            f"imap-login: Login: user=<bob>, method=PLAIN, mail.example.org, {TAIL}",
            f"after 45 bytes of the text, 'mail.example.org, rip=192.0.2.25, lip=19' is no element that is known: {BARE}",
        ),
        (
            "dovecot",
            f"imap-login: Login: user=<bob>, method=PLAIN, rip=9.9.9.9, {TAIL}",
            "after 58 bytes of the text, rip= comes a second time: one of the two is a client's text",
        ),
        (
            "dovecot",
            "imap-login: Login: user=<bob>, rip=192.0.2.25, lip=192.0.2.1",
            f"it has no method=: {NEEDS}",
        ),
        ("dovecot", "imap-login: Login: user=<bob>", f"it has no method= and no rip= and no lip=: {NEEDS}"),
        (
            "dovecot",
            f"imap-login: Login: user=<bob>, method=P(1), {TAIL}",
            "after 39 bytes of the text, method= ends, and instead of a comma '(1), rip=192.0.2.25, lip=192.0.2.1' follows",
        ),
        (
            "dovecot",
            f"imap-login: Login: user=<bob>, colour=blue, {TAIL}",
            "after 31 bytes of the text, colour= is an element that is not known",
        ),
        (
            "dovecot",
            "imap-login: Login: user=bob, method=PLAIN",
            "after 19 bytes of the text, user= is followed by 'bob, method=PLAIN', which is no value that Dovecot gives it",
        ),
        (
            "dovecot",
            f"imap-login: Login: user=<x, rip=9.9.9.9>, method=PLAIN, {TAIL}",
            "the user's name 'x, rip=9.9.9.9' holds `rip=`, a key of the line itself",
        ),
        (
            "dovecot",
            "imap-login: Login: user=<bob>, method=PLAIN, rip=0.0.0.0, lip=192.0.2.1",
            "rip=0.0.0.0 is no address that a client can have",
        ),
        (
            "qpopper",
            '(v4.1.0) POP login by user "b ob" at (c1.example.net) 192.0.2.25',
            "after 29 bytes of the text, behind the user 'b', '\" at (' is expected; ' ob\" at (c1.example.net) 192.0.2.25' stands there",
        ),
        (
            "qpopper",
            '(v4.1.0) POP login by user "bob" at (c1.example.net) mail',
            "after 53 bytes of the text, behind ') ', the address (an IPv4 or IPv6 address) is expected; 'mail' stands there",
        ),
        (
            "ipop3d",
            "Login user=bob host=[192.0.2.25",
            "after 31 bytes of the text, behind the address '192.0.2.25', ']' is expected; the text ends there",
        ),
        (
            "ipop3d",
            "Login user=bob host=[192.0.2.25] x",
            f"after 32 bytes of the text, behind ']', {UW_END} or the end is expected; ' x' stands there",
        ),
        ("ipop3d", "Login user=a,host=[9 host=[192.0.2.25]", f"the user 'a,host=[9' holds 'host=', {KEY}"),
        (
            "ipop3d",
            "Login user=bob host=[192.0.2.256]",
            "the address, after 21 bytes of the text, is '192.0.2.256': none that a client can have",
        ),
        (
            "ipop3d",
            f"Login user=bob host={'b' * 70} [9.9.9.9]",
            "its host field has 80 bytes, where the server cuts it: the address may be a part of a longer reverse DNS name",
        ),
    ],
)
def test_a_near_login_is_told_where_it_stops_to_fit(app_name: str, text: str, expected: str) -> None:
    assert Explanation(expected, {"dovecot": "dovecot", "qpopper": "qpopper", "ipop3d": "uw"}[app_name]) == why(app_name, text)


@pytest.mark.parametrize(
    ("app_name", "text", "nearest", "expected"),
    [
        (
            "dovecot",
            f"imap-login: Disconnected (auth failed): user=<bob>, {TAIL}",
            "dovecot",
            "one of its other lines, which are no logins",
        ),
        ("dovecot", "auth: Error: the sky fell", "dovecot", "one of its other lines, which are no logins"),
        ("ipop3d", "Login failed user=bob auth=bob host=[192.0.2.25]", "uw", "one of its other lines, which are no logins"),
        (
            "ipop3d",
            "Logout user=bob host=[192.0.2.25]",
            "uw",
            "the end of a session, which counts where policy.hold_while_connected is true",
        ),
        ("ipop3d", "AUTHENTICATE PLAIN failure host=[192.0.2.25]", "", "it speaks of a failure, and begins as no login of uw does"),
        (
            "ipop3d",
            "listening on port 110",
            "",
            "it begins as no login of uw does, which is: 'Admin ', 'Login' or 'Authenticated' or 'Auth' or 'APOP'",
        ),
        ("popa3d", "Authentication failed for bob", "popa3d", "a line about a login that was not let in"),
    ],
)
def test_what_is_another_line_of_its_server_is_said_to_be_that(app_name: str, text: str, nearest: str, expected: str) -> None:
    assert Explanation(expected, nearest) == why(app_name, text)


@pytest.mark.parametrize(
    ("app_name", "expected"),
    [
        ("postfix/smtpd", f"no format has the tag postfix/smtpd {NONE}"),
        (
            "dovecot-front",
            'no format has the tag dovecot-front; if it stands for dovecot, write listen.app_names = { "dovecot-front" = "dovecot" }',
        ),
        ("qpoper", 'no format has the tag qpoper; if it stands for qpopper, write listen.app_names = { "qpoper" = "qpopper" }'),
        ("", "it has no tag, so that its server is unknown"),
    ],
)
def test_an_unknown_tag_is_told_what_it_may_stand_for(app_name: str, expected: str) -> None:
    assert Explanation(expected) == why(app_name, "x")


def test_a_tag_of_a_log_file_is_not_taken_from_the_network() -> None:
    message = Message(22, b"", b"", b"imap-login", b"", f"Info: Login: user=<bob>, method=PLAIN, {TAIL}".encode())
    expected = "imap-login is a tag of a server's own log file alone: that is read (replay), and never taken from the network"
    assert Explanation(expected) == explain(ALL, message, Refusal.NOT_LOGIN)


@pytest.mark.parametrize(
    "text", ["POP3 login: user `bob', source system", "user `bob' logged in with mailbox `/var/mail/bob' (3 messages)"]
)
def test_a_server_that_logs_no_address_is_said_to_log_none(text: str) -> None:
    told = why("pop3d", text)
    assert "mailutils" == told.nearest
    assert told.words.startswith("it names no address in the logins of this tag. Mailutils 2.99 and 3")


def test_the_lines_of_a_login_that_takes_several_are_told_apart() -> None:
    assert (
        "the first line of a login: who connected; the user is to follow from the same process"
        == why("popa3d", "Session from 192.0.2.25").words
    )
    alone = "it let 'bob' in, but no line of the same process (popa3d[7]) within 60 s before it said from where"
    assert why("popa3d", "Authentication passed for bob", Refusal.UNJOINED).words.startswith(alone)
    without = "without a [pid] nothing can be joined: let the server's syslog write it"
    assert without in why("popa3d", "Session from 192.0.2.25", procid="").words


def test_a_doubtful_source_is_told_the_mending() -> None:
    told = why("ipop3d", "Login user=bob host=[192.0.2.25]", Refusal.UNESCAPED_SOURCE)
    assert "uw" == told.nearest
    assert told.words.endswith("declare so: [[listen.source]] with its peers or files and escapes = true")


def test_the_rest_of_a_cut_line_is_told_apart_from_a_login() -> None:
    told = why("dovecot", f"imap-login: Login: user=<bob>, method=PLAIN, {TAIL}", Refusal.CUT)
    assert Explanation("the line before it of the same server was cut: this is the rest of that one, and a client's text") == told


def test_a_line_of_two_formats_names_both() -> None:
    twin = Format("twin", {b"imapd": "imap"}, uw.FORMAT.lines, uw.FORMAT.begins, (), (), ())
    told = why("imapd", "Login user=bob host=[192.0.2.25]", recogniser=Recogniser((uw.FORMAT, twin)))
    assert Explanation("it is a line of uw and twin alike: which of them wrote it cannot be told", "uw") == told


SITE = Format(
    "site",
    {b"sited": ""},
    (Line(Kind.LOGIN, whole(rb"in: (?P<user>[a-z]{1,9}) (?:by (?P<service>[a-z0-9]{1,8}) )?\[(?P<address>[0-9a-f.:]{2,45})\]")),),
    rb"in: ",
    (Sample("sited", "in: bob by imap [192.0.2.25]", "192.0.2.25", "bob", "imap"),),
    (("sited", "out"),),
    ("here",),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in: bob by lmtp [192.0.2.25]", "its service 'lmtp' is none that is known: imap, pop3, submission, managesieve"),
        (
            "in: Bob [192.0.2.25]",
            "after 4 bytes of the text, behind 'in: ', the user (1 to 9 small letters) is expected; 'Bob [192.0.2.25]' stands there",
        ),
        (
            "in: bob at [192.0.2.25]",
            "after 8 bytes of the text, behind ' ', 'by SERVICE ' or '[' is expected; 'at [192.0.2.25]' stands there",
        ),
        (
            "in: bob\x1b[2J",
            "after 7 bytes of the text, behind the user 'bob', ' ' is expected; '\\x1b[2J' stands there",
        ),
    ],
)
def test_a_site_s_own_format_is_explained_by_its_pattern(text: str, expected: str) -> None:
    told = why("sited", text, recogniser=Recogniser((SITE,)))
    assert "site" == told.nearest
    assert expected == told.words


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_near_miss_of_every_format_is_explained(form: Format) -> None:
    for app_name, text in form.near_misses:
        told = why(app_name, text)
        assert told.words, text
        assert told.words.isprintable(), text
        assert not told.nearest or told.nearest in {known.name for known in formats.FORMATS}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_pieces_of_a_pattern_lead_to_its_end(form: Format) -> None:
    for sample in form.samples:
        for line in form.lines:
            if line.kind is Kind.LOGIN and (found := line.pattern.fullmatch(sample.text.encode())):
                ends = [reached.end() if (reached := piece.upto.match(found.string)) else None for piece in pieces(line.pattern)]
                assert len(found.string) == ends[-1]
                assert None not in ends


def test_dovecot_s_elements_are_judged_alike_by_reading_and_by_explaining() -> None:
    for app_name, text in dovecot.FORMAT.near_misses:
        message = message_of(app_name, text)
        for line in dovecot.FORMAT.lines:
            if line.explain and line.read and (found := line.pattern.fullmatch(message.text)):
                assert isinstance(line.read(message, found), Refusal)
                assert line.explain(message, found)
