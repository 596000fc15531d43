"""deploy/pop-before-smtp.md: its commands walk a host over and back; every option and setting of pop-before-smtp is in it."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from syslogauth.cli.words import VERBS
from syslogauth.config import SECTIONS
from tests.appliance import REPOSITORY
from tests.e2e.manual import READ, RUN, Host, administered_host, blocks, syntax_faults
from tests.needs import missing, need

DEPLOY = REPOSITORY / "deploy"
PAGE = DEPLOY / "pop-before-smtp.md"
OLD, BOTH, NEW, PRIVATE = "192.0.2.41", "192.0.2.42", "192.0.2.43", "127.0.0.9"
OPTIONS = (  # of pop-before-smtp 1.42
    "--config --write --nowrite --debug --nodebug --flock --noflock --reprocess --watchlog --logfile --dbfile --logto --grace --daemon "
    "--version --dumpconfig --list"
)
VARIABLES = (
    "$flock $debug $logto $write $reprocess $grace $dbfile $dbvalue %file_tail 'name' 'interval' 'maxinterval' 'adjustafter' 'resetafter' "
    "'tail' $logtime_pat $pat $out_pat $PID_pat $IP_pat $OK_pat $FAIL_pat $OUT_pat custom_match() $mynet_func $tie_func $flock_func "
    "$add_func $del_func $sync_func $tail_init_func $tail_getline_func $log_func @mynets %db PATH"
)
TIE = """
    use DB_File; use Fcntl qw(:DEFAULT :flock);
    my $hash = tie my %db, 'DB_File', '/etc/mail/popauth.db', O_CREAT|O_RDWR, 0644, $DB_HASH or die $!;
    $db{$_} = 'ok' for @ARGV; $hash->sync; print join ' ', sort keys %db;
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    perl = need("perl")
    if subprocess.run([perl, "-MDB_File", "-e1"], capture_output=True, check=False).returncode:
        missing("DB_File (perl)")
    with administered_host({}, [("old@example.org", BOTH), ("both@example.org", BOTH), ("new@example.org", NEW)]) as host:
        tie(host, OLD, BOTH, PRIVATE)
        yield host


def tie(host: Host, *addresses: str) -> str:
    """What pop-before-smtp does to its file; the keys that are there then."""
    return host.said(f"perl -e '{TIE.replace(chr(39), chr(34))}' -- {' '.join(addresses)}".replace('\\"', '"'))


def test_the_page_walks_a_host_over_and_back(host: Host) -> None:
    done: dict[str, list[str]] = {}
    for block in blocks(PAGE):
        if block.kind not in RUN:
            continue
        ran = host.run(block.text)
        assert 0 == ran.returncode, f"{block}\n{block.text}\n{ran.stdout}{ran.stderr}{host.daemon()}"
        done.setdefault(block.section, []).append(ran.stdout)
        if block.section == "The switch":
            rows = {row["address"]: row["kind"] for row in json.loads(host.said("syslogauth list --json"))}
            assert {OLD: "manual", BOTH: "manual", NEW: "login"} == rows
            keys = host.said("flock -s /etc/mail/popauth.db makemap -u hash /etc/mail/popauth | cut -f1")
            assert {OLD, BOTH, NEW} == set(keys.split())
    assert "not in syslogauth's table" in done["Side by side"][-1]
    assert [OLD, PRIVATE] == [line.partition(":")[0] for line in sorted(done["Side by side"][-1].splitlines(), reverse=True)]
    assert "1 are in policy.never_networks, or no client's addresses, as 127.0.0.9" in done["The switch"][0]
    assert NEW == tie(host, NEW)  # its map was empty, and is its own again
    log = (host.directory / "systemctl.log").read_text().splitlines()
    assert ["stop", "disable", "enable --now"] == [line.removesuffix(" pop-before-smtp.service") for line in log if "pop-before" in line]


def test_the_rest_of_the_blocks_are_shell_or_a_configuration() -> None:
    found = blocks(PAGE)
    assert {block.kind for block in found} <= {*RUN, *READ, "toml"}
    assert [] == syntax_faults([block for block in found if block.kind in READ])


@pytest.mark.parametrize("name", f"{OPTIONS} {VARIABLES}".split())
def test_each_option_and_setting_stands_in_the_first_column_of_a_table(name: str) -> None:
    first = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert any(re.search(rf"(?<![\w$-]){re.escape(name)}(?![\w-])", cell) for cell in first)


@pytest.mark.parametrize("page", ["MANUAL.md", "pop-before-smtp.md"])
def test_the_verbs_and_settings_of_ours_that_a_page_names_exist(page: str) -> None:
    text = (DEPLOY / page).read_text()
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *(block.text for block in blocks(DEPLOY / page))])
    code = re.sub(r"service syslogauth [a-z]+", "", code)
    verbs = set(re.findall(r"(?:^|[\s(|])syslogauth ([a-z][a-z-]*)\b(?![./])", code))
    assert set() == {verb for verb in verbs if verb not in VERBS or not VERBS[verb][1]}
    known = {f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys} | set(SECTIONS)
    sections = "|".join(sorted({name.partition(".")[0] for name in SECTIONS}))
    named = set(re.findall(rf"(?<![.\w])(?:{sections})\.[a-z_][a-z_0-9]*\b", code))
    assert named
    assert set() == named - known - {"audit.log"}


@pytest.mark.parametrize("page", ["MANUAL.md", "pop-before-smtp.md"])
def test_the_options_of_ours_that_a_page_names_exist(page: str) -> None:
    wrong = []
    for block in blocks(DEPLOY / page):
        for verb, words in re.findall(r"\bsyslogauth ([a-z-]+)((?: [^\s|&;<>#]+)*)", block.text):
            known = {name for names, _ in VERBS[verb][2] for name in names} if verb in VERBS else set()
            wrong += [f"{block}: {verb} {word}" for word in words.split() if word.startswith("--") and word not in known | {"--config"}]
    assert [] == wrong
