"""Every metric that the README, the manual, the rules or the dashboard names is on /metrics, with the labels that they ask for."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector

from syslogauth import vitals
from syslogauth.core.login import OUTCOMES
from syslogauth.listeners.stream import Ending
from syslogauth.metrics import COUNTER, FAMILIES, HISTOGRAM
from syslogauth.table import Committed
from tests.appliance import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
RULES = DEPLOY / "prometheus/syslogauth.rules.yml"
QUERIES = (RULES, DEPLOY / "grafana/rows.py", DEPLOY / "grafana/syslogauth.json")
TEXTS = [file for file in (REPOSITORY / "README.md", *sorted(DEPLOY.rglob("*"))) if file.is_file() and file.suffix != ".pyc"]
NAMED = re.compile(r"(?<![\w:/.$-])syslogauth_[a-z0-9_]+\b(?!\.yml)")
STANDARD = re.compile(r"(?<![\w:])(?:process|python)_[a-z_]+\b")
ASKED = re.compile(r"(?<![\w:])((?:syslogauth|process)_[a-z0-9_]+|up)\{([^{}]*)\}")
GROUPED = re.compile(r"\b(?:by|on|group_left|ignoring) \(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance"}
CLOSED = {
    ("syslogauth_grants_total", "kind"): Committed._fields,
    ("syslogauth_outcomes_total", "outcome"): OUTCOMES,
    ("syslogauth_stream_connections_ended_total", "reason"): tuple(Ending),
}


def samples() -> Iterator[tuple[str, set[str]]]:
    """Each name that /metrics may have, and its labels."""
    for name, (kind, _, labels) in FAMILIES.items():
        if kind == HISTOGRAM:
            yield from ((f"syslogauth_{name}{end}", {*labels, "le"}) for end in ("_bucket", "_count", "_sum", ""))
        else:
            yield f"syslogauth_{name}{'_total' if kind == COUNTER else ''}", set(labels)
    registry = CollectorRegistry()
    PlatformCollector(registry)
    vitals.register(registry)
    yield from ((sample.name, set(sample.labels)) for family in registry.collect() for sample in family.samples)
    for line in (DEPLOY / "prometheus/syslogauth-map-mtime").read_text().splitlines():
        if found := re.search(r"# TYPE (\w+) gauge", line):
            yield found[1], {"map"}


LABELS = dict(samples())
RECORDED = set(re.findall(r"record: (\S+)", RULES.read_text()))
VARIABLES = {word for file in (DEPLOY / "rc.d").iterdir() for word in NAMED.findall(file.read_text())}  # of rc.conf


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_metric_that_is_named_there_is_on_the_page(file: Path) -> None:
    text = file.read_text()
    named = {*NAMED.findall(text)} - (set() if file in QUERIES else VARIABLES)
    if file in QUERIES:
        named |= {*STANDARD.findall(text)}
    assert set() == named - LABELS.keys()


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_label_that_is_asked_for_is_one_of_its_metric(file: Path) -> None:
    for name, inside in ASKED.findall(file.read_text()):
        for asked in filter(None, inside.replace("ALL", "").split(",")):
            label = re.match(r"\w*", asked.strip())[0]
            assert label in LABELS.get(name, set()) | OF_PROMETHEUS, f"{name}{{{inside}}}"
            if values := CLOSED.get((name, label)):
                words = set(re.findall(r"[a-z_]+", asked.partition("=")[2] or asked.partition("~")[2]))
                assert set() == words - {*values}, f"{name}{{{inside}}}"


@pytest.mark.parametrize("file", QUERIES, ids=lambda file: file.name)
def test_nothing_is_summed_up_by_a_label_that_there_is_not(file: Path) -> None:
    grouped = {label.strip() for labels in GROUPED.findall(file.read_text()) for label in labels.split(",")} - {"", "{by}", "{grouped}"}
    assert grouped
    assert set() == grouped - set().union(*LABELS.values()) - OF_PROMETHEUS


def test_every_recorded_name_that_an_alert_asks_for_is_recorded() -> None:
    assert RECORDED == set(re.findall(r"\binstance:[a-z0-9_:]+", RULES.read_text()))


def test_the_readme_names_the_metrics_that_are_to_be_watched() -> None:
    assert len(set(NAMED.findall((REPOSITORY / "README.md").read_text())) & LABELS.keys()) > 8
