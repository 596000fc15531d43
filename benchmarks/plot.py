"""The receive table as an SVG: CPU time a datagram by rate, logarithmic both, a line for each program, whiskers from least to most.

Written by hand, for one picture wants no library. It says in itself how it looks on a dark page (prefers-color-scheme). Flat out is the
hollow point, at the rate that the program took of what was offered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from benchmarks.figures import Sample, Spread, spread
from benchmarks.receive import Cell, Samples

WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 90, 250, 70, 70
COLOURS = ("#2f81f7", "#d1495b", "#b8860b", "#2da160", "#8a63d2", "#768390", "#d9622b", "#0598a6")  # on white and on black
LABEL_APART = 20
STYLE = """
text { font: 14px system-ui, "Helvetica Neue", Arial, sans-serif; fill: #24292f }
.title { font-size: 18px; font-weight: 600 } .small { font-size: 12px; fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 } .page { fill: #ffffff } .leader { stroke-width: 1; stroke-dasharray: 2 3; fill: none }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round } .whisker { stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9da7b3 } .grid { stroke: #30363d } .page { fill: #0d1117 }
}
"""


@dataclass(frozen=True, slots=True)
class Point:
    """`rate` datagrams a second, nanoseconds a datagram."""

    rate: float
    nanoseconds: Spread
    flat_out: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic one: values from `least` to `most` at pixels from `first` to `last`."""

    least: float
    most: float
    first: float
    last: float

    def at(self, value: float) -> float:
        share = (log10(value) - log10(self.least)) / (log10(self.most) - log10(self.least))
        return self.first + share * (self.last - self.first)

    def ticks(self, *steps: int) -> Iterator[float]:
        """The steps of each power of ten that lie on it."""
        for power in range(floor(log10(self.least)), ceil(log10(self.most)) + 1):
            for step in steps:
                if self.least * 0.999 < step * 10.0**power < self.most * 1.001:
                    yield step * 10.0**power


def receive(samples: Samples, machine: str) -> str:
    """The picture, of the share of logins that is nearest to 5 %."""
    share = min({cell.logins for cell in samples}, key=lambda logins: abs(logins - 0.05))
    lines: dict[str, list[Point]] = {}
    for cell, by_server in samples.items():
        if cell.logins == share:
            for name, found in by_server.items():
                lines.setdefault(name, []).append(_point(cell, found))
    return draw(lines, f"CPU time a received datagram, {share:.0%} logins", machine)


def _point(cell: Cell, found: Sequence[Sample]) -> Point:
    rate = spread([(sample.sent - sample.lost) / sample.seconds for sample in found]).median
    return Point(rate, spread([sample.nanoseconds for sample in found]), not cell.rate)


def draw(lines: Mapping[str, Sequence[Point]], title: str, subtitle: str) -> str:
    points = [point for line in lines.values() for point in line]
    across = _axis([point.rate for point in points], LEFT, WIDTH - RIGHT)
    up = _axis([value for point in points for value in (point.nanoseconds.least, point.nanoseconds.most)], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<style>{STYLE}</style><rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="30">{escape(title)}</text><text class="small" x="{LEFT}" y="50">{escape(subtitle)}</text>',
        *_grid(across, up),
    ]
    ordered = {name: sorted(line, key=lambda point: point.rate) for name, line in lines.items()}
    labels = _apart({name: up.at(line[-1].nanoseconds.median) for name, line in ordered.items()})
    for colour, (name, line) in zip(_colours(len(ordered)), ordered.items(), strict=True):
        parts += _line(name, line, colour, across, up, labels[name])
    return "\n".join([*parts, "</svg>", ""])


def _axis(values: Sequence[float], first: float, last: float) -> Axis:
    """From the step below the least value to the step above the most."""
    steps = [step * 10.0**power for power in range(floor(log10(min(values))) - 1, ceil(log10(max(values))) + 2) for step in (1, 2, 5)]
    return Axis(
        max(step for step in steps if step <= min(values) * 0.95), min(step for step in steps if step >= max(values) * 1.05), first, last
    )


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for rate in across.ticks(1):
        x = across.at(rate)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{_rate(rate)}</text>'
    for nanoseconds in up.ticks(1, 2, 5):
        y = up.at(nanoseconds)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 10}" y="{y + 5:.1f}" text-anchor="end">{_time(nanoseconds)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 22}" text-anchor="middle">datagrams received a second (hollow: flat out)</text>'
    yield f'<text x="24" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 24 {HEIGHT / 2})">CPU time a datagram</text>'


def _line(name: str, line: Sequence[Point], colour: str, across: Axis, up: Axis, label_y: float) -> Iterator[str]:
    places = [(across.at(point.rate), up.at(point.nanoseconds.median)) for point in line]
    yield f'<polyline class="line" stroke="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
    for point, (x, y) in zip(line, places, strict=True):
        low, high = up.at(point.nanoseconds.least), up.at(point.nanoseconds.most)
        path = f"M{x - 4:.1f} {low:.1f}h8M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {high:.1f}h8"
        yield f'<path class="whisker" stroke="{colour}" d="{path}"/>'
        fill = 'class="page"' if point.flat_out else f'fill="{colour}"'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {fill} stroke="{colour}" stroke-width="2"/>'
    x, y = places[-1]
    edge = WIDTH - RIGHT + 14
    yield f'<path class="leader" stroke="{colour}" d="M{x + 8:.1f} {y:.1f}L{edge} {label_y - 5:.1f}"/>'
    yield f'<text x="{edge + 4}" y="{label_y:.1f}" style="fill:{colour};font-weight:600">{escape(name)}</text>'


def _apart(wanted: Mapping[str, float]) -> dict[str, float]:
    """Heights of the labels: near to where their lines end, and LABEL_APART or more from each other."""
    placed: dict[str, float] = {}
    last = float(TOP)
    for name, y in sorted(wanted.items(), key=lambda item: item[1]):
        last = placed[name] = max(y + 5, last + LABEL_APART)
    return placed


def _rate(rate: float) -> str:
    return f"{rate / 1e6:g} M/s" if rate >= 1e6 else f"{rate / 1e3:g} k/s" if rate >= 1e3 else f"{rate:g}/s"


def _time(nanoseconds: float) -> str:
    return (
        f"{nanoseconds / 1e6:g} ms" if nanoseconds >= 1e6 else f"{nanoseconds / 1e3:g} µs" if nanoseconds >= 1e3 else f"{nanoseconds:g} ns"
    )
