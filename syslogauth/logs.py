"""Logging: structlog to standard error, for people on a terminal and as JSON elsewhere. Never to syslog: it would read itself.

Nothing is logged for a datagram. One line each for a start, a stop, a reload, a failure and its end.
"""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog


class _Heedless:
    """A stream whose failures are nobody's: a log reader that died, or a full disk, must not end the daemon or keep a map alive."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure(log_format: str, level: str, process: str, stream: TextIO = sys.stderr) -> structlog.stdlib.BoundLogger:
    """The logger of a process. `log_format`: auto, console or json; `level`: debug, info, warning or error."""
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if console else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Heedless(stream))),
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(process=process)
    return logger
