"""The words of a command line, and the configuration that every command takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import A, Site, ask

# what is not a command


@pytest.mark.parametrize(
    ("words", "last_line"),
    [
        ([], "syslogauth: the following arguments are required: VERB"),
        (["test"], "syslogauth test: the following arguments are required: ADDRESS"),
        (["test", "mail1"], "syslogauth: 'mail1' is no address; write one such as 192.0.2.25 or 2001:db8::25"),
        (["revoke", "192.0.2.256"], "syslogauth: '192.0.2.256' is no address; write one such as 192.0.2.25 or 2001:db8::25"),
        (["grant", A, "--seconds", "long"], "syslogauth grant: argument --seconds: invalid float value: 'long'"),
        (["list", "--network", "office"], None),
        (["flush"], "syslogauth: flush removes every grant: every customer must log in again; say it with --yes"),
        (["deny", A, "--seconds", "-1"], "syslogauth: --seconds -1: write 0 to lift the denial, or more"),
        (["deny", A, "--seconds", "nan"], "syslogauth: --seconds nan: write 0 to lift the denial, or more"),
        (["grant", A, "--seconds", "0"], "syslogauth: --seconds 0: write more than 0 and at most 7200 (policy.max_manual_seconds)"),
        (["grant", A, "--seconds", "7201"], "syslogauth: --seconds 7201: write more than 0 and at most 7200 (policy.max_manual_seconds)"),
        (["grant", A, "--seconds", "nan"], "syslogauth: --seconds nan: write more than 0 and at most 7200 (policy.max_manual_seconds)"),
    ],
)
def test_a_mistake_in_the_words_is_one_line_and_64(site: Site, words: list[str], last_line: str | None) -> None:
    done = ask(words, environment={"SYSLOGAUTH_CONFIG": str(site.config)})
    assert (64, "") == (done.returncode, done.stdout)
    assert last_line is None or last_line == done.stderr.splitlines()[-1]
    assert not (site.state / "audit.log").exists()


def test_an_unknown_verb_is_64_and_the_verbs_are_named() -> None:
    done = ask(["tets", A])
    assert 64 == done.returncode
    assert "'test'" in done.stderr


def test_the_version_is_told() -> None:
    from syslogauth import __version__

    assert f"syslogauth {__version__}\n" == ask(["--version"]).stdout


CONFIGURED = ("list", "show", "test", "grant", "revoke", "deny", "flush", "export", "stats", "top", "match", "replay", "formats", "run")


@pytest.mark.parametrize("verb", CONFIGURED)
def test_every_command_takes_the_configuration_and_ends_with_78_on_a_bad_one(bare: Site, verb: str) -> None:
    bare.config.write_text("state_directory = ")
    words = {"show": [A], "test": [A], "grant": [A], "revoke": [A], "deny": [A], "flush": ["--yes"], "match": ["x"], "replay": ["-"]}
    done = bare.ask(verb, *words.get(verb, []))
    assert (78, "") == (done.returncode, done.stdout)
    assert f"{bare.config}: syntax: " in done.stderr


# check-config


def test_check_config_tells_what_a_right_file_means(bare: Site) -> None:
    done = bare.ask("check-config")
    assert (0, "") == (done.returncode, done.stderr)
    assert f"{bare.config} is right\n" in done.stdout
    assert f"to do         install -d -o syslogauth -g 0 -m 0750 {bare.state}\n" in done.stdout
    assert f"Kpopauth hash -a<OK> {bare.directory}/popauth\n" in done.stdout
    assert not bare.state.exists()


def test_check_config_tells_every_mistake_on_a_line_of_its_own(bare: Site) -> None:
    bare.config.write_text("[policy]\ngrace = 1\n[listen]\nworkers = 0\n")
    done = bare.ask("check-config")
    assert 78 == done.returncode
    expected = [f"{bare.config}: listen.workers: 0 receiving", f"{bare.config}: policy.grace: no such setting"]
    assert [True, True] == [start in line for start, line in zip(expected, done.stderr.splitlines(), strict=True)]


def test_the_environment_names_the_configuration_and_the_option_beats_it(site: Site, tmp_path: Path) -> None:
    site.log_in(A)
    other = tmp_path / "other"
    other.mkdir()
    empty = Site(other)
    empty.make()
    environment = {"SYSLOGAUTH_CONFIG": str(site.config)}
    assert 0 == ask(["test", A], environment=environment).returncode
    assert 1 == ask(["test", A, "--config", str(empty.config)], environment=environment).returncode


# test ADDRESS, which fail2ban asks for every ban

SLOW = {"argparse", "asyncio", "contextlib", "dataclasses", "enum", "re", "socket", "tomllib", "typing"}


def test_the_verb_test_imports_nothing_that_takes_long(site: Site) -> None:
    """Start-up is most of what it costs: the modules that it adds to those of a bare interpreter are few, and each is quick."""
    program = (
        "import sys; before = set(sys.modules); from syslogauth.__main__ import main;"
        f"main(['test', {A!r}]); print(*sorted(set(sys.modules) - before))"
    )
    environment = {**os.environ, "SYSLOGAUTH_CONFIG": str(site.config)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert "syslogauth.standing" in done.stdout.split()
    assert set() == SLOW & set(done.stdout.split())


@pytest.mark.parametrize("words", [["test", "-h"], ["test", "--help", A], ["test", A, "--help"]])
def test_the_short_way_of_the_verb_test_leaves_options_to_the_parser(words: list[str]) -> None:
    done = ask(words)
    assert 0 == done.returncode
    assert done.stdout.startswith("usage: syslogauth test ")
