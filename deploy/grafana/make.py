"""Makes syslogauth.json, the dashboard in Grafana's import form: `python deploy/grafana/make.py` after a change here.

rows.py is what there is to review; panels.py knows what Grafana wants of each kind of panel. 24 columns make a line.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from panels import ALL, SOURCE, Json
from rows import ROWS

SCHEMA_VERSION = 41  # of Grafana 12; older ones take what they know of it, newer ones bring it up to date


def laid_out(rows: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
    """The panels with their places and numbers, each row under its heading."""
    made: list[Json] = []
    x = y = 0
    for title, panels in rows:
        made.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        x, y = 0, y + 1
        for each in panels:
            size = each["gridPos"]
            if x + size["w"] > 24:
                x, y = 0, y + size["h"]
            made.append(each | {"gridPos": size | {"x": x, "y": y}})
            x += size["w"]
        y += panels[-1]["gridPos"]["h"]
    return [{"id": number} | each for number, each in enumerate(made, 1)]


def chosen(name: str, label: str, query: str) -> Json:
    """A variable that Prometheus knows the values of; several may be chosen, or all."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> Json:
    """All of it."""
    required = [("grafana", "grafana", "Grafana", "10.0.0"), ("datasource", "prometheus", "Prometheus", "1.0.0")]
    return {
        "__inputs": [
            {"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus", "pluginName": "Prometheus"}
        ],
        "__requires": [{"type": kind, "id": name, "name": title, "version": version} for kind, name, title, version in required],
        "id": None,
        "uid": "syslogauth",
        "title": "syslogauth",
        "description": "POP and IMAP logins, and the map of addresses that may relay for a while",
        "tags": ["mail", "syslog"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {"text": "${DS_PROMETHEUS}", "value": "${DS_PROMETHEUS}"},
                },
                chosen("job", "Job", "label_values(syslogauth_build_info, job)"),
                chosen("instance", "Instance", 'label_values(syslogauth_build_info{job=~"$job"}, instance)'),
                chosen("peer", "Peer", f"label_values(syslogauth_peer_last_message_timestamp_seconds{{{ALL}}}, peer)"),
            ]
        },
        "annotations": {"list": []},
        "panels": laid_out(ROWS),
    }


if __name__ == "__main__":
    Path(__file__).with_name("syslogauth.json").write_text(json.dumps(dashboard(), indent=2) + "\n")
