"""`import FILE`: what pop-before-smtp, or another of its kind, has let in, for a cut-over that no customer notices.

Such a file says who, not for how long: each address gets a manual grant of --seconds from now, with the note `imported from FILE`. The
next login outlasts it and makes it a login's; without one it ends by itself. never_networks are left out, denials stay, and a grant that
lasts longer stays as it is. The file is read under flock(LOCK_SH), as pop-before-smtp locks it. A damaged one is exit 65, and nothing of
it is stored.
JSON, one object: file, format, entries, addresses, seconds, stored, and how many are each of WORDS.
"""

import argparse
import json
import os
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from syslogauth.cli import CommandError
from syslogauth.cli.backup import opened
from syslogauth.cli.site import audit, configuration, open_table, warn_without_keeper
from syslogauth.config import Config
from syslogauth.exports.sendmail_hash import HEAD_BYTES, identify
from syslogauth.importing import READERS, Found, find, hash_pairs, text_pairs
from syslogauth.merge import imported
from syslogauth.publish import read_locked
from syslogauth.table import TableError

LOCK_SECONDS = 10.0
WORDS = {
    "new": "may relay now",
    "later": "may relay for longer now",
    "same": "could for as long or longer already",
    "full": "had no room (policy.max_addresses)",
    "void": "were flushed meanwhile",
    "denied": "are denied, and stay so",
    "never": "are in policy.never_networks, or no client's addresses",
    "refused": "have a value that refuses",
    "network": "are networks or parts of addresses, which have no place in an exact map",
    "no_address": "are no addresses",
}


class Read(NamedTuple):
    """What a file holds."""

    format: str
    addresses: dict[bytes, None]
    wrong: Counter[str]
    examples: dict[str, str]


def main(arguments: argparse.Namespace) -> int:
    config = configuration(arguments.config)
    path, most = arguments.file, config.policy.max_manual_seconds
    seconds = config.policy.grace_seconds if arguments.seconds is None else arguments.seconds
    if not 0 < seconds <= most:
        raise CommandError(f"--seconds {seconds:g}: write more than 0 and at most {most:.10g} (policy.max_manual_seconds)", os.EX_USAGE)
    read = _read(path, arguments.format, config)  # before the table, which makes root its owner: who may not read the file
    counts = Counter(read.wrong)
    if not arguments.nowrite:
        try:
            _store(config, path, read, seconds, counts)
        except TableError as error:
            raise CommandError(f"the table: {error}; what was stored up to here stays") from None
    _report(arguments, read, seconds, counts)
    return os.EX_OK


def _store(config: Config, path: str, read: Read, seconds: float, counts: Counter[str]) -> None:
    table, now = open_table(config), time.time()
    free = [address for address in read.addresses if table.denied_until(address) <= now]
    counts["denied"] = len(read.addresses) - len(free)
    note = f"imported from {''.join(letter if letter.isprintable() else '?' for letter in path)}"
    for (_, word), count in table.merge(imported(free, note, seconds, now), now).items():
        counts[word] += count
    audit(config, "import", file=path, stored=counts["new"] + counts["later"], seconds=seconds)
    warn_without_keeper(config)


def _report(arguments: argparse.Namespace, read: Read, seconds: float, counts: Counter[str]) -> None:
    entries = len(read.addresses) + read.wrong.total()
    if arguments.json:
        known = {word: counts[word] for word in WORDS if counts[word]}
        print(json.dumps({"file": arguments.file, "format": read.format, "entries": entries, "seconds": seconds} | {
            "stored": not arguments.nowrite, "addresses": len(read.addresses), **known}))  # fmt: skip
        return
    print(f"{arguments.file}: {entries} entries ({read.format}), {len(read.addresses)} addresses, {seconds:g} s for each")
    for word, said in WORDS.items():
        if counts[word]:
            example = f", as {read.examples[word]}" if word in read.examples else ""
            print(f"  {counts[word]:>9} {said}{example}")
    if arguments.nowrite:
        print("nothing stored (--nowrite)")


def _read(path: str, form: str, config: Config) -> Read:
    """All of it. CommandError: 65 for a damaged file, 66 where there is none, 75 where somebody keeps it locked."""
    image = _image(path)
    kind = identify(image[:HEAD_BYTES])
    if form == "auto":
        form = "text" if kind is None else "hash"
    if form == "hash" and kind not in READERS:
        what = f"a {kind} file" if kind else "no Berkeley DB hash"
        raise CommandError(f"{path}: is {what}, which is not read here; import it as a text: {_as_text(path, kind)}", os.EX_DATAERR)
    prefixes = [export.key_prefix for export in config.export]
    try:
        pairs = text_pairs(BytesIO(image)) if form == "text" else hash_pairs(image, str(kind))
        found = list(find(pairs, prefixes, config.policy.never_networks))
    except ValueError as error:
        raise CommandError(f"{path}: {error}; nothing of it is stored", os.EX_DATAERR) from None
    wrong = [one for one in found if one.address is None]
    if not any(one.address for one in found) and form == "text" and wrong:
        raise CommandError(f"{path}: has no address, but for one {wrong[0].text!r}; nothing of it is stored", os.EX_DATAERR)
    return Read(str(kind) if form == "hash" else "text", *_sorted(found))


def _sorted(found: list[Found]) -> tuple[dict[bytes, None], Counter[str], dict[str, str]]:
    addresses = dict.fromkeys(one.address for one in found if one.address is not None)
    wrong = [one for one in found if one.address is None]
    return addresses, Counter(one.wrong for one in wrong), {one.wrong: one.text for one in reversed(wrong)}


def _image(path: str) -> bytes:
    if path == "-":
        with opened(path) as text:
            return text.read()
    try:
        return read_locked(Path(path), LOCK_SECONDS)
    except TimeoutError as error:
        raise CommandError(f"{error}; try again", os.EX_TEMPFAIL) from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}", os.EX_NOINPUT) from None


def _as_text(path: str, kind: str | None) -> str:
    return f"{'cdb -d -m' if kind == 'cdb' else 'db_dump -p'} {path} | syslogauth import -"
