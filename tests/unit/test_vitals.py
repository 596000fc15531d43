"""The figures that are read without /proc are those that prometheus_client reads from it."""

import os
import resource
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.registry import Collector

from syslogauth import vitals
from tests.needs import need

NEAR = {  # how far two readings right after each other may lie apart
    "process_cpu_seconds_total": 0.5,
    "process_start_time_seconds": 3600.0,  # of this module: it may be imported late in a long run of tests
    "process_resident_memory_bytes": 16 << 20,
    "process_virtual_memory_bytes": 16 << 20,
}


def read(collector: Collector) -> dict[str, float]:
    return {sample.name: sample.value for family in collector.collect() for sample in family.samples}


def test_the_figures_without_proc_are_those_of_proc() -> None:
    need("ps")
    if not Path("/proc/stat").exists():
        need("/proc")
    ours, theirs = read(vitals.Vitals()), read(ProcessCollector(registry=None))
    assert theirs.keys() == ours.keys()
    assert theirs["process_max_fds"] == ours["process_max_fds"]
    assert theirs["process_open_fds"] - 1 == ours["process_open_fds"]  # the one with which /proc is read
    assert {} == {name: (theirs[name], ours[name]) for name, apart in NEAR.items() if abs(theirs[name] - ours[name]) > apart}


def test_a_descriptor_more_is_counted_and_one_that_is_closed_no_longer() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = vitals.open_descriptors(limit)
    ends = os.pipe()
    assert before + 2 == vitals.open_descriptors(limit)
    for end in ends:
        os.close(end)
    assert before == vitals.open_descriptors(limit)


def test_they_are_registered_where_proc_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "ProcessCollector", lambda registry: ProcessCollector(proc="/nonexistent", registry=registry))
    registry = CollectorRegistry()
    vitals.register(registry)
    assert registry.get_sample_value("process_cpu_seconds_total") == pytest.approx(sum(os.times()[:2]), abs=1.0)


@pytest.mark.parametrize("said", ["", "?\n", "  12\n", "12 x\n"])
def test_a_ps_that_says_nothing_useful_takes_two_lines_off_the_page_and_no_more(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ps = tmp_path / "ps"
    ps.write_text(f"#!/bin/sh\nprintf '%s' '{said}'\n")
    ps.chmod(0o755)
    monkeypatch.setattr(vitals, "PS", (str(ps),))
    left = {"process_cpu_seconds_total", "process_start_time_seconds", "process_open_fds", "process_max_fds"}
    assert left == read(vitals.Vitals()).keys()


def test_a_machine_without_ps_has_no_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "PS", ("/nonexistent/ps",))
    assert vitals.resident_and_virtual() is None


def test_ps_speaks_of_kibibytes() -> None:
    need("ps")
    sizes = vitals.resident_and_virtual()
    assert sizes
    rss = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True).stdout
    assert int(rss) * 1024 == pytest.approx(sizes[0], rel=0.2)
    assert 5e6 < sizes[0] < sizes[1]
