"""A site of its own for each test of a command: see site.py."""

from pathlib import Path

import pytest

from tests.site import Site


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """Configured, never started."""
    return Site(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.make()
    return site
