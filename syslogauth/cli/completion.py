"""`completion SHELL`: the script that teaches a shell to complete the verbs, their options, and names of files.

Made by shtab from the parser that reads the words, so that neither can differ from the other. What it prints is the shell's own language:
no --json. A shell that the installed shtab does not know ends with 69.
"""

import argparse
import os
from collections.abc import Iterator

import shtab

from syslogauth.cli import CommandError
from syslogauth.cli.words import parser

FILES = ("FILE", "LINE")  # what an argument is called whose words are names of files; LINE: of match, with --missed


def main(arguments: argparse.Namespace) -> int:
    if arguments.shell not in shtab.SUPPORTED_SHELLS:
        raise CommandError(f"shtab {shtab.__version__} knows no {arguments.shell}; install a newer one", os.EX_UNAVAILABLE)
    words = parser()
    for action in _actions(words):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's way of being told
    print(shtab.complete(words, arguments.shell))
    return os.EX_OK


def _actions(words: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in words._actions:  # argparse has no other way to ask
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)
