"""The kinds of panel that make.py lays out, each as Grafana stores it."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

ALL = 'job=~"$job",instance=~"$instance"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, ORANGE, RED = "green", "orange", "red"


def panel(kind: str, title: str, queries: Mapping[str, str], unit: str, words: str, *, width: int = 8, height: int = 7) -> Json:
    """A panel of any kind. `queries`: legend -> what is asked."""
    targets: list[Json] = [
        {"refId": chr(ord("A") + n), "datasource": SOURCE, "editorMode": "code", "expr": query.replace("ALL", ALL), "legendFormat": legend}
        for n, (legend, query) in enumerate(queries.items())
    ]
    return {
        "type": kind,
        "title": title,
        "description": words,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "noValue": "none"}, "overrides": []},
        "gridPos": {"h": height, "w": width},
        "targets": targets,
    }


def graph(
    title: str, queries: Mapping[str, str], unit: str, words: str, *, stacked: bool = False, limit: float = 0, low: bool = True
) -> Json:
    """Lines over time, drawn red beyond `limit`. `low`: they begin at zero."""
    made = panel("timeseries", title, queries, unit, words)
    custom = {
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if limit else "off"},
    }
    made["fieldConfig"]["defaults"] |= {"custom": custom, "thresholds": thresholds(red=limit)} | ({"min": 0} if low else {})
    made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return made


def number(
    title: str, query: str, unit: str, words: str, *, orange: float = 0, red: float = 0, says: Mapping[int, str] | None = None
) -> Json:
    """The figure as it stands. `says`: words for its values, 0 being the bad one."""
    made = panel("stat", title, {"__auto": query}, unit, words, width=3, height=4)
    for target in made["targets"]:
        target["instant"] = True
    made["fieldConfig"]["defaults"]["thresholds"] = thresholds(orange, red)
    if says:
        colours = {value: {"text": text, "color": GREEN if value else RED} for value, text in says.items()}
        made["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": colours}]
    made["options"] = {"graphMode": "none", "colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return made


def heatmap(title: str, query: str, words: str) -> Json:
    """A histogram over time."""
    made = panel("heatmap", title, {"{{le}}": query}, "short", words)
    made["targets"][0]["format"] = "heatmap"
    made["options"] = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64},
        "yAxis": {"unit": "s"},
    }
    return made


def grid(title: str, by: str, columns: Mapping[str, tuple[str, str]], words: str) -> Json:
    """A line for each value of the label `by`. `columns`: heading -> query, unit."""
    made = panel("table", title, {heading: query for heading, (query, _) in columns.items()}, "short", words, width=12)
    for target in made["targets"]:
        target |= {"format": "table", "instant": True}
    headings = {f"Value #{target['refId']}": target["legendFormat"] for target in made["targets"]}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {by: 0}, "renameByName": headings}},
    ]
    made["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": unit}]}
        for heading, (_, unit) in columns.items()
    ]
    return made


def thresholds(orange: float = 0, red: float = 0) -> Json:
    steps: list[Json] = [{"color": GREEN, "value": None}, {"color": ORANGE, "value": orange}, {"color": RED, "value": red}]
    return {"mode": "absolute", "steps": [step for step in steps if step["value"] is None or step["value"]]}


def quantiles(name: str, by: str = "") -> dict[str, str]:
    """Half, nine of ten and 99 of 100 of what a histogram has seen."""
    legend, grouped = (f" {{{{{by}}}}}", f"le, {by}") if by else ("", "le")
    return {
        f"{share}{legend}": f"histogram_quantile({share}, sum by ({grouped}) (rate({name}_bucket{{ALL}}[$__rate_interval])))"
        for share in (0.5, 0.9, 0.99)
    }


def rate(name: str, by: str, more: str = "") -> dict[str, str]:
    """A counter a second, summed up by these labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return {legend: f"sum by ({by}) (rate({name}{{ALL{more}}}[$__rate_interval]))"}
