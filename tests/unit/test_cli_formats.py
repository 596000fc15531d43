"""`formats`: what is recognised, and what is wrong with a site's own format."""

import json
import re
from pathlib import Path

import pytest

from syslogauth.core.formats import FORMATS
from tests.site import Site, ask

ROOT = Path(__file__).parents[2]
OWN = """
[[format]]
name = "mypop"
app_name = "mypopd"
pattern = 'login user=(?P<user>[^\\x00-\\x20\\x7f=]{1,64}) from=(?P<address>[0-9A-Fa-f:.]{2,45})'
service = "pop3"
samples = [{ text = "login user=bob from=192.0.2.25", address = "192.0.2.25", user = "bob" }]
near_misses = ["login failed user=bob from=192.0.2.25"]
"""


def test_every_format_is_listed_with_a_sample_and_what_it_yields(bare: Site) -> None:
    bare.config.write_text(bare.text + OWN)
    rows = json.loads(bare.ask("formats", "--json").stdout)
    assert [*(form.name for form in FORMATS), "mypop"] == [row["name"] for row in rows]
    own = rows[-1]
    assert (True, ["mypopd"], False, "mail", True) == tuple(
        own[name] for name in ("site", "app_names", "escapes", "facility", "facility_listed")
    )
    assert ["mypopd: login user=bob from=192.0.2.25"] == own["sample"]
    assert {"address": "192.0.2.25", "user": "bob", "service": "pop3"} == own["yields"]


def test_the_list_is_told_in_words(bare: Site) -> None:
    bare.config.write_text(bare.text.replace("[listen]", '[listen]\nfacilities = ["mail"]') + OWN)
    said = bare.ask("formats").stdout
    assert f"{' ':11}" not in said.splitlines()[0]
    parts = {part.splitlines()[0]: part.splitlines() for part in said.strip().split("\n\n")}
    assert [
        "mypop (your own)",
        "  tags        mypopd",
        "  facility    mail",
        "  sources     only such as escape line feeds: see listen.source",
        "  sample      mypopd: login user=bob from=192.0.2.25",
        "  yields      192.0.2.25 bob pop3",
    ] == parts["mypop (your own)"]
    assert '  facility    daemon (not listed: add "daemon" to listen.facilities where it logs there)' in parts["popa3d"]
    assert "  sessions    logs their end too: see policy.hold_while_connected" in parts["dovecot"]
    assert any(note.startswith("  notes       Mailutils 2.99 and 3 (3.15 was run) log no client address") for note in parts["mailutils"])


@pytest.mark.parametrize(
    "line",
    ["dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.25, lip=192.0.2.1", "mypopd: login user=bob from=192.0.2.25"],
)
def test_a_site_s_own_format_is_matched_beside_the_others(bare: Site, line: str) -> None:
    bare.config.write_text(bare.text + OWN)
    answer = json.loads(bare.ask("match", "--json", f"Nov 22 10:00:00 mail1 {line}").stdout)
    assert ("192.0.2.25", "bob", "grant") == (answer["address"], answer["user"], answer["outcome"])


def test_check_says_that_a_format_is_right_and_looks_at_nothing_else(tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text("[policy]\ngrace = 'x'\n" + OWN)
    done = ask(["formats", "check", str(draft)])
    assert (0, f"{draft}: format mypop: ok, 1 samples\n", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('app_name = "mypopd"', ""), "format[0].app_name: None is no tag; write it as syslog shows it before `[pid]:`, or a list of such"),
        (("(?P<user>", "(?P<name>"), "format[0].pattern: has the group name; known are"),
        (("{1,64})", "+)"), "format[0]: nothing without a bound may stand before the address; write {1,64}, say, instead of *, + or {1,}"),
        (('"login failed user=bob', '"login user=bob'), "format[0]: near miss 'login user=bob from=192.0.2.25' gave 192.0.2.25"),
        (('name = "mypop"', 'name = "uw"'), "format[0].name: uw is the name of a format that there is already; write another"),
        (("{1,64}) from", "{1,64}) form"), "format[0]: sample 'login user=bob from=192.0.2.25' gave not_login"),
        (("service = ", "servcie = "), "format[0].servcie: no such setting; known here: app_name, escapes, name, near_misses, pattern"),
    ],
)
def test_check_says_what_is_wrong_with_a_format_and_ends_with_78(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(OWN.replace(*change))
    done = ask(["formats", "check", str(draft)])
    assert (78, "") == (done.returncode, done.stdout)
    assert any(line.startswith(f"{draft}: {expected}") for line in done.stderr.splitlines()), done.stderr


def test_check_judges_every_table(tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(OWN + OWN.replace('"mypop"', '"other"') + OWN)
    done = ask(["formats", "check", str(draft)])
    assert 78 == done.returncode
    assert [f"{draft}: format mypop: ok, 1 samples", f"{draft}: format other: ok, 1 samples"] == done.stdout.splitlines()
    assert [f"{draft}: format[2].name: mypop is the name of a format that there is already; write another"] == done.stderr.splitlines()


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (None, 66, "syslogauth: {file}: No such file or directory"),
        ("[[format]\n", 78, "{file}: syntax: "),
        ("[policy]\n", 78, "{file}: format: no such table; write it as [[format]], with two brackets"),
        ("[format]\nname = 'x'\n", 78, "{file}: format: no such table; write it as [[format]], with two brackets"),
    ],
)
def test_what_holds_no_format_is_said_to(tmp_path: Path, text: str | None, code: int, expected: str) -> None:
    draft = tmp_path / "draft.toml"
    if text is not None:
        draft.write_text(text)
    done = ask(["formats", "check", str(draft)])
    assert (code, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert done.stderr.startswith(expected.format(file=draft))


@pytest.mark.parametrize("words", [["check"], ["chekc", "x"]])
def test_check_without_a_file_is_64(words: list[str]) -> None:
    assert 64 == ask(["formats", *words]).returncode


@pytest.mark.parametrize(("document", "name"), [("README.md", "ourpop"), ("deploy/syslogauth.toml", "mypop")])
def test_the_example_of_the_documents_is_right(tmp_path: Path, document: str, name: str) -> None:
    text = (ROOT / document).read_text()
    example = re.search(r"(?:^|\n)((?:# )?\[\[format\]\]\n.*?)(?:\n```|\Z)", text, re.DOTALL)
    assert example is not None
    draft = tmp_path / "draft.toml"
    draft.write_text("\n".join(line.removeprefix("# ") for line in example[1].splitlines()))
    done = ask(["formats", "check", str(draft)])
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(f"{draft}: format {name}: ok, ")
