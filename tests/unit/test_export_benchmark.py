"""The smallest run of the benchmark of the exporter: that it measures at all, and finds what it looks for."""

import sys
from pathlib import Path

import pytest

from benchmarks import export


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_the_exporter_is_followed_and_every_figure_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "SECONDS", 2.0)
    monkeypatch.setattr(export, "SETTLING_SECONDS", 1.0)
    monkeypatch.setattr(export, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(export, "LEAD_SECONDS", (0.5, 0.0))
    figures = export.measure(1, tmp_path, [2000])
    (found,) = figures["followed"]["2000"]  # type: ignore[index]
    assert found["waits"] > 20
    assert 0 < found["wait_p50"] <= found["wait_p99"] <= found["wait_max"]
    assert 0 < found["lock_p50"] <= found["lock_max"]
    assert 0 < found["cpu_share"] < 1
    assert found["publications_a_second"] > 0.5
    assert "| 2,000 |" in export.table(figures)
    assert [] == list(tmp_path.glob("export-2000-*"))
