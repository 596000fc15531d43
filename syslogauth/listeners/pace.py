"""The pace of reading: how seldom the sockets are looked at while datagrams come. After an idle time the first is read at once.

A wake-up costs more than a hundred datagrams. So under load a look takes in what has come meanwhile, and the kernel's buffer holds it until
then: the pause grows from FIRST_SECONDS, which is what the beginning of a burst after an idle time meets, to the longest, which the
latency of a login and the size of the buffer allow. Only where nothing has come in a longest pause is it worth while to wait for a wake-up.
"""

FIRST_SECONDS = 0.002
LONGEST_SECONDS = 0.012  # a login is committed half of it after its datagram, and at the worst all of it and one commit
FASTEST = 800_000  # datagrams a second that the buffer must be able to hold for a whole pause: more than a receiver of this kind can read
CHARGED_BYTES = 512  # of the buffer that was asked for, for a short datagram: Linux doubles it, and charges 1016 for 166


class Pace:
    """The pauses between looks at sockets whose receive buffer has `buffer_bytes`."""

    def __init__(self, buffer_bytes: int) -> None:
        self.longest_seconds = min(LONGEST_SECONDS, buffer_bytes / CHARGED_BYTES / FASTEST)
        self.begin()

    def begin(self) -> None:
        """An idle time is over."""
        self._pause_seconds = min(FIRST_SECONDS, self.longest_seconds)

    @property
    def longest(self) -> bool:
        """Whether the pauses have grown as long as they may."""
        return self._pause_seconds == self.longest_seconds

    def pause_seconds(self) -> float:
        """From one look to the next: twice as long as before it."""
        pause_seconds = self._pause_seconds
        self._pause_seconds = min(2 * pause_seconds, self.longest_seconds)
        return pause_seconds
