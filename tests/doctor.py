"""A site as doctor is told of it, below a root of the test's own; and what a check says of it."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from syslogauth.core.address import Networks
from syslogauth.doctor.finding import Finding, Level
from syslogauth.doctor.site import Site
from syslogauth.settings import Endpoint

NOW = 1_800_000_000.0


def looked_at(root: Path, **others: Any) -> Site:
    """A site on Linux that listens on 127.0.0.1:5140 for this host alone; its daemon does not run. `others` replace what it has."""
    site = Site(
        config_file="",
        state_directory=root / "state",
        udp=(Endpoint("127.0.0.1", 5140),),
        tcp=(),
        tls=(),
        files=(),
        peers=Networks(("127.0.0.0/8", "::1/128")),
        facilities=frozenset(("mail", "local0")),
        receive_buffer_bytes=16777216,
        require_source_port_514=False,
        maps=(),
        metrics=None,
        on_stop="empty",
        silent_after_seconds=900.0,
        scrape=lambda: None,
        root=root,
        platform="linux",
        now=NOW,
    )
    return replace(site, **others)


def levels(found: Iterable[Finding], subject: str = "") -> list[Level]:
    return [finding.level for finding in found if finding.subject.startswith(subject)]


def worst(found: Iterable[Finding], subject: str = "") -> Level:
    """The worst of what was found of a subject."""
    return max(levels(found, subject), key=list(Level).index)
