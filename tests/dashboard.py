"""The dashboard that deploy/ ships, as its panels and variables ask Prometheus."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.appliance import REPOSITORY

FILE = REPOSITORY / "deploy/grafana/syslogauth.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(title of the panel, legend, query), every one of every panel."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["legendFormat"], target["expr"]


def variables(dashboard: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Those that Prometheus knows the values of: name -> label, selector."""
    asked = {each["name"]: each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"}
    taken = {name: re.fullmatch(r"label_values\((.+), (\w+)\)", query) for name, query in asked.items()}
    return {name: (found[2], found[1]) for name, found in taken.items() if found}
