"""The running daemon's figures, as its /metrics page has them: for the commands that show or judge what it does."""

import urllib.error
import urllib.request
from http.client import HTTPException

from syslogauth.settings import Endpoint

SCRAPE_SECONDS = 2.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever http_proxy says: it is our own daemon
Figures = dict[str, list[tuple[dict[str, str], float]]]  # sample as it is scraped, without `syslogauth_` -> (labels, value)


def scrape(listen: Endpoint | None) -> Figures | None:
    """The figures of the daemon whose metrics.listen this is; None where there is no such place, nobody answers there, or somebody else."""
    from prometheus_client.parser import text_string_to_metric_families

    if listen is None:
        return None
    try:
        with DIRECT.open(f"http://{listen}/metrics", timeout=SCRAPE_SECONDS) as answer:
            page = answer.read().decode(errors="replace")
    except (OSError, HTTPException):  # URLError is an OSError
        return None
    figures: Figures = {}
    try:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                figures.setdefault(sample.name.removeprefix("syslogauth_"), []).append((dict(sample.labels), sample.value))
    except ValueError:
        return None
    return figures if "build_info" in figures else None


def unready(listen: Endpoint | None) -> str | None:
    """Why the daemon is not ready, in its own words; None where it is."""
    try:
        with DIRECT.open(f"http://{listen}/-/ready", timeout=SCRAPE_SECONDS):
            return None
    except urllib.error.HTTPError as error:  # 503
        with error:
            return error.read(1000).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return f"does not answer: {error}"


def total(figures: Figures, name: str, **labels: str) -> float:
    """The sum of a sample over its other labels; 0 where there is none."""
    return sum(value for of, value in figures.get(name, ()) if labels.items() <= of.items())
