"""One live map: its keys from the live addresses, its image, and when it is written.

The first change after a quiet time is published at once, the next ones at most every `min_interval_seconds`. Even without a change the
image is held against the file every CHECK_SECONDS, so that bytes that somebody else wrote are put right, and the mtime is moved every
TOUCH_SECONDS: a map whose mtime stands still has lost its keeper (law 7). A failure keeps the old map, is logged once, and is retried
after RETRY_SECONDS.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from syslogauth.exports import EXPORTS, hash2, hash9
from syslogauth.exports.sendmail_hash import HEAD_BYTES, detect, identify, map_keys
from syslogauth.metrics import Histogram, Labels, Samples, histogram
from syslogauth.publish import ForeignFileError, Published, Publisher
from syslogauth.settings import map_file

CHECK_SECONDS = 5.0
TOUCH_SECONDS = 30.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
BUCKET_COUNTS = {"hash9": hash9.bucket_count, "hash2": hash2.bucket_count}


@dataclass(frozen=True, slots=True)
class MapSettings:
    """One export. `path` is without `.db`, as makemap takes it; `format` is auto or a name of EXPORTS."""

    path: Path
    format: str
    ipv6_form: str
    key_prefix: str
    min_interval_seconds: float
    mode: int

    def keys(self, addresses: Collection[bytes]) -> set[bytes]:
        return {key for address in addresses for key in map_keys(address, self.ipv6_form, self.key_prefix)}


@dataclass(slots=True)
class Map:
    """The map of one export. Times are monotonic, but for `last_success`, which is Unix seconds."""

    settings: MapSettings
    log: structlog.stdlib.BoundLogger
    publisher: Publisher = field(init=False)
    duration_seconds: Histogram = field(default_factory=lambda: histogram("export_duration_seconds"))
    lock_seconds: Histogram = field(default_factory=lambda: histogram("export_lock_seconds"))
    results: dict[str, int] = field(default_factory=lambda: {"published": 0, "whole": 0, "failed": 0})
    entries: int = 0
    reason: str = "not published yet"
    last_success: float = 0.0
    stale: bool = True
    foreign: bool = False  # somebody else's file is in its place: there is nothing to empty
    _image: bytes = b""
    _next: float = 0.0  # not before
    _check: float = 0.0
    _touch: float = 0.0
    _failures: int = 0

    def __post_init__(self) -> None:
        self.publisher = Publisher(map_file(self.settings.path), self.settings.mode)

    @property
    def name(self) -> str:
        return str(self.settings.path)

    def due(self, now: float) -> bool:
        """Whether keep() has anything to do."""
        return now >= self._next and (self.stale or now >= self._check)

    def keep(self, addresses: Collection[bytes], now: float) -> bool:
        """Publish what is due. True where the map now says what the table says; False where that failed, and is to be tried again."""
        began = time.perf_counter()
        try:
            if self.stale or not self._image:
                self._image = self._render(addresses)
            touch = now >= self._touch
            published = self.publisher.publish(self._image, touch=touch)
        except (OSError, ValueError) as error:
            self._failed(error, now)
            return False
        self._succeeded(published, time.perf_counter() - began, len(addresses), now)
        if touch or published.bytes_written:
            self._touch = now + TOUCH_SECONDS
        return True

    def _render(self, addresses: Collection[bytes]) -> bytes:
        name = self.settings.format
        if name == "auto":
            name = detect(self.publisher.path)
            if name not in EXPORTS:
                raise ValueError(f"the sendmail of this host reads {name} maps, which are not written here; build it with NEWDB")
        # the last image is of another kind where auto has found that the host's sendmail now reads another
        same_kind = name in BUCKET_COUNTS and identify(self._image[:HEAD_BYTES]) == name
        buckets = BUCKET_COUNTS[name](self._image) if same_kind else 0
        return EXPORTS[name](self.settings.keys(addresses), buckets)

    def _succeeded(self, published: Published, seconds: float, entries: int, now: float) -> None:
        if self._failures:
            self.log.info("export works again", export=self.name, failures=self._failures)
        if self.stale or published.bytes_written:
            self.results["whole" if published.whole else "published"] += 1
            self.duration_seconds.observe(seconds)
            self.lock_seconds.observe(published.lock_seconds)
            self._next = now + self.settings.min_interval_seconds
        self.stale, self.foreign, self._failures, self.reason, self.entries = False, False, 0, "", entries
        self.last_success = time.time()
        self._check = now + CHECK_SECONDS

    def _failed(self, error: Exception, now: float) -> None:
        if str(error) != self.reason:
            self.log.error("export failed; the map stays as it was", export=self.name, error=str(error))
        self.results["failed"] += 1
        self.reason, self.stale, self.foreign = str(error), True, isinstance(error, ForeignFileError)
        self._next = now + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1

    def samples(self) -> Samples:
        label: Labels = (self.name,)
        return {
            "exports": [((self.name, result), count) for result, count in self.results.items()],
            "export_duration_seconds": [(label, self.duration_seconds.state())],
            "export_lock_seconds": [(label, self.lock_seconds.state())],
            "export_entries": [(label, self.entries)],
            "export_interval_seconds": [(label, self.settings.min_interval_seconds)],
            "export_last_success_timestamp_seconds": [(label, self.last_success)],
        }
