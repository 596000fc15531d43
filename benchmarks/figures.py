"""Arithmetic and tables: what several rounds gave, and how one program compares with another of the same round. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: of `sent` datagrams `lost` were lost; the rest cost `cpu_seconds` (user and system, every process)."""

    sent: int
    lost: int
    cpu_seconds: float
    seconds: float  # that the sending took
    wake_ups: int = 0  # voluntary context switches: how often it waited for more
    late: float = 0.0  # share of the datagrams that the sender was late with

    @property
    def nanoseconds(self) -> float:
        """CPU time for each datagram that was received."""
        return self.cpu_seconds * 1e9 / max(1, self.sent - self.lost)

    @property
    def loss(self) -> float:
        return self.lost / self.sent


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, the least and the most."""

    median: float
    least: float
    most: float

    def text(self, digits: int = 0) -> str:
        return f"{self.median:.{digits}f} [{self.least:.{digits}f}-{self.most:.{digits}f}]"


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def ratios_to_better(ours: Sequence[float], *others: Sequence[float]) -> list[float]:
    """Ours divided by the better (lower median) of the others, round by round: noise that lasts longer than a round cancels out."""
    better = min(others, key=median)
    return [mine / its for mine, its in zip(ours, better, strict=True)]


def ratio_to_better(ours: Sequence[float], *others: Sequence[float]) -> Spread:
    return spread(ratios_to_better(ours, *others))


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that the share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that is read as well on a terminal as on a page."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in (headings, *rows)]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
