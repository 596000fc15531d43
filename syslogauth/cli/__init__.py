"""The commands. Each verb's module is imported only when the verb is asked for: `test ADDRESS` must start in milliseconds.

A user's mistake is one line on standard error and an exit code of sysexits(3), with --json too: what is on standard output is then one
JSON document (one a line where it streams), or nothing.

     0  done, yes            1  an answer, no: `test`, `show`, `export --check`, `grant` of a denied address
    64  the words            65  what a file holds is damaged             66  a file is not there or not to be read
    69  no daemon, no table, no place to listen                           70  a mistake of ours: with its traceback
    73  a map or directory cannot be made                                 74  reading or writing failed
    75  a stop that left a map as it was                                  77  not permitted
    78  the configuration                                                 130  ^C

A crash is 70 and never Python's own 1, which would be an answer: of `test`, that an address may not relay. 71, 72 and 76 are not used.
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
        try:
            sys.stdout.flush()
        except OSError:
            _say_no_more()
        return error.code
    except BrokenPipeError:  # the reader of our output has seen enough
        _say_no_more()
        return os.EX_OK
    except OSError as error:  # where no command could do more about it, such as a full disk below standard output
        print(f"syslogauth: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", file=sys.stderr)
        _say_no_more()
        return os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_IOERR
    except KeyboardInterrupt:
        return 130
    except Exception:  # not caught, but told from an answer
        sys.excepthook(*sys.exc_info())
        return os.EX_SOFTWARE


def _say_no_more() -> None:
    """What is left in the buffer must not fail once more at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    if len(words) == 2 and words[0] == "test" and not words[1].startswith("-"):  # fail2ban's question: argparse would take 13 ms of its 40
        from syslogauth.cli.test import answer

        return answer(words[1], None)
    from importlib import import_module

    from syslogauth.cli.words import VERBS, parser

    arguments = parser(words[0] if words else "").parse_args(words)
    module = VERBS[arguments.verb][0]
    try:
        return int(import_module(f"syslogauth.cli.{module}").main(arguments))
    except OSError as error:
        if module != "run" or isinstance(error, BrokenPipeError):
            raise
        raise RuntimeError(f"{arguments.verb}: an error of the system that none of its parts has caught") from error
