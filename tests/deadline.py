"""Waiting for a condition, with a deadline: the only place where a test sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.02

Seen = TypeVar("Seen")


def wait_until(look: Callable[[], Seen], what: str, seconds: float = 10.0) -> Seen:
    """The first true thing that `look` returns; after `seconds` an AssertionError that says what was waited for and what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}; last seen: {seen!r}")
        time.sleep(POLL_SECONDS)
