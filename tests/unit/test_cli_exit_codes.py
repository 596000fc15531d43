"""The exit codes of sysexits(3), one case for each kind of trouble; those of the words are in test_cli.py, of the daemon's stop in e2e."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from syslogauth.daemon import lock, make_state_directory
from syslogauth.exports import hash9
from syslogauth.places import Unavailable, tried
from syslogauth.settings import Endpoint
from tests.appliance import clean_environment
from tests.site import A, B, Site
from tests.unit.inside import Inside


def nothing(site: Site) -> None:
    """The site as it is."""


def damaged_map(site: Site) -> None:
    site.map.write_bytes(hash9.render({A.encode(), B.encode()})[:5000])


def foreign_map(site: Site) -> None:
    site.map.write_bytes(b"somebody's work " * 1000)


def audit_in_the_way(site: Site) -> None:
    (site.state / "audit.log").mkdir()


def syntax(site: Site) -> None:
    site.config.write_text("state_directory = ")


def state_in_the_way(site: Site) -> None:
    site.config.write_text(site.text.replace(f"{site.state}", f"{site.config}/state"))


def no_table(site: Site) -> None:
    site.config.write_text(site.text.replace(f"{site.state}", f"{site.directory}"))


def denied(site: Site) -> None:
    site.ask("deny", A)


CASES: list[tuple[int, Callable[[Site], None], tuple[str, ...]]] = [
    (0, nothing, ("list",)),
    (0, nothing, ("revoke", A)),
    (0, nothing, ("check-config",)),
    (1, nothing, ("test", A)),
    (1, nothing, ("show", A)),
    (1, denied, ("grant", A)),
    (64, nothing, ("list", "--newest")),
    (64, nothing, ("completion", "ksh")),
    (64, nothing, ("top", "--interval", "0")),
    (64, nothing, ("formats", "check")),
    (65, nothing, ("match", "--base64", "!")),
    (65, damaged_map, ("export", "--check")),
    (66, nothing, ("export", "--check")),
    (66, nothing, ("replay", "/nonexistent")),
    (66, nothing, ("match", "--missed", "/nonexistent")),
    (66, nothing, ("formats", "check", "/nonexistent")),
    (69, nothing, ("top", "--once")),
    (69, no_table, ("list",)),
    (69, no_table, ("test", A)),
    (73, foreign_map, ("export",)),
    (73, state_in_the_way, ("run",)),
    (74, audit_in_the_way, ("deny", A)),
    (78, syntax, ("check-config",)),
    (78, syntax, ("deny", A)),
    (78, syntax, ("test", A)),
]


@pytest.mark.parametrize(("code", "arrange", "words"), CASES, ids=[f"{code}-{words[0]}-{of.__name__}" for code, of, words in CASES])
def test_trouble_has_its_code_and_its_line(
    site: Site, capsys: pytest.CaptureFixture[str], code: int, arrange: Callable[[Site], None], words: tuple[str, ...]
) -> None:
    arrange(site)
    done = Inside(site, capsys).ask(*words)
    assert code == done.returncode, done.stderr
    assert code < 2 or done.stderr.splitlines()[-1].startswith(("syslogauth", str(site.config)))


def bare(site: Site, *words: str, stdout: int = subprocess.DEVNULL, path: Path | None = None) -> tuple[int, str]:
    """Exit code and standard error of a command; `path` comes before everything that is imported."""
    environment = clean_environment()
    if path:
        environment["PYTHONPATH"] = f"{path}:{environment['PYTHONPATH']}"
    command = [sys.executable, "-m", "syslogauth", *words, "--config", str(site.config)]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=environment)
    return done.returncode, done.stderr


def test_a_mistake_of_ours_is_a_traceback_and_70_and_never_an_answer(site: Site) -> None:
    broken = site.directory / "broken"
    broken.mkdir()
    (broken / "shtab.py").write_text("1 / 0\n")
    code, said = bare(site, "completion", "bash", path=broken)
    assert (70, "ZeroDivisionError: division by zero") == (code, said.splitlines()[-1])


@pytest.mark.parametrize("words", [("list",), ("show", A), ("formats", "--json"), ("version",)])
def test_a_disk_that_is_full_below_the_output_is_74(site: Site, words: tuple[str, ...]) -> None:
    site.log_in(A)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert (74, "syslogauth: No space left on device\n") == bare(site, *words, stdout=full)
    finally:
        os.close(full)


def test_a_start_says_why_it_cannot_be(tmp_path: Path) -> None:
    def refused() -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(Unavailable) as raised:
        tried("listen.udp", Endpoint("127.0.0.1", 514), refused)  # type: ignore[arg-type]
    assert 77 == raised.value.code
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable) as raised:
        make_state_directory(tmp_path / "file" / "state")
    assert 73 == raised.value.code
    (tmp_path / "daemon.lock").mkdir()
    with pytest.raises(Unavailable) as raised:
        lock(tmp_path)
    assert 73 == raised.value.code
