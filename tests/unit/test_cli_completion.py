"""`completion`: the real shells take the script, and bash completes with it."""

import shlex
import subprocess
from pathlib import Path

import pytest

from syslogauth.cli.words import VERBS
from tests.needs import need
from tests.site import ask

HIDDEN = {verb for verb, (_, words, _) in VERBS.items() if not words}
WORDS = (
    ["syslogauth", ""],
    ["syslogauth", "re"],
    ["syslogauth", "list", "--"],
    ["syslogauth", "completion", ""],
    ["syslogauth", "stats", "--j"],
)
FILES = (["syslogauth", "list", "--config", "our"], ["syslogauth", "replay", "our"])
ASK = """
. ./script
ask() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    $(complete -p syslogauth | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    echo "${COMPREPLY[*]}"
}
"""


def script(shell: str, directory: Path) -> Path:
    done = ask(["completion", shell])
    assert (0, "") == (done.returncode, done.stderr)
    path = directory / "script"
    path.write_text(done.stdout)
    return path


def test_bash_completes_verbs_options_choices_and_files(tmp_path: Path) -> None:
    script("bash", tmp_path)
    (tmp_path / "our.toml").touch()
    program = ASK + "\n".join(f"ask {shlex.join(words)}" for words in (*WORDS, *FILES))
    done = subprocess.run(["bash", "--norc", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    verbs, begun, options, shells, option, config, log = (line.split() for line in done.stdout.splitlines())
    assert VERBS.keys() - HIDDEN == set(verbs)
    assert {verb for verb in VERBS if verb.startswith("re")} - HIDDEN == set(begun)
    assert {"--config", "--json", "--user", "--network", "--by-user"} == set(options) - {"--help"}
    assert {"bash", "zsh", "tcsh", "fish"} == set(shells)
    assert (["--json"], ["our.toml"], ["our.toml"]) == (option, config, log)
    assert "" == done.stderr


ZSH = {  # how its user may load it -> the function that completes then
    "fpath=($PWD $fpath)\ncompinit -u -d ./dump\nautoload -Uz +X _syslogauth": "_syslogauth",
    'compinit -u -d ./dump\neval "$(<_syslogauth)"': "_shtab_syslogauth",
}


@pytest.mark.parametrize("load", ZSH)
def test_zsh_takes_it_from_its_path_of_functions_and_from_a_start_file(tmp_path: Path, load: str) -> None:
    path = script("zsh", tmp_path).rename(tmp_path / "_syslogauth")
    program = f"autoload -Uz compinit\n{load}\nprint $_comps[syslogauth]\nwhence -w $_comps[syslogauth]"
    done = subprocess.run([need("zsh"), "-f", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (f"{ZSH[load]}\n{ZSH[load]}: function\n", "") == (done.stdout, done.stderr)
    assert [] == [verb for verb in HIDDEN if verb in path.read_text()]


def test_tcsh_takes_it(tmp_path: Path) -> None:
    script("tcsh", tmp_path)
    done = subprocess.run(
        [need("tcsh"), "-f", "-c", "source ./script; complete syslogauth"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert "check-config" in done.stdout
    assert [] == [verb for verb in HIDDEN if verb in done.stdout]


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_hidden_verbs_are_not_in_the_help(words: list[str]) -> None:
    said = ask(words).stdout.split()
    assert [] == [verb for verb in HIDDEN if verb in said]


def test_fish_is_made_for_or_its_lack_is_said() -> None:
    import shtab

    done = ask(["completion", "fish"])
    if "fish" in shtab.SUPPORTED_SHELLS:
        assert (0, "") == (done.returncode, done.stderr)
        assert "check-config" in done.stdout
    else:
        assert (69, f"syslogauth: shtab {shtab.__version__} knows no fish; install a newer one\n") == (done.returncode, done.stderr)
