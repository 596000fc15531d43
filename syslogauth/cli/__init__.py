"""The commands. Each verb's module is imported only when the verb is asked for: `test ADDRESS` must start in milliseconds.

A user's mistake is one line on standard error and an exit code of sysexits(3): 64 usage, 69 unavailable, 78 configuration.
"""

import os
import sys

TYPE_CHECKING = False  # as typing has it, whose import takes a third of the time that `test` has
if TYPE_CHECKING:
    from collections.abc import Sequence

EX_NO = 1  # an answer, not an error: `test` of an address that may not relay


class CommandError(Exception):
    """A mistake or a lack that ends a command: one line for the user, and the exit code."""

    def __init__(self, text: str, code: int = os.EX_UNAVAILABLE) -> None:
        super().__init__(text)
        self.code = code


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run one command; its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except CommandError as error:
        print(error if error.code == os.EX_CONFIG else f"syslogauth: {error}", file=sys.stderr)  # the mistakes name their file
        return error.code
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_OK
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    if len(words) == 2 and words[0] == "test" and not words[1].startswith("-"):  # fail2ban's question: argparse would take 13 ms of its 40
        from syslogauth.cli.test import answer

        return answer(words[1], None)
    from importlib import import_module

    from syslogauth.cli.words import VERBS, parser

    arguments = parser(words[0] if words else "").parse_args(words)
    return int(import_module(f"syslogauth.cli.{VERBS[arguments.verb][0]}").main(arguments))
