"""The hot path takes no more than a fifth more instructions than when that was last accepted: `benchmarks/instructions.py`."""

import json
from pathlib import Path

from benchmarks.instructions import ACCEPT, PYTHON, Count, accept, baseline, count, faults, gains, ratios, table
from tests.needs import missing, need


def test_no_work_of_the_hot_path_has_grown_by_a_fifth(tmp_path: Path) -> None:
    valgrind, accepted = need("valgrind"), baseline()
    if not accepted:
        missing(f"a baseline for Python {PYTHON} ({ACCEPT})")
    counts = count(tmp_path, valgrind)
    found = faults(ratios(counts), accepted)
    assert [] == found, "\n".join((*found, table(counts, accepted)))


def test_a_jump_of_21_per_cent_is_said_with_its_workload_and_both_figures_and_19_are_not() -> None:
    (said,) = faults({"login": 1.21, "grant": 1.19}, {"login": 1.0, "grant": 1.0})
    assert f"login: 1.2100 of a turn of the reference, +21.0% on the 1.0000 of the baseline; if it must be so: {ACCEPT}" == said


def test_a_drop_of_more_than_a_fifth_says_that_it_may_be_kept_and_is_no_fault() -> None:
    found, accepted = {"login": 0.79, "grant": 0.81}, {"login": 1.0, "grant": 1.0}
    assert [] == faults(found, accepted)
    assert [f"login: 0.7900 of a turn of the reference, -21.0% on the 1.0000 of the baseline; keep it: {ACCEPT}"] == gains(found, accepted)


def test_a_workload_without_a_baseline_and_a_baseline_without_its_workload_are_faults() -> None:
    said = faults({"new": 1.0, "same": 1.0}, {"gone": 1.0, "same": 1.0})
    assert [f"new: counted, but not in the baseline; {ACCEPT}", f"gone: in the baseline, but no longer counted; {ACCEPT}"] == said


def test_what_is_accepted_is_the_baseline_of_that_python_alone(tmp_path: Path) -> None:
    file = tmp_path / "instructions.json"
    accept({"login": 1.5}, "3.11", file)
    accept({"login": 1.234567}, "3.12", file)
    accept({"login": 0.5, "grant": 2.0}, "3.11", file)
    assert {"3.11": {"login": 0.5, "grant": 2.0}, "3.12": {"login": 1.23457}} == json.loads(file.read_text())
    assert {"login": 1.23457} == baseline("3.12", file)
    assert {} == baseline("3.13", file)


def test_the_table_shows_what_has_no_baseline_yet_without_one() -> None:
    counts = {"reference": Count(2000.0, 1.0), "login": Count(1000.0, 0.5), "grant": Count(200.0, 0.1)}
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table(counts, {"login": 0.4}).splitlines()[2:]]
    assert [
        ["reference", "2,000", "1.0000", "", ""],
        ["login", "1,000", "0.5000", "0.4000", "+25.0%"],
        ["grant", "200", "0.1000", "", ""],
    ] == rows
