"""`syslogauth init` on hosts that are made of a few files each, below a root directory of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from syslogauth.cli import main, shipped
from syslogauth.cli.host import SERVERS, Host
from syslogauth.cli.init import by_hand, configuration
from syslogauth.cli.steps import steps
from syslogauth.config import parse
from syslogauth.core.formats import FORMATS
from syslogauth.settings import Endpoint
from tests.appliance import clean_environment
from tests.needs import need
from tests.site import ask

ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nsyslogauth:x:990:991::/var/lib/syslogauth:/usr/sbin/nologin\n"
DEBIAN = ("usr/lib/systemd/systemd", "usr/lib/x86_64-linux-gnu/systemd/libsystemd-core-252.so", "usr/sbin/rsyslogd", "etc/debian_version")
DEBIAN_13 = (*DEBIAN[:1], "usr/lib/x86_64-linux-gnu/systemd/libsystemd-core-257.so", *DEBIAN[2:])
SENDMAIL = ("etc/mail/sendmail.cf",)
FREEBSD = ("usr/sbin/syslogd", "usr/sbin/pw", "etc/mail/freebsd.mc")

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A host with these files, all empty but the user's line."""

    def make(*files: str, accounts: str = ACCOUNTS) -> Path:
        for file in ("etc/passwd", "etc/group", *files):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / "etc/passwd").write_text(accounts)
        return tmp_path

    return make


def init(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return ask(["init", "--root", str(root), *words])


def told(root: Path, *words: str) -> dict[str, object]:
    done = init(root, "--json", *words)
    assert (0, "") == (done.returncode, done.stderr)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def states(answer: dict[str, object]) -> dict[str, str]:
    assert isinstance(answer["steps"], list)
    return {step["path"]: step["state"] for step in answer["steps"]}


def tree(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every file and directory below it: owner, group, mode, bytes."""
    return {
        str(path.relative_to(root)): (
            *((found := path.stat()).st_uid, found.st_gid, found.st_mode & 0o7777),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
    }


MANUAL = ["/usr/local/share/man/man5/syslogauth.toml.5", "/usr/local/share/man/man8/syslogauth.8"]
ON_DEBIAN = [
    "/etc/sysusers.d/syslogauth.conf",
    "syslogauth",
    "/etc/syslogauth.toml",
    "/var/lib/syslogauth",
    "/etc/mail/popauth.db",
    "/etc/systemd/system/syslogauth.service",
    "/etc/tmpfiles.d/syslogauth.conf",
    *MANUAL,
]


def test_nothing_is_changed_unless_it_is_asked_for(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL, accounts="")
    before = tree(root)
    done = init(root)
    assert 0 == done.returncode
    assert before == tree(root)
    assert "Nothing was changed. As root: syslogauth init --write\n" in done.stdout
    assert ON_DEBIAN == list(states(told(root)))
    for step in (
        "systemd-sysusers --root=",
        "install -d -o syslogauth -g 0 -m 0750 /var/lib/syslogauth\n",
        "/dev/null /etc/mail/popauth.db\n",
    ):
        assert step in done.stdout


def test_all_of_it_is_made_once_and_found_the_second_time(made: Made) -> None:
    need("root")
    need("systemd-sysusers")
    root = made(*DEBIAN, *SENDMAIL, accounts="root:x:0:0:root:/root:/bin/sh\n")
    assert dict.fromkeys(ON_DEBIAN, "done") == states(told(root, "--write"))
    made_now = tree(root)
    user = Host(root).user()
    assert user
    assert (user[0], 0, 0o750, b"") == made_now["var/lib/syslogauth"]
    assert (user[0], 0, 0o640, b"") == made_now["etc/mail/popauth.db"]
    for path in ON_DEBIAN[2], ON_DEBIAN[5], ON_DEBIAN[6]:
        assert (0, 0, 0o644) == made_now[path[1:]][:3]
    config = parse(made_now["etc/syslogauth.toml"][3].decode())
    assert (Path("/var/lib/syslogauth"), [Path("/etc/mail/popauth")]) == (config.state_directory, [e.path for e in config.export])
    assert dict.fromkeys(ON_DEBIAN, "there") == states(told(root, "--write"))
    assert made_now == tree(root)


def test_what_is_there_is_never_overwritten(made: Made) -> None:
    need("root")
    root = made(*DEBIAN, *SENDMAIL, "etc/mail/popauth.db", "etc/systemd/system/syslogauth.service")
    mine = 'state_directory = "/srv/auth"\n[[export]]\npath = "/etc/mail/popauth"\n'
    (root / "etc/syslogauth.toml").write_text(mine)
    (root / "etc/mail/popauth.db").write_bytes(b"a map of before")
    done = init(root, "--write")
    assert (0, "") == (done.returncode, done.stderr)
    assert mine == (root / "etc/syslogauth.toml").read_text()
    assert b"a map of before" == (root / "etc/mail/popauth.db").read_bytes()
    assert "" == (root / "etc/systemd/system/syslogauth.service").read_text()
    assert (990, 0, 0o750, b"") == tree(root)["srv/auth"], "the state directory is the one that the configuration names"
    assert "there  service          /etc/systemd/system/syslogauth.service (other than what is shipped; it stays)\n" in done.stdout
    mend = "it stays; to be put right: chown syslogauth:0 /etc/mail/popauth.db && chmod 0640 /etc/mail/popauth.db"
    assert f"there  map              /etc/mail/popauth.db ({mend})\n" in done.stdout


def test_a_file_that_found_no_room_is_not_there_and_is_not_taken_for_the_administrators(made: Made) -> None:
    """Half a configuration would be right, with defaults for what it lacks."""
    need("root")
    root = made(*DEBIAN, *SENDMAIL)
    words = [sys.executable, "-m", "syslogauth", "init", "--root", str(root), "--write"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *words], capture_output=True, text=True, check=False, env=clean_environment()
    )
    assert (73, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert not (root / "etc/syslogauth.toml").exists()
    assert "done" == states(told(root, "--write"))["/etc/syslogauth.toml"]


def test_a_symbolic_link_is_there_too_and_is_not_followed(made: Made) -> None:
    need("root")
    root = made(*DEBIAN, *SENDMAIL)
    (root / "etc/mail/popauth.db").symlink_to(root / "etc/passwd")
    (root / "etc/tmpfiles.d").mkdir()
    (root / "etc/tmpfiles.d/syslogauth.conf").symlink_to(root / "elsewhere")
    found = states(told(root, "--write"))
    assert ("there", "there") == (found["/etc/mail/popauth.db"], found["/etc/tmpfiles.d/syslogauth.conf"])
    assert not (root / "elsewhere").exists()
    assert 0 == (root / "etc/passwd").stat().st_uid
    assert "it stays; to be put right: it is a symbolic link, and the file itself is to be there" in init(root).stdout
    assert "chown" not in init(root).stdout, "which would give away what the link leads to"


def test_the_service_may_write_where_the_configuration_has_the_maps(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL, "srv/maps/x")
    text = 'state_directory = "/srv/auth"\n[[export]]\npath = "/srv/maps/pop"\n[[export]]\npath = "/etc/mail/popauth"\n'
    (root / "etc/syslogauth.toml").write_text(text)
    unit = init(root, "--print", "/etc/systemd/system/syslogauth.service").stdout
    assert "\nReadWritePaths=/srv/auth /srv/maps /etc/mail\n" in unit
    assert "\nRequiresMountsFor=/srv/auth /srv/maps /etc/mail\n" in unit
    lines = init(root, "--print", "/etc/tmpfiles.d/syslogauth.conf").stdout.splitlines()
    made_at_boot = ["d /srv/auth 0750", "f /srv/maps/pop.db 0640", "f /etc/mail/popauth.db 0640"]
    assert [f"{line} syslogauth root -" for line in made_at_boot] == [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize(
    ("files", "words", "expected"),
    [
        (DEBIAN, (), []),
        (DEBIAN_13, (), ["/etc/systemd/system/syslogauth.service.d/notify-reload.conf"]),
        (DEBIAN, ("--listen", "192.0.2.1:514"), ["/etc/systemd/system/syslogauth.socket"]),
    ],
)
def test_units_are_those_that_this_systemd_and_these_ports_need(
    files: tuple[str, ...], words: tuple[str, ...], expected: list[str], made: Made
) -> None:
    root = made(*files, *SENDMAIL)
    assert expected == [path for path in states(told(root, *words)) if path not in ON_DEBIAN]


def test_addresses_that_are_named_are_in_the_configuration_and_in_the_socket(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL)
    words = ("--listen", "192.0.2.1:514", "--listen", "[2001:db8::1]:514", "--peer", "192.0.2.0/24")
    config = parse(init(root, *words, "--print", "/etc/syslogauth.toml").stdout)
    assert ["192.0.2.1:514", "[2001:db8::1]:514"] == [str(place) for place in config.listen.udp]
    assert ("127.0.0.0/8", "::1/128", "192.0.2.0/24") == config.listen.peers.texts
    unit = init(root, *words, "--print", "/etc/systemd/system/syslogauth.socket").stdout
    assert "\nListenDatagram=192.0.2.1:514\nListenDatagram=[2001:db8::1]:514\nFreeBind=yes\n" in unit
    assert "systemctl enable --now syslogauth.socket syslogauth.service" in init(root, *words).stdout


def test_whoever_listens_to_others_goes_on_listening_to_this_host(made: Made) -> None:
    assert '\n    udp = ["127.0.0.1:5140", "192.0.2.1:5140"]\n' in init(made(*DEBIAN, *SENDMAIL)).stdout


def test_the_certificates_of_the_examples_lie_beside_the_configuration(made: Made) -> None:
    text = init(made(*DEBIAN, *SENDMAIL), "--print", "/etc/syslogauth.toml").stdout
    assert '# key = "/etc/syslogauth/key.pem"\n' in text
    assert '"/usr/local/etc/syslogauth/' not in text


def test_a_host_without_sendmail_has_its_map_in_the_state_directory(made: Made) -> None:
    root = made(*DEBIAN)
    answer = told(root)
    assert "/var/lib/syslogauth/popauth.db" in states(answer)
    assert "sendmail       not here" in init(root).stdout


def test_a_manual_that_a_port_has_brought_is_not_put_there_a_second_time(made: Made) -> None:
    assert MANUAL[1:] == [path for path in states(told(made(*DEBIAN, f"{MANUAL[0][1:]}.gz"))) if path in MANUAL]


def test_a_map_whose_directory_is_missing_is_left_to_the_administrator(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL)
    (root / "etc/syslogauth.toml").write_text('[[export]]\npath = "/srv/maps/pop"\n')
    assert "No such directory: sendmail's must be there before its map" in init(root).stdout
    assert "/srv/maps/pop.db" not in states(told(root))


@pytest.mark.parametrize(
    ("program", "starts", "line"),
    [
        ("usr/sbin/rsyslogd", "/etc/rsyslog.d/60-syslogauth.conf;", 'target="127.0.0.1" port="5140" protocol="udp"'),
        ("usr/sbin/syslog-ng", "/etc/syslog-ng/conf.d/60-syslogauth.conf;", 'network("127.0.0.1" port(5140) transport("udp"))'),
        ("usr/sbin/syslogd", "/etc/syslog.conf;", "mail.info\t@127.0.0.1:5140"),
    ],
)
def test_the_lines_for_the_syslogd_are_those_of_the_one_that_is_here(program: str, starts: str, line: str, made: Made) -> None:
    said = init(made("usr/lib/systemd/systemd", program, *SENDMAIL)).stdout
    assert f"\n{starts}" in said
    assert line in said


def test_rsyslog_takes_the_lines_that_are_told(tmp_path: Path) -> None:
    lines = tmp_path / "lines.conf"
    lines.write_text(shipped.rsyslog(Endpoint("2001:db8::1", 514), ["mail", "local0"]))
    assert "mail.info;local0.info action(" in lines.read_text()
    checked = subprocess.run([need("rsyslogd"), "-N1", "-f", lines], capture_output=True, text=True, timeout=60)
    assert (0, []) == (checked.returncode, [line for line in checked.stderr.splitlines() if "error" in line.lower()])


def test_servers_that_log_elsewhere_have_their_facility_listed_and_forwarded(made: Made) -> None:
    root = made("usr/sbin/dovecot", "usr/sbin/popa3d", "usr/lib/cyrus-imapd/imapd", *SENDMAIL)
    config = parse(init(root, "--print", "/etc/syslogauth.toml").stdout)
    assert frozenset(("mail", "local0", "daemon", "local6")) == config.listen.facilities
    said = init(root).stdout
    assert "mail servers   dovecot, cyrus, popa3d\n" in said
    for facility in ("mail", "daemon", "local6"):
        assert f"    {facility}.info\t@127.0.0.1:5140\n" in said
    assert "local0.info" not in said, "no server here logs there"


def test_the_rules_for_sendmail_have_their_tabs_and_this_hosts_map(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL)
    said = init(root).stdout
    assert "    Kpopauth hash -a<OK> /etc/mail/popauth\n" in said
    assert "    R$*\t$: $(popauth $&{client_addr} $: <?> $)\n" in said
    assert "dnl" not in said


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("--listen", "mail1"), 78, "/etc/syslogauth.toml: listen.udp: 'mail1' is not ADDRESS:PORT"),
        (("--print", "/etc/passwd"), 64, "syslogauth: --print /etc/passwd: not made here; these are: "),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], code: int, complaint: str, made: Made) -> None:
    done = init(made(*DEBIAN, *SENDMAIL), *words)
    assert (code, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(complaint)
    assert 1 == done.stderr.count("\n")


def test_a_configuration_that_is_there_is_not_changed_by_words(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL, "etc/syslogauth.toml")
    done = init(root, "--listen", "127.0.0.1:5141")
    assert 64 == done.returncode
    assert "is there, and stays: set listen.udp and listen.peers in it" in done.stderr


def test_a_wrong_configuration_is_told_of_and_nothing_is_made(made: Made) -> None:
    root = made(*DEBIAN, *SENDMAIL)
    (root / "etc/syslogauth.toml").write_text("[policy]\ngrace = 1\n")
    before = tree(root)
    done = init(root, "--write")
    assert (78, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("/etc/syslogauth.toml: policy.grace: no such setting")
    assert before == tree(root)


def test_only_root_may_write(capsys: pytest.CaptureFixture[str]) -> None:
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        code = main(["init", "--root", "/nonexistent", "--write"])
    finally:
        os.seteuid(user)
    assert (77, "syslogauth: init --write makes a user and files of root's: run it as root\n") == (code, capsys.readouterr().err)


# FreeBSD, whose tools are not here


def test_on_freebsd_the_rc_script_is_put_in_its_place_and_the_lines_are_freebsds(made: Made) -> None:
    host = Host(made(*FREEBSD, accounts=""), "freebsd14")
    text, config = configuration(host, host.configuration_file, [], [])
    plan = {step.path: step for step in steps(host, config, text, host.configuration_file, shipped.PROGRAM)}
    expected = ["syslogauth", "/usr/local/etc/syslogauth.toml", "/var/db/syslogauth", "/etc/mail/popauth.db"]
    assert [*expected, "/usr/local/etc/rc.d/syslogauth", *MANUAL] == list(plan)
    assert plan["syslogauth"].command == f"pw -R {host.root} useradd syslogauth -d /var/db/syslogauth -s /usr/sbin/nologin"
    plan["/usr/local/etc/rc.d/syslogauth"].make()
    script = host.at("usr/local/etc/rc.d/syslogauth")
    assert (shipped.text("rc.d/syslogauth"), 0o555) == (script.read_text(), script.stat().st_mode & 0o777)
    said = dict(by_hand(host, config, host.configuration_file, shipped.PROGRAM))
    assert "sysrc syslogauth_enable=YES\nservice syslogauth start" == said["Start it"]
    assert "mail.info\t@127.0.0.1:5140" == said["/usr/local/etc/syslog.d/syslogauth.conf; the gap is a TAB; then service syslogd reload"]
    assert "hash2" == host.map_format(Path("/etc/mail/popauth.db"))


def test_a_shipped_configuration_with_nothing_put_in_is_the_shipped_one() -> None:
    shipped_text = shipped.text("syslogauth.toml")
    config = parse(shipped_text)
    assert shipped_text == shipped.configuration(str(config.state_directory), str(config.export[0].path))


def test_a_shipped_text_that_has_changed_is_not_taken_for_what_it_was() -> None:
    with pytest.raises(LookupError, match="port"):
        shipped._once("port 514", 'port="5140"', "")
    with pytest.raises(LookupError, match="2 lines"):
        shipped._line("path = 1\npath = 2\n", "path = .*", "")


def test_the_servers_that_are_looked_for_are_known_ones() -> None:
    assert SERVERS.keys() <= {form.name for form in FORMATS}
