"""The regression guard: how many instructions the work on the hot path takes, counted by callgrind, beside what it took when last accepted.

Unlike seconds, instructions do not depend on what else the machine does: two runs give the same figures, and in another environment, where
memory lies elsewhere, they differ by 2 %. What is compared is the ratio to a reference, a loop of the same kind of Python in the same run
(counted.py), because another build needs more or fewer for everything: between Debian's 3.11.2, optimised, and a plain build of 3.11.7 the
counts differ by a tenth, the ratios by 4 % at most. 3.12 and 3.13 are up to 11 % below 3.11, so each minor version has a baseline of its
own. Held is the one that CI has; for another nothing is compared until somebody accepts what it gives.

A test fails where a ratio is more than TOLERANCE above its baseline. To accept a change on purpose, and to keep a gain:
`./dev bench instructions --accept`, which writes the ratios of this run into instructions.json; commit that file, and say why.

    instructions.json   minor version of Python -> workload -> instructions each, as a share of a turn of the reference

Only user space is counted, so neither system calls nor waits for a disk.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.counted import PARTS, REFERENCE
from benchmarks.figures import markdown

BASELINE = Path(__file__).with_suffix(".json")
REPOSITORY = Path(__file__).parent.parent
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TOLERANCE = 0.2
SECONDS = 600
TOTAL = re.compile(r"^summary: (\d+)$", re.MULTILINE)
ACCEPT = "./dev bench instructions --accept"


@dataclass(frozen=True, slots=True)
class Count:
    """`each`: instructions a datagram, a login, a grant. `ratio`: the same in turns of the reference."""

    each: float
    ratio: float


Ratios = Mapping[str, float]


def count(directory: Path, valgrind: str) -> dict[str, Count]:
    """By workload, the reference among them. The parts run side by side, 20 s on two idle cores. RuntimeError where one fails."""
    with ThreadPoolExecutor(len(PARTS)) as pool:
        found = list(pool.map(lambda part: _count_part(part, directory / part, valgrind), PARTS))
    return {name: each for part in found for name, each in part.items()}


def _count_part(part: str, directory: Path, valgrind: str) -> dict[str, Count]:
    directory.mkdir()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONHASHSEED": "0",
        "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
        "TZ": "UTC0",
    }
    out = directory / "callgrind"
    callgrind = (valgrind, "-q", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-before=getppid")
    said = ""
    for prefix in ((), callgrind):  # at first without: the byte code is made, and a workload that fails says so in a second
        scratch = directory / f"scratch{len(prefix)}"
        scratch.mkdir()
        command = [*prefix, sys.executable, "-m", "benchmarks.counted", part, str(scratch)]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
        said = done.stdout
    rows = [line.split(" ", 1) for line in said.splitlines()]
    dumps = [_total(Path(f"{out}.{number}")) for number in range(1, 2 * len(rows) + 1)]
    eachs = {name: total / int(turns) for (turns, name), total in zip(rows, dumps[1::2], strict=True)}
    return {name: Count(each, each / eachs[REFERENCE]) for name, each in eachs.items()}


def _total(dump: Path) -> int:
    found = TOTAL.search(dump.read_text(errors="replace"))
    if found is None:
        raise RuntimeError(f"{dump}: callgrind wrote no summary")
    return int(found[1])


def ratios(counts: Mapping[str, Count]) -> dict[str, float]:
    return {name: one.ratio for name, one in counts.items() if name != REFERENCE}


def baseline(python: str = PYTHON, file: Path = BASELINE) -> dict[str, float]:
    """Empty where none was accepted for that minor version."""
    kept: dict[str, dict[str, float]] = json.loads(file.read_text())
    return kept.get(python, {})


def accept(accepted: Ratios, python: str = PYTHON, file: Path = BASELINE) -> None:
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept[python] = {name: round(ratio, 5) for name, ratio in accepted.items()}
    file.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n")


def faults(found: Ratios, accepted: Ratios) -> list[str]:
    """What a change must not bring: more than TOLERANCE above the baseline; and a baseline of other workloads says nothing."""
    said = [f"{name}: counted, but not in the baseline; {ACCEPT}" for name in found if name not in accepted]
    said += [f"{name}: in the baseline, but no longer counted; {ACCEPT}" for name in accepted if name not in found]
    return said + [f"{_moved(name, found, accepted)}; if it must be so: {ACCEPT}" for name in _both(found, accepted, 1)]


def gains(found: Ratios, accepted: Ratios) -> list[str]:
    """What fell so far that the baseline no longer guards it."""
    return [f"{_moved(name, found, accepted)}; keep it: {ACCEPT}" for name in _both(found, accepted, -1)]


def _both(found: Ratios, accepted: Ratios, sign: int) -> list[str]:
    return [name for name in found if name in accepted and sign * (found[name] / accepted[name] - 1) > TOLERANCE]


def _moved(name: str, found: Ratios, accepted: Ratios) -> str:
    change = found[name] / accepted[name] - 1
    return f"{name}: {found[name]:.4f} of a turn of the reference, {change:+.1%} on the {accepted[name]:.4f} of the baseline"


def table(counts: Mapping[str, Count], accepted: Ratios) -> str:
    rows = []
    for name, one in counts.items():
        known = accepted.get(name)
        change = f"{one.ratio / known - 1:+.1%}" if known else ""
        rows.append([name, f"{one.each:,.0f}", f"{one.ratio:.4f}", f"{known:.4f}" if known else "", change])
    return markdown(["one", "instructions", f"ratio to the {REFERENCE}", f"baseline of Python {PYTHON}", "change"], rows)
