"""The alerting and recording rules that deploy/ ships: promtool takes them, and shows each alert firing and silent."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.appliance import REPOSITORY
from tests.prometheus import promtool

SHIPPED = REPOSITORY / "deploy/prometheus"
RULES = SHIPPED / "syslogauth.rules.yml"
TESTS = sorted(SHIPPED.glob("*_test.yml"))
MTIME = SHIPPED / "syslogauth-map-mtime"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_promtool_finds_no_fault_with_rules_and_configuration() -> None:
    for checked in (promtool("check", "rules", "--lint-fatal", RULES), promtool("check", "config", SHIPPED / "prometheus.yml")):
        assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_each_alert_fires_and_stays_silent_as_its_tests_say() -> None:
    tested = promtool("test", "rules", *TESTS)
    assert 0 == tested.returncode, tested.stdout + tested.stderr


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    cases = [case for file in TESTS for test in yaml.safe_load(file.read_text())["tests"] for case in test["alert_rule_test"]]
    firing = {(case["alertname"], alert["exp_labels"]["severity"]) for case in cases for alert in case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    alerts = {(rule["alert"], rule["labels"]["severity"]) for rule in rules() if "alert" in rule}
    assert len(alerts) > 20
    assert alerts == firing
    assert {name for name, _ in alerts} == silent


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["alert"].startswith("Syslogauth")
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert {"summary", "description"} == rule["annotations"].keys()
            assert not rule["annotations"]["summary"].endswith("."), rule["alert"]
            assert rule["annotations"]["description"].endswith("."), rule["alert"]


# the map's mtime, for when the daemon is dead


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MTIME, *words], capture_output=True, text=True, timeout=10)


def test_the_time_of_each_map_is_written_for_node_exporter(tmp_path: Path) -> None:
    page, kept, missing = tmp_path / "syslogauth.prom", tmp_path / "popauth.db", tmp_path / "missing.db"
    kept.touch()
    page.write_text("old")
    done = run(page, kept, missing)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    expected = f'syslogauth_map_modified_timestamp_seconds{{map="{kept}"}} {int(kept.stat().st_mtime)}'
    assert [expected] == [line for line in page.read_text().splitlines() if not line.startswith("#")]
    assert {page, kept} == set(tmp_path.iterdir())
    assert 0o644 == page.stat().st_mode & 0o777  # node_exporter is somebody else
    checked = promtool("check", "metrics", said=page.read_text())
    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


@pytest.mark.parametrize("words", [(), ("syslogauth.prom",)])
def test_without_a_map_it_says_how_it_is_called(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert 64 == done.returncode
    assert re.fullmatch(r"usage: \S+ DIRECTORY/NAME\.prom MAP\.db\.\.\.\n", done.stderr)


def test_a_page_that_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    done = run(tmp_path / "missing" / "syslogauth.prom", tmp_path)
    assert 0 != done.returncode
    assert done.stderr
