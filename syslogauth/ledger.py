"""How the figures of several processes become one page.

The parent keeps the last figures of each process; a scrape adds them up, the workers' too. Counters, histograms and times of events of a
process that died are kept: no counter falls, and an alert on the age of an event goes on.
"""

import threading
from collections.abc import Callable, Container, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from syslogauth.core.tally import furthest
from syslogauth.metrics import BOUNDS, COUNTER, FAMILIES, FURTHEST, GAUGE, HISTOGRAM, LATEST, LEAST, Buckets, Labels, Samples

PICKED: dict[str, Callable[[float, float], float]] = {LATEST: max, LEAST: min, FURTHEST: furthest}  # one figure of two; others are added up


class Ledger(Collector):
    """The figures of all processes, as prometheus_client collects them: in the endpoint's threads, while the loop's brings new ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, Samples] = {}
        self._ended: dict[tuple[str, Labels], float | Buckets] = {}

    def update(self, process: str, samples: Samples) -> None:
        """Replace the figures of a running process."""
        with self._lock:
            self._current[process] = samples

    def end(self, process: str) -> None:
        """Keep what a process has counted and when, now that it is gone; its gauges go with it."""
        with self._lock:
            for name, rows in self._current.pop(process, {}).items():
                if FAMILIES[name][0] not in (GAUGE, LEAST, FURTHEST):
                    for labels, value in rows:
                        key = (name, tuple(labels))
                        self._ended[key] = _merged(FAMILIES[name][0], self._ended.get(key), value)

    def forget(self, label: str, kept: Container[str]) -> None:
        """Drop the times of events of what is no longer configured; `label` is what the families have that tell of it."""
        with self._lock:
            for key in [key for key in self._ended if FAMILIES[key[0]][0] == LATEST and FAMILIES[key[0]][2] == (label,)]:
                if key[1][0] not in kept:
                    del self._ended[key]

    def value(self, name: str, labels: Labels = ()) -> float:
        """One figure as it would be scraped; 0 where there is none, the number of observations for a histogram."""
        found = self._totals().get(name, {}).get(labels, 0.0)
        return sum(found[:-1]) if isinstance(found, list) else found

    def by_label(self, name: str) -> dict[str, float]:
        """The figures of a family that has one label, by that label."""
        return {labels[0]: value for labels, value in self._totals().get(name, {}).items() if not isinstance(value, list)}

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        for name, (kind, words, label_names) in FAMILIES.items():
            rows = totals.get(name)
            if rows:
                yield _family("syslogauth_" + name, kind, words, label_names, rows, BOUNDS.get(name, ()))

    def _totals(self) -> dict[str, dict[Labels, float | Buckets]]:
        totals: dict[str, dict[Labels, float | Buckets]] = {}
        with self._lock:
            for (name, labels), value in self._ended.items():
                totals.setdefault(name, {})[labels] = value
            current = list(self._current.values())
        for samples in current:
            for name, rows in samples.items():
                family = totals.setdefault(name, {})
                for labels, value in rows:
                    family[tuple(labels)] = _merged(FAMILIES[name][0], family.get(tuple(labels)), value)
        return totals


def _merged(kind: str, old: float | Buckets | None, new: float | Buckets) -> float | Buckets:
    if isinstance(new, list):
        return [a + b for a, b in zip(old, new, strict=True)] if isinstance(old, list) else new
    if not isinstance(old, (int, float)):
        return new
    pick = PICKED.get(kind)
    return old + new if pick is None else pick(old, new)


def _family(
    name: str, kind: str, words: str, label_names: Labels, rows: Mapping[Labels, float | Buckets], bounds: tuple[float, ...]
) -> Metric:
    if kind == HISTOGRAM:
        histograms = HistogramMetricFamily(name, words, labels=label_names)
        for labels, state in sorted(rows.items()):
            if isinstance(state, list):
                seen, buckets = 0.0, []
                for bound, count in zip((*map(str, bounds), "+Inf"), state[:-1], strict=True):
                    seen += count
                    buckets.append((bound, seen))
                histograms.add_metric(labels, buckets, sum_value=state[-1])
        return histograms
    family = (CounterMetricFamily if kind == COUNTER else GaugeMetricFamily)(name, words, labels=label_names)
    for labels, value in sorted(rows.items()):
        if not isinstance(value, list):
            family.add_metric(labels, value)
    return family
