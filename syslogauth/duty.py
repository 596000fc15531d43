"""How much of a core a process may take: SHARE of the time, and now and then more at once, from what it has saved up.

After each piece of work it says how much CPU time the process has used by then, and is told how long to rest. BURST_SECONDS of CPU time are
saved up while there is less to do: a rare heavy piece is not followed by a long rest. No rest is longer than LONGEST_REST_SECONDS, whatever
the work has cost: expiry must not wait for ever.
"""

SHARE = 0.25
BURST_SECONDS = 3.0
LONGEST_REST_SECONDS = 30.0


class Duty:
    """Times are seconds of a monotonic clock, and of the CPU time of the process."""

    def __init__(self) -> None:
        self._saved = BURST_SECONDS
        self._last: tuple[float, float] | None = None

    def rest_seconds(self, now: float, cpu: float) -> float:
        """How long to do without such a piece of work. What came before the first one, the start of the process, is not counted."""
        began, used = self._last or (now, cpu)
        self._last = now, cpu
        self._saved = min(BURST_SECONDS, self._saved + SHARE * (now - began)) - (cpu - used)
        self._saved = max(self._saved, -SHARE * LONGEST_REST_SECONDS)
        return max(0.0, -self._saved / SHARE)
