"""The manual pages: what the program has is in them, what they say is in the program, and mandoc takes and shows them.

A verb, an option, a setting or a variable that is new needs its words there, in its own section; these tests say which are missing.
"""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from syslogauth.cli.host import Host
from syslogauth.cli.init import configuration
from syslogauth.cli.shipped import PROGRAM
from syslogauth.cli.steps import steps
from syslogauth.cli.words import VERBS, parser
from syslogauth.config import LISTS, SECTIONS, parse
from syslogauth.core.formats.site import KEYS
from syslogauth.tidings import REFUSED
from tests.needs import need

REPOSITORY = Path(__file__).parent.parent.parent
DEPLOY = REPOSITORY / "deploy"
PAGES = {path.name: path.read_text() for path in sorted((DEPLOY / "man").iterdir())}
VERBS_PAGE, SETTINGS_PAGE = PAGES["syslogauth.8"], PAGES["syslogauth.toml.5"]
SOURCE = {path: path.read_text() for path in sorted((REPOSITORY / "syslogauth").rglob("*.py"))}

VISIBLE = {name: arguments for name, (_, words, arguments) in VERBS.items() if words}
OUTSIDE = "Outside of all sections"

# Where else a page is that ours name: in Debian or FreeBSD, or in both.
ELSEWHERE = {
    *("fail2ban-client(1)", "flock(2)", "gzip(1)", "jail.conf(5)", "journalctl(1)", "logger(1)", "mac_portacl(4)", "makemap(8)"),
    *("daemon(8)", "newsyslog(8)", "openssl-x509(1)", "rc.conf(5)", "rsyslogd(8)", "sd_listen_fds(3)", "sd_notify(3)", "sendmail(8)"),
    *("sysctl(8)", "sysexits(3)", "syslog.conf(5)", "syslogd(8)", "systemd.socket(5)"),
}
OF_DEVELOPERS = {"SYSLOGAUTH_PROGRAM"}  # set by ./dev


def section(page: str, name: str) -> str:
    """The lines below a .Sh; those before the first item of its outermost list too."""
    return page.partition(f".Sh {name}\n")[2].partition("\n.Sh ")[0]


def subsections(text: str) -> dict[str, str]:
    parts = re.split(r"^\.Ss (.*)\n", text, flags=re.MULTILINE)
    return {plain(title): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def plain(text: str) -> str:
    """What mdoc's escapes stand for."""
    return text.replace(r"\(dq", '"').replace(r"\e", "\\").replace(r"\&", "")


def items(text: str, depth: int = 1) -> Iterator[tuple[str, str]]:
    """The items of all lists at one depth: the words behind .It, and the lines below it, inner lists with it.

    Items that follow one another without a line between share the one below the last.
    """
    heads, lines, level = list[str](), list[str](), 0
    for line in [*text.splitlines(), ".El"]:
        ended = line.startswith(".El") and level <= depth
        begun = line.startswith(".It ") and level == depth
        if (ended or begun) and lines:
            yield from ((head, "\n".join(lines)) for head in heads)
            heads, lines = [], []
        level += line.startswith(".Bl") - line.startswith(".El")
        if begun:
            heads.append(line.removeprefix(".It "))
        elif heads and not ended:
            lines.append(line)


def options_of(verb: str) -> dict[str, str]:
    """The long options of a verb, each with what its value is called; empty where it has none. Of all verbs: --config."""
    found = {"--config": "file"}
    for names, how in VISIBLE[verb]:
        if names[0].startswith("--"):
            values = how.get("choices") or (how.get("metavar", ""),)
            found[names[0]] = "" if how.get("action") == "store_true" else " | ".join(values).lower()
    return found


def head_of(option: str, value: str) -> str:
    """As mdoc has it: .Fl -note Ar t."""
    return f"Fl -{option.removeprefix('--')}" + (f" {'Cm' if '|' in value else 'Ar'} {value}" if value else "")


def paths_of(page: str) -> set[str]:
    return {head.removeprefix("Pa ") for depth in (1, 2) for head, _ in items(section(page, "FILES"), depth) if head.startswith("Pa ")}


# verbs


@pytest.mark.parametrize("verb", VISIBLE)
def test_a_verb_is_told_of_with_all_its_options_and_no_others(verb: str) -> None:
    described = {head.split()[1]: text for head, text in items(section(VERBS_PAGE, "VERBS")) if head.startswith("Cm ")}
    assert verb in described, f"write an .It Cm {verb} below VERBS"
    expected = {head_of(*option) for option in options_of(verb).items() if option[0] != "--config"}
    assert expected == {head for head, _ in items(described[verb])}


@pytest.mark.parametrize("verb", VISIBLE)
def test_the_synopsis_of_a_verb_has_all_its_words(verb: str) -> None:
    found = dict(re.findall(r"^\.Nm\n\.Cm (\S+)\n((?:\.(?!Nm).*\n?)*)", section(VERBS_PAGE, "SYNOPSIS"), re.MULTILINE))
    assert verb in found, f"write .Nm and .Cm {verb} below SYNOPSIS"
    expected = {head_of(*option) for option in options_of(verb).items()}
    told = re.findall(r"Fl -\S+(?: Ar \S+| Cm \w+(?: \| \w+)*)?", found[verb])
    assert expected == set(told)
    for names, how in VISIBLE[verb]:
        if not names[0].startswith("-"):
            word = how["metavar"].lower().replace("|", " | ")
            assert re.search(rf"(Ar|Cm) {re.escape(word)}", found[verb]), word


def test_only_verbs_that_there_are_are_told_of_and_what_all_have_is_told_once() -> None:
    heads = [head for head, _ in items(section(VERBS_PAGE, "VERBS"))]
    assert sorted(VISIBLE) == sorted(head.split()[1] for head in heads if head.startswith("Cm "))
    assert ["Fl h , Fl -help", "Fl -config Ar file", "Fl -json"] == [head for head in heads if not head.startswith("Cm ")]


# settings


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """Section -> setting -> its default as TOML, empty where it has none, and its words."""
    return {
        title.strip("[]"): {
            setting: (default, text)
            for head, text in items(body)
            for setting, _, default in [plain(head).removeprefix("Ic ").partition(" = ")]
        }
        for title, body in subsections(section(SETTINGS_PAGE, "SETTINGS")).items()
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_told_of_with_all_its_settings_and_their_defaults(name: str) -> None:
    told = documented()
    assert name in told, f"write an .Ss {'[[' if name in LISTS else '['}{name} below SETTINGS"
    expected = {setting: default for setting, (_, default) in SECTIONS[name].items()}
    assert expected == {setting: tomllib.loads(f"x = {default}")["x"] if default else None for setting, (default, _) in told[name].items()}


@pytest.mark.parametrize(("name", "setting"), [(name, setting) for name, settings in SECTIONS.items() for setting in settings])
def test_the_limits_of_a_setting_are_told(name: str, setting: str) -> None:
    """Those that its reader names to whom it refuses."""
    text = documented()[name][setting][1]
    for wrong in (-1, "no such word"):
        try:
            SECTIONS[name][setting][0](wrong)
        except ValueError as error:
            if limits := re.search(r"out of range; write one from (\d+) to (\d+)", str(error)):
                assert f"from {limits[1]} to {limits[2]}" in text.replace("\n", " ")
            if words := re.search(r"is not known.*; write one of (.*)", str(error)):
                assert [] == [word for word in words[1].split(", ") if not re.search(rf"\b{re.escape(word)}\b", text)]


def test_a_section_stands_in_as_many_brackets_as_it_is_written_in() -> None:
    titles = set(subsections(section(SETTINGS_PAGE, "SETTINGS")))
    assert titles == {OUTSIDE, "[[format]]", *(f"[[{name}]]" if name in LISTS else f"[{name}]" for name in SECTIONS)}


def test_the_keys_of_a_format_are_told() -> None:
    assert set(documented()["format"]) == KEYS
    assert set(documented()[OUTSIDE]) == {"state_directory"}


def displays(text: str) -> list[str]:
    return [plain(found) for found in re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("text", displays(section(SETTINGS_PAGE, "EXAMPLES")))
def test_an_example_is_a_configuration_without_mistakes(text: str) -> None:
    parse(text)


@pytest.mark.parametrize("line", re.findall(r"^syslogauth .*", "\n".join(displays(section(VERBS_PAGE, "EXAMPLES"))), re.MULTILINE))
def test_an_example_has_words_that_the_program_takes(line: str) -> None:
    assert VISIBLE.keys() >= {parser().parse_args(shlex.split(line)[1:]).verb}


# what else they name


def test_every_variable_that_is_asked_for_is_told_of() -> None:
    asked = set(
        re.findall(r'(?:os\.environ|environment)\.(?:get|pop)\("([A-Z_]+)"|"([A-Z_]+)" (?:not )?in os\.environ', "\n".join(SOURCE.values()))
    )
    told = {name for head, _ in items(section(VERBS_PAGE, "ENVIRONMENT")) for name in re.findall(r"Ev ([A-Z_]+)", head)}
    assert set() == {name for pair in asked for name in pair if name} - told - OF_DEVELOPERS


def test_every_signal_that_is_taken_is_told_of() -> None:
    taken = set(re.findall(r"\(signal\.(SIG\w+), ", SOURCE[REPOSITORY / "syslogauth/daemon.py"]))
    assert taken == {name for head, _ in items(section(VERBS_PAGE, "SIGNALS")) for name in re.findall(r"Dv (SIG\w+)", head)}


def test_every_exit_code_that_the_commands_promise_is_told_of() -> None:
    promised = set(re.findall(r" {4,}(\d+)  ", (SOURCE[REPOSITORY / "syslogauth/cli/__init__.py"]).split('"""')[1]))
    assert promised == {head for head, _ in items(section(VERBS_PAGE, "EXIT STATUS"))}


@pytest.mark.parametrize("line", [head for head, _ in items(section(VERBS_PAGE, "DIAGNOSTICS"))])
def test_a_line_of_the_log_that_is_told_of_is_one_that_is_written(line: str) -> None:
    said = [f"refused: {words}" for words, _ in REFUSED.values()]
    assert line in said or any(f'"{line}"' in text for text in SOURCE.values())


def made_on(root: Path, platform: str, *files: str) -> set[str]:
    """What `init` makes on a host of this kind: paths, and where the configuration is looked for."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    host = Host(root, platform)
    text, config = configuration(host, host.configuration_file, ["192.0.2.1:514"], [])
    return {host.configuration_file, *(step.path for step in steps(host, config, text, host.configuration_file, PROGRAM))}


def test_the_files_are_where_the_program_and_its_service_files_have_them(tmp_path: Path) -> None:
    linux = made_on(
        tmp_path / "linux", "linux", "usr/lib/systemd/systemd", "usr/lib/systemd/libsystemd-core-257.so", "etc/mail/sendmail.cf"
    )
    freebsd = made_on(tmp_path / "freebsd", "freebsd14", "etc/mail/freebsd.mc")
    manual = {path for path in linux if path.startswith("/usr/local/share/man/")}
    known = {path for path in linux | freebsd if path.startswith("/")} - manual
    script = (DEPLOY / "rc.d/syslogauth").read_text()
    run = re.search(r"^rundir=(\S+)$", script, re.MULTILINE)
    assert run
    known |= {path.replace("${rundir}", run[1]) for path in re.findall(r"^\w+file=(\$\{rundir\}\S+)$", script, re.MULTILINE)}
    known |= set(re.findall(r"^# As (/\S+),", (DEPLOY / "newsyslog/syslogauth.conf").read_text()))
    told = paths_of(VERBS_PAGE)
    assert known == {path for path in told if path.startswith("/")}
    for name in (path for path in told if not path.startswith("/")):
        assert any(re.search(rf'["/]{re.escape(name)}"', text) for text in SOURCE.values()), name
    assert {Host(platform=platform).configuration_file for platform in ("linux", "freebsd14")} == paths_of(SETTINGS_PAGE)


@pytest.mark.parametrize("page", PAGES)
def test_references_lead_to_pages_that_there_are(page: str) -> None:
    ours = {f"{name.rpartition('.')[0]}({name[-1]})" for name in PAGES}
    named = {f"{name}({number})" for name, number in re.findall(r"^\.Xr (\S+) (\d)", PAGES[page], re.MULTILINE)}
    assert set() == named - ours - ELSEWHERE


# mandoc


@pytest.mark.parametrize("page", PAGES)
def test_mandoc_finds_no_fault(page: str) -> None:
    done = subprocess.run([need("mandoc"), "-Tlint", "-Wstyle", DEPLOY / "man" / page], capture_output=True, text=True, timeout=60)
    # which other pages are installed here is another test's matter
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if "referenced manual not found" not in line and "mandoc.db" not in line
    ]
    assert [] == said


def rendered(page: str) -> str:
    done = subprocess.run([need("mandoc"), "-Tutf8", DEPLOY / "man" / page], capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)
    return re.sub(r".\x08", "", done.stdout)


def test_the_pages_that_are_seen_have_every_verb_and_every_setting() -> None:
    shown = rendered("syslogauth.8")
    assert [] == [verb for verb in VISIBLE if not re.search(rf"^     syslogauth {verb}\b", shown, re.MULTILINE)]
    assert [] == [verb for verb in VISIBLE if not re.search(rf"^     {verb}\b", shown, re.MULTILINE)]
    shown = rendered("syslogauth.toml.5")
    wanted = [setting for settings in SECTIONS.values() for setting in settings]
    assert [] == [setting for setting in wanted if not re.search(rf"^     {setting}\b", shown, re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES)
def test_the_first_lines_are_those_that_mdoc_wants(page: str) -> None:
    name, _, number = page.rpartition(".")
    months = "January|February|March|April|May|June|July|August|September|October|November|December"
    assert re.match(rf"\.Dd ({months}) [1-9]\d?, \d{{4}}\n\.Dt {re.escape(name.upper())} {number}\n\.Os\n\.Sh NAME\n", PAGES[page])
