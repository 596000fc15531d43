"""Cyrus, Courier, the proxies and the smaller IMAP servers: what is not in one line's text, and logins whose line is cut short."""

import re

import pytest

from syslogauth.core import formats
from syslogauth.core.address import canonical
from syslogauth.core.formats.grammar import Format, Kind, message_of
from syslogauth.core.login import Login, Logout, Refusal, Report

NAMES = ("apple", "courier", "cyrus", "dbmail", "imapproxy", "nginx", "perdition", "stalwart", "zimbra")
MINE = [form for form in formats.FORMATS if form.name in NAMES]
ID = "SESSIONID=<cyrus-1795362166-39-1-7408908786282806633>"
ZIMBRA = "INFO [ImapServer-1] [name=bob;ip=198.51.100.3;{}] imap - user bob authenticated, mechanism=PLAIN"
NGINX = 'info: 2026/11/22 15:40:17 [info] 91#91: *4 {}, client: 192.0.2.25, server: 0.0.0.0:143, login: "bob", upstream: 198.51.100.3:143'
PERDITION = '192.0.2.25:42177->192.0.2.1:110{} authorisation_id=NONE authentication_id="bob" {}'
TAIL = 'server="198.51.100.3:110" protocol=POP3 server-secure=plaintext'


def recognised(app_name: str, text: str, procid: str = "") -> Report | Refusal:
    return formats.ALL.recognise(message_of(app_name, text, procid))


@pytest.mark.parametrize(
    "text",
    [
        "login: client.example.net [192.0.2.25] bob plaintext",
        "login: client.example.net [192.0.2.25] bob PLAIN User logged in",
        f"login: client.example.net [192.0.2.25] bob Basic+TLS User logged in {ID}",
        f"login: client.example.net [192.0.2.25] bob JWT User logged in {ID}",
        "event=login.good r.clienthost=[192.0.2.25] u.username=bob login.mech=PLAIN login.tls=1",
        "event=login.good r.clienthost=[192.0.2.25] u.username=bob login.magic=~null~ pop.subfolder=~null~",
    ],
)
def test_what_another_service_of_cyrus_may_have_written_is_not_believed_under_the_short_tag(text: str) -> None:
    assert recognised("cyrus", text, "39") is Refusal.NOT_LOGIN


@pytest.mark.parametrize("app_name", ["cyrus/sieve", "cyrus/nntp", "cyrus/http", "cyrus/lmtpunix", "cyrus/imap2", "a/b/imap", "/imap"])
def test_a_service_of_cyrus_that_reads_no_mail_is_not_believed(app_name: str) -> None:
    assert recognised(app_name, f"login: [192.0.2.25] bob PLAIN User logged in {ID}", "39") is Refusal.NOT_LOGIN


def test_a_port_that_says_nothing_of_the_protocol_is_not_believed_where_the_tag_does_not_say_it() -> None:
    text = 'Auth: 192.0.2.25->192.0.2.1 user="bob" server="mail.example.org" port="4143" status="ok"'
    assert recognised("perdition", text) is Refusal.NOT_LOGIN
    assert isinstance(recognised("perdition.imap4", text), Login)


def test_an_address_that_the_peer_named_is_known_by_the_peer() -> None:
    login = recognised("mailboxd", ZIMBRA.format("oip=192.0.2.25;"))
    assert isinstance(login, Login)
    assert login.via is not None
    assert ("192.0.2.25", "198.51.100.3") == (canonical(login.address), canonical(login.via))


@pytest.mark.parametrize("context", ["", "ua=oip=192.0.2.25;", "cid=4;ua=Mail/1.0;"])
def test_a_client_that_comes_itself_needs_nobody_s_word(context: str) -> None:
    login = recognised("mailboxd", ZIMBRA.format(context))
    assert isinstance(login, Login)
    assert ("198.51.100.3", None) == (canonical(login.address), login.via)


@pytest.mark.parametrize(
    "context", ["oip=192.0.2.25;oip=192.0.2.26;", "ua=a;oip=192.0.2.25;ua=b;", "ua=a;;oip=192.0.2.25;", "ip=192.0.2.25;", "oip=192.0.2.25"]
)
def test_a_context_that_is_read_in_two_ways_is_refused(context: str) -> None:
    assert not isinstance(recognised("mailboxd", ZIMBRA.format(context)), Login)


@pytest.mark.parametrize(
    ("app_name", "login_text", "end_text"),
    [
        # as they wrote them
        ("cyrus/imap", f"login: c.example.net [192.0.2.25] bob plaintext User logged in {ID}", "USAGE bob user: 0.004029 sys: 0.016119"),
        (
            "imapd",
            "LOGIN, user=bob, ip=[::ffff:192.0.2.25], port=[47271], protocol=IMAP",
            "LOGOUT, user=bob, ip=[::ffff:192.0.2.25], port=[47271], headers=0, body=0, rcvd=18, sent=101, time=0",
        ),
        (
            "pop3d-ssl",
            "LOGIN, user=bob, ip=[2001:db8::10], port=[55897]",
            "LOGOUT, user=bob, ip=[2001:db8::10], port=[55897], top=0, retr=0, rcvd=6, sent=30, time=0, stls=1",
        ),
        (
            "perdition.pop3",
            "Auth: " + PERDITION.format(" client-secure=plaintext", TAIL + ' status="ok"'),
            "Closing session: " + PERDITION.format("", "received=6 sent=5"),
        ),
        ("in.imapproxyd", "LOGIN: '\"bob\"' (192.0.2.25:52113) on new sd [9]", "LOGOUT: '\"bob\"' from server sd [9]"),
    ],
)
def test_the_end_of_a_session_names_its_login(app_name: str, login_text: str, end_text: str) -> None:
    login, end = recognised(app_name, login_text, "34"), recognised(app_name, end_text, "34")
    assert isinstance(login, Login)
    assert isinstance(end, Logout)
    assert (login.server, login.end_key, False) == (end.server, end.end_key, login.counted)


@pytest.mark.parametrize("form", MINE, ids=lambda form: form.name)
def test_a_login_that_has_an_end_can_be_ended_and_one_without_is_not_held(form: Format) -> None:
    for sample in form.samples:
        login = recognised(sample.app_name, sample.text, "34")
        assert isinstance(login, Login)
        assert bool(form.logouts) or not login.end_key


@pytest.mark.parametrize("form", MINE, ids=lambda form: form.name)
def test_the_logins_of_a_proxy_are_marked(form: Format) -> None:
    proxies = {"perdition", "imapproxy", "nginx"}
    assert {form.name in proxies} == {line.proxied for line in form.lines if line.kind is Kind.LOGIN}


# What a client writes, from the beginning of its name to the cut; the name is padded so that the cut falls there.
FORGED_ENDS = [
    ("perdition.pop3", "Auth: " + PERDITION.format(" client-secure=plaintext", "").replace('bob" ', ""), f'" {TAIL} status="ok"'),
    ("perdition", 'Auth: 9.9.9.9->192.0.2.1 user="', '" server="m" port="110" status="ok"'),
    ("in.imapproxyd", "LOGIN: '", "' (9.9.9.9:1) on new sd [1]"),
    ("in.imapproxyd", "LOGIN: '", "' (9.9.9.9) on existing sd [1]"),
    ("in.imapproxyd", "LOGIN: '", "' (2001:db8::9:1) on new sd [1]"),
    ("imapd", "LOGIN, user=", ", ip=[9.9.9.9], port=[1], protocol=IMAP"),
    ("pop3d", "LOGIN, user=", ", ip=[2001:db8:9:9:9:9:9:9], port=[11111], stls=1"),
    ("AppleMailServer", 'IMAP User "', '" log on successful from 9.9.9.9'),
    (
        "dbmail-imapd",
        "Notice:[imap] dbmail_imap_session_handle_auth(+1455): [0x55d0c0de] login accepted: id [12] user [",
        "] from [9.9.9.9:1]",
    ),
]
SHORTEST_CUT = 480 - 160  # what a syslogd leaves of the text: FreeBSD 12's datagram, less the longest header that one can imagine


@pytest.mark.parametrize(("app_name", "begins", "ends"), FORGED_ENDS)
def test_a_name_can_not_end_a_line_where_a_syslogd_cuts_it(app_name: str, begins: str, ends: str) -> None:
    for length in range(SHORTEST_CUT, 1100):
        text = begins + "a" * (length - len(begins) - len(ends)) + ends
        assert length == len(text)
        assert not isinstance(recognised(app_name, text, "34"), Login)


@pytest.mark.parametrize(("app_name", "begins", "ends"), FORGED_ENDS)
def test_the_same_line_with_a_name_of_the_usual_length_is_a_login(app_name: str, begins: str, ends: str) -> None:
    """So that the test of the cuts tests what it says."""
    assert isinstance(recognised(app_name, f"{begins}a{ends}", "34"), Login)


@pytest.mark.parametrize("form", MINE, ids=lambda form: form.name)
def test_no_line_that_a_syslogd_cut_grants_another_address(form: Format) -> None:
    for sample in form.samples:
        for text in (sample.text, sample.text.replace(sample.user, "b" * 300)):
            for length in range(SHORTEST_CUT, len(text)):
                found = recognised(sample.app_name, text[:length], "34")
                assert not isinstance(found, Login) or canonical(found.address) == sample.address


# Between the words of a line: what could end a field and begin another.
INSERTS = [
    " ",
    '"',
    "'",
    "[",
    "]",
    "(",
    ")",
    "<",
    ">",
    ",",
    ";",
    "=",
    ":",
    "\\",
    "\n",
    "\r",
    "\0",
    "\x1b",
    "\x7f",
    "[9.9.9.9]",
    "(9.9.9.9:1)",
]


@pytest.mark.parametrize("form", MINE, ids=lambda form: form.name)
def test_a_name_with_a_separator_gives_no_other_address(form: Format) -> None:
    for sample in form.samples:
        for insert in INSERTS:
            for user in (f"{sample.user}{insert}", f"{insert}{sample.user}", f"b{insert}9.9.9.9{insert}", f"b{insert} ip=[9.9.9.9], x"):
                text = re.sub(rf"(?<![\w.@]){re.escape(sample.user)}(?![\w.@])", user.replace("\\", r"\\"), sample.text)
                found = recognised(sample.app_name, text, "34")
                assert not isinstance(found, Login) or canonical(found.address) == sample.address, text


@pytest.mark.parametrize("form", MINE, ids=lambda form: form.name)
def test_a_line_of_one_is_no_line_of_another(form: Format) -> None:
    for sample in form.samples:
        message = message_of(sample.app_name, sample.text, "34")
        takers = [other.name for other in formats.FORMATS if other.recognise(message) is not Refusal.NOT_LOGIN]
        assert [form.name] == takers


@pytest.mark.parametrize(
    ("app_name", "text"),
    [
        # names that do log in, as the servers wrote them: odd ones get nothing, and nobody else's address
        ("imapd", "LOGIN, user=bob, ip=[9.9.9.9], ip=[::ffff:192.0.2.25], port=[35167], protocol=IMAP"),
        ("cyrus/imap", f"login: client0.example.net [192.0.2.25] b ob PLAIN User logged in {ID}"),
        ("cyrus/imap", f"login: client0.example.net [192.0.2.25] b] ob PLAIN User logged in {ID}"),
        ("cyrus/imap", f'login: client0.example.net [192.0.2.25] q"u PLAIN User logged in {ID}'),
        ("cyrus/imap", "login: client0.example.net [192.0.2.25] anonymous trace text [9.9.9.9] bob plaintext User logged in"),
    ],
)
def test_an_odd_name_gets_nothing(app_name: str, text: str) -> None:
    assert not isinstance(recognised(app_name, text, "34"), Login)


@pytest.mark.parametrize("user", ["rip=9.9.9.9", "a>b", "bob@example.org", "bob+work", "j\u00f6rg"])
def test_a_name_that_can_not_be_taken_for_a_field_is_one(user: str) -> None:
    login = recognised("cyrus/imap", f"login: client0.example.net [192.0.2.25] {user} PLAIN User logged in {ID}", "34")
    assert isinstance(login, Login)
    assert (user, "192.0.2.25") == (login.user, canonical(login.address))


@pytest.mark.parametrize(
    "text",
    [
        NGINX.format("client logged in").replace("0.0.0.0:143", "0.0.0.0:25"),
        NGINX.format("client logged in").replace("0.0.0.0:143", "0.0.0.0:587"),
        NGINX.format("client logged in").replace("0.0.0.0:143", "unix:/run/mail"),
        NGINX.format("proxied session done"),
        NGINX.format('client login failed: "Invalid credentials" while in http auth state'),
    ],
)
def test_nginx_is_not_believed_for_another_protocol_or_another_message(text: str) -> None:
    assert not isinstance(recognised("nginx", text), Login)
