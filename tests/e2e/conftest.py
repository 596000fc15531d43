"""A running daemon of its own for each test that asks for one: see running.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.appliance.stop()
    if site.appliance.running and site.appliance.running.poll() is None:
        site.appliance.running.kill()
