"""The dashboard that deploy/ ships: made from its table, and in the form that Grafana imports anywhere."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from shutil import copytree
from typing import Any

from tests.dashboard import DASHBOARD, FILE, queries, variables

VARIABLE = {"type": "prometheus", "uid": "${datasource}"}
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def test_the_file_is_what_make_py_makes(tmp_path: Path) -> None:
    made = copytree(FILE.parent, tmp_path / "grafana", ignore=lambda *_: ["syslogauth.json", "__pycache__"])
    subprocess.run([sys.executable, "-B", made / "make.py"], check=True, timeout=30)
    assert (made / "syslogauth.json").read_text() == FILE.read_text()


def test_it_names_no_data_source_of_its_own() -> None:
    assert (None, "syslogauth", ["DS_PROMETHEUS"]) == (DASHBOARD["id"], DASHBOARD["uid"], [each["name"] for each in DASHBOARD["__inputs"]])
    [source] = (each for each in DASHBOARD["templating"]["list"] if each["type"] == "datasource")
    assert ("datasource", "${DS_PROMETHEUS}") == (source["name"], source["current"]["value"])
    asking = [panel for panel in PANELS if panel["type"] != "row"]
    assert all(VARIABLE == each["datasource"] for panel in asking for each in (panel, *panel["targets"]))
    assert all(VARIABLE == each["datasource"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query")


def test_job_instance_and_peer_are_chosen_among_those_that_there_are() -> None:
    assert ["job", "instance", "peer"] == list(variables(DASHBOARD))
    for title, legend, query in queries(DASHBOARD):
        assert query.count('job=~"$job",instance=~"$instance"') == query.count("{") - query.count("{}"), (title, legend)


def test_rates_are_taken_over_the_interval_that_grafana_knows_to_fit() -> None:
    for title, _, query in queries(DASHBOARD):
        if "[" in query:
            assert "[$__rate_interval]" in query or ("hour" in title and "[1h]" in query), title


def test_every_panel_has_a_place_a_unit_and_a_word_on_how_to_read_it() -> None:
    assert list(range(1, len(PANELS) + 1)) == [panel["id"] for panel in PANELS]
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert len(panel["targets"]) == len({target["refId"] for target in panel["targets"]})
    covered = {panel["id"]: cells(panel["gridPos"]) for panel in PANELS}
    assert [] == [pair for pair in combinations(covered, 2) if covered[pair[0]] & covered[pair[1]]]
    assert {x for place in covered.values() for x, _ in place} == set(range(24))


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
