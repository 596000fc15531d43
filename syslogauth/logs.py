"""Logging: structlog to standard error, for people on a terminal and as JSON elsewhere. Never to syslog: it would read itself.

Nothing is logged for a datagram. One line each for a start, a stop, a reload, a failure and its end, and what tidings.py tells of peers and
refusals. A line is a line whatever a value holds: what is not printable (control bytes, ESC, line feeds, marks that turn the direction of
writing) is written as its escape, and a terminal gets each text in quotes that is more than a word.
"""

import contextlib
import logging
import re
import sys
from typing import Any, TextIO, cast

import structlog

WORD = re.compile(r"[\w./:@%+,-]+", re.ASCII)


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


class _Quoted:
    """A text that renders as Python writes it, whatever a version of structlog does to strings."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return repr(self.text)


def printable(value: Any) -> Any:
    """The value with every character of its texts that is not printable written as its escape."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    return value


def _escaped(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: value if key == "exception" else printable(value) for key, value in line.items()}


def _quoted(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    ours = ("event", "level", "timestamp", "exception")
    return {
        key: value if key in ours or not isinstance(value, str) or WORD.fullmatch(value) else _Quoted(value) for key, value in line.items()
    }


def configure(log_format: str, level: str, process: str, stream: TextIO = sys.stderr) -> structlog.stdlib.BoundLogger:
    """The logger of a process. `log_format`: auto, console or json; `level`: debug, info, warning or error."""
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if console else [structlog.processors.format_exc_info]),
            _escaped,
            *([_quoted] if console else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Heedless(stream))),
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(process=process)
    return logger
