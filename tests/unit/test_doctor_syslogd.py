"""What the syslogd of this host is told: lines of real configurations, what they send where, and what doctor says of it."""

import subprocess
from pathlib import Path

import pytest

from syslogauth.core.message import FACILITIES
from syslogauth.doctor import bsd, rsyslog, syslog_ng, syslogd
from syslogauth.doctor.finding import Finding, Level
from syslogauth.doctor.forward import Forward, Found, texts_below
from syslogauth.doctor.selector import selected
from syslogauth.doctor.syslogd import addresses, configuration, flags, judge, line_for, servers
from syslogauth.settings import Endpoint
from tests.appliance import REPOSITORY
from tests.doctor import levels, looked_at

ALL = frozenset(FACILITIES)
HERE = Endpoint("127.0.0.1", 5140)
PLACES = {"udp": (HERE,), "tcp": (), "tls": ()}
LISTED = frozenset(("mail", "local0"))
TARGET = "127.0.0.1:5140"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("mail.info", {"mail"}),
        ("mail.*", {"mail"}),
        ("mail.debug", {"mail"}),
        ("mail.notice", set()),
        ("mail.err", set()),
        ("mail.none", set()),
        ("*.info", ALL),
        ("*.*;mail.none", ALL - {"mail"}),
        ("*.*;mail.!info", ALL - {"mail"}),
        ("mail,daemon.info;local0.=info", {"mail", "daemon", "local0"}),
        ("mail.=notice", set()),
        ("mail.>=info", {"mail"}),
        ("mail.>info", set()),
        ("mail.<=info", {"mail"}),
        ("mail.<debug", set()),
        ("mail.<notice", {"mail"}),
    ],
)
def test_a_selector_selects_these_facilities_at_info(selector: str, expected: set[str]) -> None:
    assert expected == selected(selector)


def sent(found: Found) -> list[tuple[str, int, str, set[str], int]]:
    return [(f.host, f.port, f.transport, set(f.facilities) if len(f.facilities) < 20 else {"*"}, len(f.doubts)) for f in found.forwards]


BSD = [
    ("mail.info\t@192.0.2.1:5140\n", [("192.0.2.1", 5140, "udp", {"mail"}, 0)]),
    ("mail.info @192.0.2.1\n", [("192.0.2.1", 514, "udp", {"mail"}, 0)]),
    ("mail.info\t@[2001:db8::1]:5140\n", [("2001:db8::1", 5140, "udp", {"mail"}, 0)]),
    ("mail.info\t@tcp://192.0.2.1:601\n", [("192.0.2.1", 601, "tcp", {"mail"}, 0)]),
    ("mail.info;local0.*\t@loghost:5140\n", [("loghost", 5140, "udp", {"mail", "local0"}, 0)]),
    ("#mail.info\t@192.0.2.1:5140\nmail.info\t/var/log/maillog\n", []),
    ("!ppp\n*.*\t/var/log/ppp.log\nmail.info\t@192.0.2.1:5140\n", [("192.0.2.1", 5140, "udp", {"mail"}, 1)]),
    ("!ppp\n*.*\t/var/log/ppp.log\n!*\nmail.info\t@192.0.2.1:5140\n", [("192.0.2.1", 5140, "udp", {"mail"}, 0)]),
    ("+mail2\nmail.info\t@192.0.2.1:5140\n", [("192.0.2.1", 5140, "udp", {"mail"}, 1)]),
]


@pytest.mark.parametrize(("text", "expected"), BSD)
def test_a_syslog_conf_sends_there(text: str, expected: list[object], tmp_path: Path) -> None:
    write(tmp_path, bsd.CONF, text)
    assert expected == sent(bsd.read(texts_below(tmp_path)))


def test_the_included_directories_of_freebsd_are_read(tmp_path: Path) -> None:
    write(tmp_path, bsd.CONF, "mail.info\t/var/log/maillog\ninclude\t\t/etc/syslog.d\ninclude /usr/local/etc/syslog.d\n")
    write(tmp_path, "/usr/local/etc/syslog.d/syslogauth.conf", f"mail.info\t@{TARGET}\n")
    write(tmp_path, "/usr/local/etc/syslog.d/syslogauth.conf.off", "*.*\t@192.0.2.9\n")
    found = bsd.read(texts_below(tmp_path))
    assert [("127.0.0.1", 5140, "udp", {"mail"}, 0)] == sent(found)
    assert ["/usr/local/etc/syslog.d/syslogauth.conf:1"] == [forward.where for forward in found.forwards]


OMFWD = 'action(\n    type="omfwd" target="127.0.0.1" port="5140" protocol="udp"  # ours\n    template="{}"\n)'
RSYSLOG = [
    ("mail.info @127.0.0.1:5140", [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("mail.info @@127.0.0.1:601", [("127.0.0.1", 601, "tcp", {"mail"}, 0)]),
    ("mail.info @@(o)[2001:db8::1]:601", [("2001:db8::1", 601, "tcp", {"mail"}, 0)]),
    ("mail.info @(z5)127.0.0.1:5140", [("127.0.0.1", 5140, "udp", {"mail"}, 1)]),
    ("mail.info @127.0.0.1:5140;RSYSLOG_SyslogProtocol23Format", [("127.0.0.1", 5140, "udp", {"mail"}, 1)]),
    ("mail.info " + OMFWD.format("RSYSLOG_TraditionalForwardFormat"), [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("mail.info " + OMFWD.format("RSYSLOG_SyslogProtocol23Format"), [("127.0.0.1", 5140, "udp", {"mail"}, 1)]),
    (OMFWD.format(""), [("127.0.0.1", 5140, "udp", {"*"}, 0)]),
    ("mail.* {\n" + OMFWD.format("") + "\n    stop\n}", [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("if $syslogfacility-text == 'mail' then\n    " + OMFWD.format(""), [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("if $programname == 'dovecot' then @127.0.0.1:5140", [("127.0.0.1", 5140, "udp", {"*"}, 1)]),
    (':programname, isequal, "dovecot" @127.0.0.1:5140', [("127.0.0.1", 5140, "udp", {"*"}, 1)]),
    ("mail.* /var/log/mail.log\n& @127.0.0.1:5140", [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("mail.* /var/log/mail.log\n& stop\nmail.info @127.0.0.1:5140", [("127.0.0.1", 5140, "udp", set(), 1)]),
    ("mail.* ~\n*.info @127.0.0.1:5140", [("127.0.0.1", 5140, "udp", {"*"}, 1)]),
    (':msg, contains, "(" stop\nmail.info @127.0.0.1:5140', [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("auth.* stop\nmail.info @127.0.0.1:5140", [("127.0.0.1", 5140, "udp", {"mail"}, 0)]),
    ("# mail.info @127.0.0.1:5140", []),
    ('mail.info action(type="omfile" file="/var/log/mail.log")', []),
]


@pytest.mark.parametrize(("text", "expected"), RSYSLOG)
def test_an_rsyslog_conf_sends_there(text: str, expected: list[object], tmp_path: Path) -> None:
    write(tmp_path, rsyslog.CONF, f'module(load="imuxsock")\n$WorkDirectory /var/spool/rsyslog\n{text}\n')
    assert expected == sent(rsyslog.read(texts_below(tmp_path)))


@pytest.mark.parametrize("include", ["$IncludeConfig /etc/rsyslog.d/*.conf", 'include(file="/etc/rsyslog.d/*.conf" mode="optional")'])
def test_what_an_rsyslog_conf_includes_is_read_in_its_order(include: str, tmp_path: Path) -> None:
    """A file that sorts after one which says stop never sees the lines."""
    write(tmp_path, rsyslog.CONF, f"{include}\n*.* /var/log/syslog\n")
    write(tmp_path, "/etc/rsyslog.d/60-syslogauth.conf", "mail.info @127.0.0.1:5140\n")
    assert [("127.0.0.1", 5140, "udp", {"mail"}, 0)] == sent(rsyslog.read(texts_below(tmp_path)))
    write(tmp_path, "/etc/rsyslog.d/50-mail.conf", "mail.* /var/log/mail.log\n& stop\n")
    assert [("127.0.0.1", 5140, "udp", set(), 1)] == sent(rsyslog.read(texts_below(tmp_path)))


DESTINATION = 'destination d_sa { network("127.0.0.1" port(5140) transport("udp")); };\n'
SYSLOG_NG = [
    (DESTINATION + "filter f { facility(mail) and level(info..emerg); };\nlog { source(s); filter(f); destination(d_sa); };", {"mail"}),
    (DESTINATION + "filter f { facility(mail, local0); };\nlog { source(s); filter(f); destination(d_sa); };", {"mail", "local0"}),
    (DESTINATION + "filter f { not facility(mail); };\nlog { source(s); filter(f); destination(d_sa); };", {"*"}),
    (DESTINATION + "filter f { facility(mail) and level(err..emerg); };\nlog { source(s); filter(f); destination(d_sa); };", set()),
    (DESTINATION + "filter f { facility(mail) or facility(local0); };\nlog { filter(f); destination(d_sa); };", {"mail", "local0"}),
    (DESTINATION + "log { source(s); destination(d_sa); };", {"*"}),
    ('log { source(s); filter { facility(mail); }; destination { udp("127.0.0.1" port(5140)); }; };', {"mail"}),
    (DESTINATION + "# log { source(s); destination(d_sa); };", None),
]


@pytest.mark.parametrize(("text", "facilities"), SYSLOG_NG)
def test_a_syslog_ng_conf_sends_these_facilities(text: str, facilities: set[str] | None, tmp_path: Path) -> None:
    write(tmp_path, syslog_ng.CONF, '@version: 3.38\n@include "scl.conf"\nsource s { system(); };\n' + text)
    expected = [] if facilities is None else [("127.0.0.1", 5140, "udp", facilities, 0)]
    assert expected == sent(syslog_ng.read(texts_below(tmp_path)))


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ('udp("192.0.2.1" port(5140));', ("192.0.2.1", 5140, "udp")),
        ('udp("192.0.2.1");', ("192.0.2.1", 514, "udp")),
        ('tcp("192.0.2.1" port(601));', ("192.0.2.1", 601, "tcp")),
        ('syslog("192.0.2.1" transport("tls") port(6514) tls(ca-dir("/etc/ca")));', ("192.0.2.1", 6514, "tls")),
        ('network("2001:db8::1" ip-protocol(6) transport(udp) port("5140"));', ("2001:db8::1", 5140, "udp")),
    ],
)
def test_a_driver_of_syslog_ng_sends_there(driver: str, expected: tuple[str, int, str], tmp_path: Path) -> None:
    write(tmp_path, syslog_ng.CONF, f"log {{ source(s); destination {{ {driver} }}; }};")
    assert [expected] == [(f.host, f.port, f.transport) for f in syslog_ng.read(texts_below(tmp_path)).forwards]


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("rsyslog/60-syslogauth.conf", rsyslog.CONF, {"mail"}),
        ("rsyslog/syslog-ng.conf", syslog_ng.CONF, {"mail"}),
        ("syslog.conf.snippet", bsd.CONF, {"mail"}),
    ],
)
def test_what_deploy_ships_is_understood(file: str, name: str, expected: set[str], tmp_path: Path) -> None:
    write(tmp_path, name, (REPOSITORY / "deploy" / file).read_text())
    found = {rsyslog.CONF: rsyslog.read, syslog_ng.CONF: syslog_ng.read, bsd.CONF: bsd.read}[name](texts_below(tmp_path))
    assert [("127.0.0.1", 5140, "udp", expected, 0)] == sent(found)


# which of them counts


def test_the_syslogd_that_runs_counts_and_the_file_that_it_was_told(tmp_path: Path) -> None:
    site = looked_at(tmp_path)
    write(tmp_path, bsd.CONF, "mail.info\t@127.0.0.1:1\n")
    write(tmp_path, rsyslog.CONF, "mail.info @127.0.0.1:2\n")
    write(tmp_path, "/srv/other.conf", "mail.info @127.0.0.1:3\n")
    cases = {
        "rsyslogd": ({"rsyslogd": "/usr/sbin/rsyslogd -n"}, 2),
        "rsyslogd -f": ({"rsyslogd": "/usr/sbin/rsyslogd -n -f /srv/other.conf -i x"}, 3),
        "syslogd": ({"syslogd": "/usr/sbin/syslogd -s"}, 1),
        "busybox": ({"syslogd": "syslogd -n -R 127.0.0.1:4"}, 4),
    }
    found = {name: configuration(site, processes)[1] for name, (processes, _) in cases.items()}
    assert {name: [port] for name, (_, port) in cases.items()} == {name: [f.port for f in of.forwards] for name, of in found.items() if of}


def test_where_no_syslogd_is_known_that_is_said(tmp_path: Path) -> None:
    (finding,) = list(syslogd.check(looked_at(tmp_path)))
    assert (Level.WARN, True) == (finding.level, finding.text.startswith("no configuration of a syslogd"))


def test_who_listens_to_no_port_needs_no_forwarding_line(tmp_path: Path) -> None:
    site = looked_at(tmp_path, udp=(), files=(tmp_path / "mail.log",))
    write(tmp_path, rsyslog.CONF, "mail.* /var/log/mail.log\n")
    assert [] == levels(syslogd.check(site), syslogd.SUBJECT)


# what is said of it


def to_us(facilities: set[str] = {"mail"}, port: int = 5140, doubts: tuple[str, ...] = (), host: str = "127.0.0.1") -> Forward:  # noqa: B006
    return Forward(host, port, "udp", frozenset(facilities), "/etc/rsyslog.conf:1", doubts)


JUDGED = [
    ("right", [to_us()], Level.OK, "rsyslogd: /etc/rsyslog.conf:1 sends mail to us"),
    ("more than is listed", [to_us({"mail", "daemon"})], Level.OK, "daemon too, which listen.facilities refuses"),
    ("none", [], Level.FAIL, "rsyslogd has no line that sends to us"),
    ("another host's", [to_us(host="192.0.2.99")], Level.FAIL, "has no line that sends to us"),
    ("another port", [to_us(port=514)], Level.FAIL, "/etc/rsyslog.conf:1 sends to 127.0.0.1:514 over udp, where we do not listen"),
    ("another facility", [to_us({"local0"})], Level.FAIL, "does not send mail.info"),
    ("a doubt", [to_us(doubts=("it is compressed (z), which is not read",))], Level.WARN, "compressed"),
    ("twice", [to_us(), to_us()], Level.WARN, "send the same messages, each twice"),
]


def judged(forwards: list[Forward], *, needed: bool = True) -> list[Finding]:
    return list(judge("rsyslogd", forwards, PLACES, LISTED, is_local=lambda host: host == "127.0.0.1", needed=needed, freebsd=False))


@pytest.mark.parametrize(("forwards", "level", "said"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED])
def test_forwarding_lines_are_judged(forwards: list[Forward], level: Level, said: str) -> None:
    findings = judged(forwards)
    assert [level] == [finding.level for finding in findings if said in finding.text]
    assert all(finding.mend for finding in findings if finding.level is not Level.OK)


def test_where_other_hosts_are_listed_too_this_one_need_not_send() -> None:
    assert [Level.WARN] == [finding.level for finding in judged([], needed=False)]


@pytest.mark.parametrize(
    ("place", "host", "local", "expected"),
    [
        ("192.0.2.1", "192.0.2.1", True, True),
        ("0.0.0.0", "192.0.2.1", True, True),
        ("0.0.0.0", "192.0.2.1", False, False),
        ("::", "::1", True, True),
        ("::", "127.0.0.1", True, True),  # of a socket unit it is for both
        ("0.0.0.0", "::1", True, False),
        ("127.0.0.1", "localhost", True, True),
        ("192.0.2.1", "127.0.0.1", True, False),
    ],
)
def test_a_line_reaches_the_place_that_listens_at_its_address(place: str, host: str, local: bool, expected: bool) -> None:
    places = {"udp": (Endpoint(place, 5140),), "tcp": (), "tls": ()}
    assert expected == syslogd.reaches(to_us(host=host), places, local)


def test_a_name_that_nobody_knows_has_no_address() -> None:
    assert [] == addresses("nobody.invalid")
    assert [] == addresses("log..example.org")
    assert [] == addresses("x" * 64 + ".example.org")


@pytest.mark.parametrize("name", ["rsyslogd", "syslog-ng", "syslogd", "freebsd"])
def test_the_command_that_mends_makes_a_line_that_is_right(name: str, tmp_path: Path) -> None:
    """Run by the shell, below a root of its own; only the syslogd is not told."""
    command, _, then = line_for(name.replace("freebsd", "syslogd"), "mail", PLACES, name == "freebsd").rpartition(" && ")
    assert "reload" in then or "restart" in then
    redirect, path = command.rsplit(">", 1)
    write(tmp_path, path, "")
    subprocess.run(["sh", "-c", f"{redirect}>{tmp_path}{path}"], check=True)
    read, main = {"rsyslogd": (rsyslog.read, rsyslog.CONF), "syslog-ng": (syslog_ng.read, syslog_ng.CONF)}.get(name, (bsd.read, bsd.CONF))
    assert [Level.OK] == [finding.level for finding in judged(read(texts_below(tmp_path), path).forwards)]
    assert main


def test_where_nobody_listens_for_datagrams_rsyslogs_line_is_for_tcp_with_counted_octets(tmp_path: Path) -> None:
    places = {"udp": (), "tcp": (HERE,), "tls": ()}
    line, path = line_for("rsyslogd", "mail", places, False).partition(" && ")[0].split(" >")
    write(tmp_path, path, line.removeprefix("echo '").removesuffix("'"))
    (forward,) = rsyslog.read(texts_below(tmp_path), path).forwards
    assert ("tcp", frozenset(("mail",)), True) == (forward.transport, forward.facilities, syslogd.reaches(forward, places, True))
    assert line.startswith("echo 'mail.info @@(o)")


# repeated messages


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("-s -cc", Level.OK),
        ("-s -c -c", Level.OK),
        ("-s", Level.WARN),
        ("-s -c", Level.WARN),
        ("-ss", Level.FAIL),
        ("-s -s -cc", Level.FAIL),
    ],
)
def test_the_flags_of_freebsds_syslogd_are_judged(text: str, level: Level) -> None:
    assert level == flags(text).level


def test_the_last_rc_conf_counts(tmp_path: Path) -> None:
    site = looked_at(tmp_path, platform="freebsd14")
    write(tmp_path, bsd.CONF, f"mail.info\t@{TARGET}\n")
    write(tmp_path, "/etc/defaults/rc.conf", 'syslogd_flags="-s"\t\t# Flags to syslogd (if enabled).\n')
    assert Level.WARN in [finding.level for finding in syslogd.check(site) if finding.subject == "repeated messages"]
    write(tmp_path, "/etc/rc.conf", 'syslogd_flags="-s -cc"\n')
    assert [Level.OK] == [finding.level for finding in syslogd.check(site) if finding.subject == "repeated messages"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (rsyslog.CONF, "$RepeatedMsgReduction {}\nmail.info @127.0.0.1:5140\n"),
        (syslog_ng.CONF, 'log {{ source(s); filter {{ facility(mail); }}; destination {{ udp("127.0.0.1" port(5140) {}); }}; }};'),
    ],
)
def test_a_syslogd_that_sums_up_is_told_of(path: str, text: str, tmp_path: Path) -> None:
    words = {rsyslog.CONF: ("off", "on"), syslog_ng.CONF: ("suppress(0)", "suppress(10)")}[path]
    levels = []
    for word in words:
        write(tmp_path, path, text.format(word))
        levels += [finding.level for finding in syslogd.check(looked_at(tmp_path)) if finding.subject == "repeated messages"]
    assert [Level.OK, Level.WARN] == levels


# servers


def test_a_server_that_logs_elsewhere_wants_its_facility_listed() -> None:
    (finding,) = servers({"popa3d": "popa3d -D"}, LISTED, lossy=True)
    assert (Level.WARN, 'listen.facilities = ["daemon", "local0", "mail"]') == (finding.level, finding.mend)
    assert [] == list(servers({"popa3d": "popa3d -D"}, LISTED | {"daemon"}, lossy=True))


def test_couriers_split_lines_are_a_danger_over_udp_alone() -> None:
    assert [Level.WARN] == [finding.level for finding in servers({"couriertcpd": ""}, LISTED, lossy=True)]
    assert [] == list(servers({"couriertcpd": ""}, LISTED, lossy=False))


def write(root: Path, path: str, text: str) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
