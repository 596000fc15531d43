"""sendmail's own answers beside what doctor says of its cf and of the map: each mistake made in a real sendmail.cf, and put right again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syslogauth.doctor import cf, maps, sendmail
from syslogauth.doctor.finding import Finding, Level
from syslogauth.doctor.site import WatchedMap, ask
from syslogauth.exports import hash9
from tests.doctor import levels
from tests.e2e.netns import Netns, mail_host
from tests.e2e.sendmail import build_cf
from tests.needs import need

OK, WARN, FAIL = Level
RULES = "SLocal_check_rcpt\nR$*\t$: $(popauth $&{client_addr} $: <?> $)\nR<?>\t$@ NoPopAuth\nR$*<OK>\t$# OK\n"
TMPF = 'R$*<TMPF>\t$#error $@ 4.7.1 $: "451 Try again, popauth lookup failed"\n'
K = "Kpopauth hash -a<OK>"


@pytest.fixture(scope="module")
def host() -> Iterator[Netns]:
    need("root")
    need("sendmail")
    with mail_host({"192.0.2.25": "mail1.example.org"}) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def right(host: Netns) -> tuple[Path, str, WatchedMap]:
    """The cf, its text with nothing wrong, and the map."""
    folder = host.directory / "mail"
    folder.mkdir(mode=0o755)
    file = build_cf(host.directory / "sendmail", folder / "popauth")
    text = file.read_text()
    assert 1 == text.count(RULES) == text.count(K)
    return file, text, WatchedMap(folder / "popauth.db")


@pytest.fixture(autouse=True)
def live_map(right: tuple[Path, str, WatchedMap]) -> None:
    _, _, watched = right
    watched.path.unlink(missing_ok=True)
    watched.path.write_bytes(hash9.render({b"198.51.100.1", b"ipv6:2001:db8:0:0:0:0:0:25"}))
    watched.path.chmod(0o640)
    watched.path.parent.chmod(0o755)


def told(
    host: Netns, right: tuple[Path, str, WatchedMap], text: str, watched: WatchedMap | None = None
) -> tuple[list[Finding], list[Finding]]:
    """What doctor says of a cf with that text, by reading it, and by what the host's sendmail answers with it."""
    file, _, usual = right
    watched = watched or usual
    file.write_text(text)
    known = cf.read(text)
    about = ask(host.command("/usr/sbin/sendmail", "-d0.10", "-C", file, "-bt"), "/quit\n")
    read = list(cf.judge(known, watched, "make", sendmail.compressed(known, about.text)))
    line = cf.named(known, watched.path)
    if line is None:
        return read, []
    keys, fault = sendmail.keys_of(watched.path)
    if fault:
        return read, [fault]
    clients, absent = sendmail.chosen(keys, watched)
    asked = "".join(sendmail.questions(line.name, watched, [*clients, absent]))
    said = ask(host.command("/usr/sbin/sendmail", "-C", file, "-bt"), asked).text
    return read, list(sendmail.judge(said, line.name, watched, clients, absent))


Edit = Callable[[str], str]


def k_line(options: str) -> Edit:
    return lambda text: text.replace(K, f"Kpopauth {options}")


def rules(old: str, new: str) -> Edit:
    return lambda text: text.replace(RULES, RULES.replace(old, new))


CF_CASES: list[tuple[str, Edit, list[Level], list[Level], str]] = [  # what is wrong, by reading, by asking, what is said of it
    ("right", lambda text: text, [OK], [OK], "ends in the right rules"),
    ("-T with its rule", lambda text: k_line("hash -T<TMPF> -a<OK>")(text).replace(RULES, RULES + TMPF), [OK], [OK], "right rules"),
    ("-O", k_line("hash -O -a<OK>"), [OK], [OK], "right rules"),
    ("-o", k_line("hash -o -a<OK>"), [OK], [OK], "right rules"),
    ("named with .db", lambda text: text.replace("/popauth\n", "/popauth.db\n"), [OK], [OK], "popauth.db"),
    ("OK before ?", rules("R<?>\t$@ NoPopAuth\nR$*<OK>\t$# OK\n", "R$*<OK>\t$# OK\nR<?>\t$@ NoPopAuth\n"), [OK], [OK], "right rules"),
    ("blanks for tabs", rules("\t", " "), [FAIL], [FAIL], "blanks where a TAB must be"),
    ("no & in client_addr", rules("$&{client_addr}", "${client_addr}"), [FAIL], [FAIL], "empty when the file is read"),
    ("client_name", rules("client_addr", "client_name"), [FAIL], [FAIL], "something else than the keys"),
    ("no <?>", rules(" $: <?> $)", " $)"), [WARN], [OK], "gives no <?>"),
    ("no rule for <?>", rules("R<?>\t$@ NoPopAuth\n", ""), [WARN], [OK], "no rule R<?>"),
    ("a rule that takes all", rules("R<?>\t$@ NoPopAuth\n", "R<?>\t$@ No\nR$*\t$@ No\n"), [FAIL], [FAIL], "takes all"),
    ("no rule for <OK>", rules("R$*<OK>\t$# OK\n", ""), [FAIL], [FAIL], "no rule R$*<OK>"),
    ("<OK> says $@", rules("$# OK", "$@ OK"), [FAIL], [FAIL], "lets nobody relay"),
    ("<OK> says $#error", rules("$# OK", "$#error $: 550 no"), [FAIL], [FAIL], "lets nobody relay"),
    ("<?> relays", rules("$@ NoPopAuth", "$# OK"), [FAIL], [FAIL], "lets everybody relay"),
    ("all relay after", rules("R<?>\t$@ NoPopAuth\n", "R$*\t$# OK\n"), [FAIL], [FAIL], "lets everybody relay"),
    ("all relay before", rules("rcpt\n", "rcpt\nR$+\t$# OK\n"), [FAIL], [FAIL], "lets everybody relay"),
    ("no look-up", lambda text: text.replace(RULES, "SLocal_check_rcpt\n"), [FAIL], [FAIL], "no rule of Local_check_rcpt looks into"),
    ("in another ruleset", rules("Local_check_rcpt", "Mine"), [WARN], [FAIL], "looked up in Mine"),
    ("-N", k_line("hash -N -a<OK>"), [FAIL], [FAIL], "end in a NUL"),
    ("-f", k_line("hash -f -a<OK>"), [WARN], [FAIL], "no IPv6 client is ever found"),
    ("-o beside -T", lambda text: k_line("hash -o -T<TMPF> -a<OK>")(text).replace(RULES, RULES + TMPF), [WARN], [OK], "-o wins"),
    ("-T without its rule", k_line("hash -T<TMPF> -a<OK>"), [WARN], [OK], "no rule R$*<TMPF> reads it"),
    ("no -a", k_line("hash"), [FAIL], [FAIL], "has no -a<OK>"),
    ("another -a", k_line("hash -a<X>"), [FAIL], [FAIL], "no rule R$*<X>"),
    ("btree", k_line("btree -a<OK>"), [FAIL], [FAIL], "the map is a hash, not a btree"),
    ("text", k_line("text -a<OK>"), [FAIL], [FAIL], "the map is a hash, not a text"),
    ("another path", lambda text: text.replace("/mail/popauth\n", "/mail/other\n"), [FAIL], [], "Kpopauth reads"),
    ("no K line", lambda text: "\n".join(line for line in text.split("\n") if not line.startswith(K)), [FAIL], [], "no K line"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "by_reading", "by_asking", "said"), [case[1:] for case in CF_CASES], ids=[case[0] for case in CF_CASES])
def test_a_sendmail_cf_is_read_and_its_sendmail_asked(
    host: Netns, right: tuple[Path, str, WatchedMap], edit: Edit, by_reading: list[Level], by_asking: list[Level], said: str
) -> None:
    text = right[1]
    assert edit(text) != text or by_reading == [OK]
    read, answered = told(host, right, edit(text))
    assert (by_reading, by_asking) == (levels(read)[:1], levels(answered))
    assert any(said in finding.text for finding in read)
    assert all(finding.mend for finding in [*read, *answered] if finding.level is not OK)


@pytest.mark.parametrize(
    ("form", "option", "level"),
    [("full", "False", OK), ("full", "True", FAIL), ("compressed", "True", OK), ("compressed", "False", FAIL), ("both", "True", OK)],
)
def test_the_form_of_ipv6_keys_is_held_against_sendmails(
    host: Netns, right: tuple[Path, str, WatchedMap], form: str, option: str, level: Level
) -> None:
    text = right[1].replace("#O UseCompressedIPv6Addresses", f"O UseCompressedIPv6Addresses={option}")
    assert text != right[1]
    read, _ = told(host, right, text, WatchedMap(right[2].path, ipv6_form=form))
    assert [level] == levels(read)


@pytest.mark.parametrize(
    ("about", "expected"), [("Compiled with: NETINET6 IPV6_FULL", False), ("Compiled with: NETINET6", True), ("", None)]
)
def test_without_an_option_the_build_decides_the_form(about: str, expected: bool | None) -> None:
    assert expected is sendmail.compressed(cf.read(""), about)


def test_only_an_address_is_asked_for() -> None:
    """Whatever else somebody wrote into the map is not said to a sendmail that root runs."""
    keys = {b"\n.D{x}y", b"example.org", b"198.51.100.1", b"ipv6:x\n/quit", b"ipv6:2001:db8:0:0:0:0:0:25"}
    clients, absent = sendmail.chosen(keys, WatchedMap(Path("/m.db")))
    assert (["198.51.100.1", "IPv6:2001:db8:0:0:0:0:0:25"], "192.0.2.254") == (clients, absent)


def test_a_prefix_of_the_keys_is_looked_for(host: Netns, right: tuple[Path, str, WatchedMap]) -> None:
    """As the popauth.m4 hack has them."""
    watched = WatchedMap(right[2].path, key_prefix="POP:")
    watched.path.write_bytes(hash9.render({b"pop:198.51.100.1"}))
    assert ([FAIL], [FAIL]) == tuple(map(levels, told(host, right, right[1], watched)))
    assert ([OK], [OK]) == tuple(map(levels, told(host, right, right[1].replace("$(popauth $&{", "$(popauth POP:$&{"), watched)))


MAP_CASES: list[tuple[str, Callable[[Path], object], Level, str]] = [
    ("right", lambda path: None, OK, "198.51.100.1 and IPv6:2001:db8:0:0:0:0:0:25 may relay"),
    ("empty of addresses", lambda path: path.write_bytes(hash9.render(set())), OK, "the map is empty"),
    ("of nobody's, group 0", lambda path: os.chown(path, 65534, 0), OK, "may relay"),
    ("not for root", lambda path: os.chown(path, 65534, 65534), FAIL, "Permission denied"),
    ("group writable directory", lambda path: path.parent.chmod(0o775), FAIL, "Group writable directory"),
    ("world writable directory", lambda path: path.parent.chmod(0o777), FAIL, "World writable directory"),
    ("no map yet", lambda path: path.write_bytes(b""), FAIL, "is no map yet"),
    ("missing", lambda path: path.unlink(), FAIL, "No such file"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "level", "said"), [case[1:] for case in MAP_CASES], ids=[case[0] for case in MAP_CASES])
def test_sendmail_is_asked_what_it_makes_of_the_map(
    host: Netns, right: tuple[Path, str, WatchedMap], make: Callable[[Path], object], level: Level, said: str
) -> None:
    make(right[2].path)
    (finding,) = told(host, right, right[1])[1]
    assert (level, True) == (finding.level, said in finding.text), finding.text


MODES = [(owner, group, mode) for owner in (0, 65534) for group in (0, 65534) for mode in (0o600, 0o640, 0o644)]


@pytest.mark.parametrize(("owner", "group", "mode"), MODES)
@pytest.mark.parametrize("directory", [0o755, 0o775, 0o1777])
def test_the_modes_are_judged_as_the_real_safefile_judges_them(
    host: Netns, right: tuple[Path, str, WatchedMap], owner: int, group: int, mode: int, directory: int
) -> None:
    """Whether doctor, by the modes alone, thinks that sendmail reads the map, and whether it does."""
    path = right[2].path
    os.chown(path, owner, group)
    path.chmod(mode)
    path.parent.chmod(directory)
    known = cf.read(right[1])
    way = [maps.Place.of(folder) for folder in (path.parent, *path.parents)]
    found = [*maps.directories(way, known.allowances), *maps.modes(maps.Place.of(path), mode, owner, 0)]
    assert (FAIL in levels(found)) == (FAIL in levels(told(host, right, right[1])[1]))
