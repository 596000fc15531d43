"""A configuration with mistakes does not keep from denying: what only looks or takes away goes on with the table, what gives does not."""

import json
import shutil

import pytest

from syslogauth.environment import map_size_bytes
from syslogauth.record import Bounds
from syslogauth.table import Table
from tests.site import A, B, C, Site
from tests.unit.inside import Inside

VANISHED = ("[policy]", '[policy]\nnever_networks_files = ["/nonexistent/clouds"]')
MISTYPED = ("[policy]", "[policy]\ngrace = 1")


@pytest.fixture(params=[VANISHED, MISTYPED], ids=["a file that vanished", "a mistake"])
def broken(request: pytest.FixtureRequest, site: Site) -> Site:
    site.log_in(A, B, C)
    site.config.write_text(site.text.replace(*request.param))
    return site


@pytest.fixture
def inside(site: Site, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(site, capsys)


def test_what_takes_away_or_looks_goes_on_and_says_so(broken: Site, inside: Inside) -> None:
    for words in (("deny", A), ("revoke", B), ("list",), ("show", A)):
        done = inside.ask(*words)
        mistake, going_on = done.stderr.splitlines()[:2]
        assert (0, f"{broken.config}: policy.") == (done.returncode, mistake[: len(f"{broken.config}: policy.")])
        assert f"syslogauth: going on all the same, with the table in {broken.state}" == going_on
    assert [1, 1, 0] == [inside.ask("test", address).returncode for address in (A, B, C)]
    assert [C] == [row["address"] for row in json.loads(inside.ask("list", "--json").stdout)]
    assert ["deny", "revoke"] == [line["verb"] for line in broken.audited()]
    assert "1 grants removed" not in inside.ask("flush").stdout
    assert "2 grants removed; denials stay\n" == inside.ask("flush", "--yes").stdout


@pytest.mark.parametrize("words", [("grant", A), ("export",), ("replay", "-"), ("stats",), ("top", "--once"), ("run",)])
def test_what_gives_or_needs_more_does_not(broken: Site, inside: Inside, words: tuple[str, ...]) -> None:
    done = inside.ask(*words)
    assert (78, "") == (done.returncode, done.stdout)


def test_the_table_keeps_its_size_and_its_bounds(broken: Site, inside: Inside) -> None:
    def kept() -> tuple[int, Bounds]:
        table = Table(broken.state / "table", readonly=True)
        found = table.sizes()["map_size_bytes"], table.bounds
        table.close()
        return found

    before = kept()
    assert 0 == inside.ask("deny", B).returncode
    assert (map_size_bytes(1000), Bounds(1800, 7200)) == before == kept()


@pytest.mark.parametrize("text", ["state_directory = ", 'state_directory = "state"', "state_directory = 7\n[policy]\ngrace = 1"])
def test_where_the_table_cannot_be_told_for_sure_nothing_goes_on(site: Site, inside: Inside, text: str) -> None:
    site.config.write_text(text)
    for words in (("deny", A), ("revoke", A), ("list",)):
        done = inside.ask(*words)
        assert (78, "") == (done.returncode, done.stdout)
        assert "going on" not in done.stderr


def test_without_a_table_none_is_made(broken: Site, inside: Inside) -> None:
    shutil.rmtree(broken.state / "table")
    done = inside.ask("deny", A)
    assert (69, f"syslogauth: {broken.state}: no table yet; start the daemon once") == (done.returncode, done.stderr.splitlines()[-1])
    assert not (broken.state / "table").exists()
