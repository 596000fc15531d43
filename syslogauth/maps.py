"""One live map: its keys from the live addresses, its image, and when it is written.

The image stays in memory, and the addresses that come and go change their pages of it alone. The first change after a quiet time is
published at once, the next ones at most every `min_interval_seconds`, more rarely where postpone() says so. Even without a change the
image is held against the file every CHECK_SECONDS, so that bytes that somebody else wrote are put right, and the mtime is moved every
TOUCH_SECONDS: a map whose mtime stands still has lost its keeper (law 7). A failure keeps the old map, is logged once, and is retried
after RETRY_SECONDS.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from syslogauth.exports import EXPORTS, LAYOUTS
from syslogauth.exports.image import Image
from syslogauth.exports.sendmail_hash import detect, map_keys
from syslogauth.metrics import Histogram, Labels, Samples, histogram
from syslogauth.publish import ForeignFileError, Published, Publisher, differing
from syslogauth.settings import map_file

CHECK_SECONDS = 5.0
TOUCH_SECONDS = 30.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
MANY_CHANGES = 10_000  # and more than half of the table: then the image is made anew


@dataclass(frozen=True, slots=True)
class MapSettings:
    """One export. `path` is without `.db`, as makemap takes it; `format` is auto or a name of EXPORTS."""

    path: Path
    format: str
    ipv6_form: str
    key_prefix: str
    min_interval_seconds: float
    mode: int

    def keys(self, addresses: Iterable[bytes]) -> Iterator[bytes]:
        """No two addresses have the same: those of IPv4 are folded where they are read (core/address.py)."""
        return (key for address in addresses for key in map_keys(address, self.ipv6_form, self.key_prefix))


@dataclass(slots=True)
class _Made:
    """An image that is made as a whole. `changed` as of Image."""

    content: bytes
    changed: set[int]


@dataclass(slots=True)
class Map:
    """The map of one export. Times are monotonic, but for `last_success`, which is Unix seconds.

    `stale`: keep() has something to write. `breathe` is called again and again while a large image is made, which takes seconds.
    """

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
    breathe: Callable[[], object] = lambda: None
    interval_seconds: float = field(init=False)  # in force
    _image: Image | _Made | None = None
    _changes: set[bytes] = field(default_factory=set)  # addresses that the image may be wrong about
    _next: float = 0.0  # not before
    _check: float = 0.0
    _touch: float = 0.0
    _failures: int = 0

    def __post_init__(self) -> None:
        self.publisher = Publisher(map_file(self.settings.path), self.settings.mode)
        self.interval_seconds = self.settings.min_interval_seconds

    @property
    def name(self) -> str:
        return str(self.settings.path)

    def note(self, addresses: Iterable[bytes]) -> None:
        """These have entered or left since the last keep()."""
        self.stale = True
        self._changes.update(addresses)

    def renew(self) -> None:
        """Have the next keep() make its image from nothing but the addresses that it is given."""
        self.stale, self._image = True, None
        self._changes.clear()

    def due(self, now: float) -> bool:
        """Whether keep() has anything to do."""
        return now >= self._next and (self.stale or now >= self._check)

    def wait_seconds(self, now: float) -> float:
        """How long until a change may be written."""
        return max(0.0, self._next - now)

    def postpone(self, now: float, rest_seconds: float) -> None:
        """Write no earlier than that long from now."""
        self.interval_seconds = max(self.settings.min_interval_seconds, rest_seconds)
        self._next = max(self._next, now + rest_seconds)

    def keep(self, addresses: Collection[bytes], now: float) -> bool:
        """Publish what is due. True where the map now says what the table says; False where that failed, and is to be tried again."""
        began = time.perf_counter()
        try:
            image = self._up_to_date(addresses) if self.stale or self._image is None else self._image
            touch = now >= self._touch
            published = self.publisher.publish(image.content, image.changed, touch=touch)
        except (OSError, ValueError) as error:
            self._failed(error, now)
            return False
        image.changed.clear()  # not before it is known that they are written
        self._succeeded(published, time.perf_counter() - began, len(addresses), now)
        if touch or published.bytes_written:
            self._touch = now + TOUCH_SECONDS
        return True

    def _up_to_date(self, addresses: Collection[bytes]) -> Image | _Made:
        layout = LAYOUTS.get(name := self._format())
        image, self._image = self._image, None  # where this fails, the next one begins anew
        changes, self._changes = self._changes, set()
        if layout is None:
            content = EXPORTS[name](set(self.settings.keys(addresses)), 0)
            unwritten = set(differing(image.content, content)) | image.changed if image else set(differing(b"", content))
            self._image = _Made(content, unwritten)
        elif isinstance(image, Image) and image.layout is layout and len(changes) <= max(MANY_CHANGES, len(addresses) / 2):
            entered = [address for address in changes if address in addresses]
            left = [address for address in changes if address not in addresses]
            image.update(self.settings.keys(entered), self.settings.keys(left))
            self._image = image
        else:
            buckets = image.buckets if isinstance(image, Image) and image.layout is layout else 0
            image = None  # two of them would not fit into memory as easily
            self._image = Image(layout, self.settings.keys(addresses), buckets, self.breathe)
        return self._image

    def _format(self) -> str:
        name = self.settings.format
        if name == "auto":
            name = detect(self.publisher.path)
            if name not in EXPORTS:
                raise ValueError(f"the sendmail of this host reads {name} maps, which are not written here; build it with NEWDB")
        return name

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
        if not self._failures:  # the metric and /-/ready say what it is by now
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
            "export_interval_seconds": [(label, self.interval_seconds)],
            "export_last_success_timestamp_seconds": [(label, self.last_success)],
        }
