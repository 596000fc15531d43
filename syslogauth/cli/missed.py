"""What was missed: lines of known servers that look like logins and were refused, grouped by what they have in common.

The same test as the daemon's syslogauth_unrecognised_total. Bounded in groups: a client can make up as many shapes as it likes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from syslogauth.core.formats import Recogniser
from syslogauth.core.formats.grammar import printable
from syslogauth.core.formats.looks import shape
from syslogauth.core.formats.nearest import Explanation, explain
from syslogauth.core.judge import UNBELIEVED, Verdict

CAPACITY = 1000  # groups


@dataclass(slots=True)
class Group:
    """Lines of one tag and one shape. The explanation and the example are those of the first."""

    app_name: str
    shape: str
    outcome: str
    explanation: Explanation
    example: str
    count: int = 0


class Missed:
    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        self.left_over = 0  # lines of shapes beyond the capacity
        self._groups: dict[tuple[str, str], Group] = {}

    def add(self, verdict: Verdict, line: bytes) -> None:
        """Take the line in where it was missed."""
        message = verdict.message
        if message is None or verdict.outcome not in UNBELIEVED or not self.recogniser.overlooks(message):
            return
        app_name, like = printable(message.app_name), printable(shape(message.text).encode())
        group = self._groups.get((app_name, like))
        if group is None:
            if len(self._groups) >= CAPACITY:
                self.left_over += 1
                return
            because = explain(self.recogniser, message, verdict.outcome)
            group = self._groups[app_name, like] = Group(app_name, like, str(verdict.outcome), because, printable(line))
        group.count += 1

    def groups(self) -> list[Group]:
        """The most frequent first."""
        return sorted(self._groups.values(), key=lambda group: -group.count)

    def report(self) -> Iterator[str]:
        for group in self.groups():
            yield f"{group.count:>9}  {group.app_name}  {group.outcome}  {group.shape}"
            yield f"{'':>11}{_nearest(group.explanation)}"
            yield f"{'':>11}{group.example}"
        if self.left_over:
            yield f"{self.left_over:>9}  lines of further shapes"

    def rows(self) -> list[dict[str, object]]:
        """The same for --json."""
        return [
            {
                "count": group.count,
                "app_name": group.app_name,
                "outcome": group.outcome,
                "shape": group.shape,
                "nearest": group.explanation.nearest or None,
                "explanation": group.explanation.words,
                "example": group.example,
            }
            for group in self.groups()
        ]


def _nearest(explanation: Explanation) -> str:
    return f"nearest is {explanation.nearest}: {explanation.words}" if explanation.nearest else explanation.words
