"""`python -m syslogauth.doctor.examine STATE_DIRECTORY`: read all of the table's file, in a process of its own, which a torn file may kill.

Two lines of JSON come out: what LMDB says of it ({"entries", "used_bytes", "map_size_bytes", "stale_readers", "engine"}), then what a whole
reading found ({"problems": [...], "seconds"}). Where it cannot be opened: {"fault": why}. As root it goes on as the owner of the directory.
A reading transaction is kept open meanwhile, so that a writer leaves the pages that are read as they are.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import lmdb

from syslogauth.environment import TableError
from syslogauth.ownership import act_as_owner
from syslogauth.record import decode

PROBLEMS_AT_MOST = 5


def main(state_directory: str) -> int:
    table = str(Path(state_directory) / "table")
    verify = _verifier()
    try:
        act_as_owner(state_directory)
        engine: dict[str, Any] = {"lib_version": 0} if int(lmdb.__version__.partition(".")[0]) >= 3 else {}
        environment = lmdb.open(table, readonly=True, create=False, max_dbs=32, map_size=0, **engine)  # its size is the file's to say
        stale = environment.reader_check()
        with environment.begin() as pinned:
            grants = environment.open_db(b"grants", txn=pinned, create=False)
            info, page_bytes = environment.info(), environment.stat()["psize"]
            said = {
                "entries": pinned.stat(grants)["entries"],
                "used_bytes": (info["last_pgno"] + 1) * page_bytes,
                "map_size_bytes": info["map_size"],
                "stale_readers": stale,
                "engine": ".".join(map(str, lmdb.version())),
            }
            _say(said)
            began = time.monotonic()
            problems = [*map(str, verify(table)), *_bad_records(pinned, grants)]
            _say({"problems": problems[:PROBLEMS_AT_MOST], "seconds": time.monotonic() - began})
    except (TableError, OSError) as error:
        _say({"fault": str(error)})
        return os.EX_UNAVAILABLE
    return os.EX_OK


def _verifier() -> Callable[[str], list[Any]]:
    """Loaded before we go on as a user who may not read our modules."""
    try:
        found: Callable[[str], list[Any]] = import_module("lmdb.verify").verify
    except ModuleNotFoundError:  # before lmdb 3.0
        return lambda _: []
    return found


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _bad_records(pinned: lmdb.Transaction, grants: Any) -> list[str]:
    problems: list[str] = []
    with pinned.cursor(db=grants) as cursor:
        for address, record in cursor:
            try:
                decode(bytes(address), bytes(record))
            except ValueError as error:
                problems.append(f"record {bytes(address).hex()}: {error}")
                if len(problems) >= PROBLEMS_AT_MOST:
                    break
    return problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
