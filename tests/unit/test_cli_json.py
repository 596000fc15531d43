"""--json: every verb has it and prints one document, or one a line where lines stream; a mistake is a plain line all the same."""

import json
from typing import Any

import pytest

from syslogauth.cli import export
from syslogauth.cli.check import mistake
from syslogauth.cli.words import VERBS
from syslogauth.config import ConfigError, parse
from syslogauth.exports import hash9
from tests.site import LINE, A, B, Site, ask
from tests.unit.inside import Inside

VISIBLE = sorted(verb for verb, (_, words, _) in VERBS.items() if words)
EXEMPT = {
    "run": "its lines are the log's: log.format",
    "completion": "what it prints is a shell's language",
}
LOGIN = LINE.format(stamp="Nov 22 10:00:00", address=A, user="alice")
WORDS: dict[str, list[str]] = {  # where a verb needs more than itself
    "match": [LOGIN, LOGIN],
    "replay": ["{directory}/maillog"],
    "show": [A],
    "test": [A],
    "grant": [A],
    "revoke": [A],
    "deny": [A],
    "flush": ["--yes"],
    "top": ["--interval", "0.2"],
    "backup": ["{directory}/backup"],
    "restore": ["{directory}/backup"],
    "import": ["{directory}/addresses"],
}
STREAMS = {"match"}


@pytest.fixture
def furnished(site: Site, capsys: pytest.CaptureFixture[str]) -> Site:
    """With what the verbs read."""
    site.log_in(A, B)
    (site.directory / "maillog").write_text(LOGIN + "\n")
    (site.directory / "addresses").write_text(f"{B}\n")
    Inside(site, capsys).ask("backup", f"{site.directory}/backup")
    return site


def test_no_verb_that_is_exempt_is_gone() -> None:
    assert set() == (EXEMPT.keys() | WORDS.keys()) - set(VISIBLE)


@pytest.mark.parametrize("verb", [verb for verb in VISIBLE if verb not in EXEMPT])
def test_every_verb_prints_json(furnished: Site, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert "--json" in [names[0] for names, _ in VERBS[verb][2]]
    done = Inside(furnished, capsys).ask(verb, "--json", *(word.format(directory=furnished.directory) for word in WORDS.get(verb, [])))
    documents = [json.loads(line) for line in done.stdout.splitlines()] if verb in STREAMS else [json.loads(done.stdout)]
    assert documents
    for document in documents:
        for known in document if isinstance(document, list) else [document]:
            assert all(key == key.lower() for key in known), known


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("grant", A, "--seconds", "60"), {"address": A, "live": True, "seconds": 60.0, "map_kept": False}),
        (("revoke", A), {"address": A, "live": False, "existed": True, "map_kept": False}),
        (("deny", A), {"address": A, "denied": True, "seconds": None, "still_denied_by": None, "map_kept": False}),
        (("deny", A, "--seconds", "inf"), {"address": A, "denied": True, "seconds": None, "still_denied_by": None, "map_kept": False}),
        (
            ("deny", "203.0.113.0/24", "--seconds", "0"),
            {"network": "203.0.113.0/24", "denied": False, "seconds": 0.0, "still_denied_by": None, "map_kept": False},
        ),
        (("flush", "--yes"), {"removed": 1, "always": 0, "map_kept": False}),
        (("test", B), {"address": B, "live": False, "expires_at": None}),
        (("export",), {"checked": False, "maps": [{"path": "{map}", "addresses": 1}]}),
    ],
)
def test_what_became_of_it_is_one_object(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: dict[str, Any]
) -> None:
    site.log_in(A)
    done = Inside(site, capsys).ask(*words, "--json")
    assert expected == json.loads(done.stdout.replace(str(site.map), "{map}"))


def test_a_check_of_the_maps_says_which_keys_are_wrong(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PATIENCE_SECONDS", 0.0)  # nobody is at work who could still put it right
    site.log_in(A, B)
    site.map.write_bytes(hash9.render({A.encode()}))
    done = Inside(site, capsys).ask("export", "--check", "--json")
    known = {"path": str(site.map), "format": "hash9", "keys": 2, "missing": 1, "too_many": 0, "missing_keys": [B], "too_many_keys": []}
    assert (1, {"checked": True, "maps": [known]}) == (done.returncode, json.loads(done.stdout))


def test_replay_counts_what_it_read(site: Site) -> None:
    known = json.loads(site.ask("replay", "--json", "--nowrite", "-", stdin=f"{LOGIN}\nx sshd: y\n".encode()).stdout)
    logins = [{"server": "dovecot", "service": "imap", "count": 1}]
    expected = {"lines": 2, "logins": logins, "outcomes": {"grant": 1, "not_login": 1}, "grants": 1, "stored": None, "missed": None}
    assert expected == {name: value for name, value in known.items() if name != "over"}


def test_the_mistakes_of_a_configuration_are_objects(site: Site) -> None:
    site.config.write_text("[policy]\ngrace = 1\n[listen]\nworkers = 0\n")
    done = site.ask("check-config", "--json")
    known = json.loads(done.stdout)
    assert (78, "", False, str(site.config)) == (done.returncode, done.stderr, known["right"], known["file"])
    workers, grace = known["mistakes"]
    expected = {"key": "listen.workers", "problem": "0 receiving processes is out of range", "mend": "write one from 1 to 64"}
    assert {"file": str(site.config)} | expected == workers
    assert ("policy.grace", "known here: ") == (grace["key"], grace["mend"][:12])


WRONG = """
state_directory = "here"
[listen]
udp = ["localhost:514"]
peers = ["192.0.2.1/24"]
[policy]
never_networks_files = ["/nonexistent"]
[[policy.rule]]
[[export]]
path = "a/b"
[[format]]
name = "x"
"""


def test_each_mistake_comes_apart_into_what_is_wrong_and_how_to_mend_it() -> None:
    with pytest.raises(ConfigError) as raised:
        parse(WRONG, "/etc/a: b.toml")
    apart = [mistake(line, "/etc/a: b.toml") for line in raised.value.mistakes]
    assert len(apart) >= 6
    assert {"/etc/a: b.toml"} == {part["file"] for part in apart}
    assert [] == [part for part in apart if not (part["key"] and " " not in part["key"] and part["problem"] and part["mend"])]
    with pytest.raises(ConfigError) as raised:
        parse("x =", "f")
    (syntax,) = (mistake(line, "f") for line in raised.value.mistakes)
    assert ("syntax", "mend the TOML there") == (syntax["key"], syntax["mend"])


def test_a_format_that_is_checked_has_its_mistakes_as_objects(site: Site) -> None:
    draft = site.directory / "draft.toml"
    draft.write_text('[[format]]\nname = "x"\n')
    done = ask(["formats", "check", str(draft), "--json"])
    known = json.loads(done.stdout)
    assert (78, "", str(draft), []) == (done.returncode, done.stderr, known["file"], known["formats"])
    assert {"file", "key", "problem", "mend"} == known["mistakes"][0].keys()


@pytest.mark.parametrize(
    "words", [("list", "--network", "office"), ("show", "mail1"), ("export", "--check"), ("grant", A, "--seconds", "0")]
)
def test_a_mistake_is_a_line_for_people_with_json_too(site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    done = Inside(site, capsys).ask(*words, "--json")
    assert ("", 1) == (done.stdout, len(done.stderr.splitlines()))
    assert done.returncode in (64, 66)
    assert done.stderr.startswith("syslogauth: ")


def test_the_version_and_what_it_stands_on_are_told() -> None:
    known = json.loads(ask(["version", "--json"]).stdout)
    assert f"syslogauth {known['version']}" == ask(["version"]).stdout.splitlines()[0]
    assert {"lmdb", "asyncio-dgram", "prometheus-client", "structlog", "rich", "shtab"} == known["packages"].keys()
