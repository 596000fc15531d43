"""The image that the host's own makemap(8) writes: for a sendmail that reads neither of the formats written here.

makemap works on a temporary name in a private directory and its file's bytes are taken; run on the live map it would empty the map first
and keep the lock until it is done. Keys and values are the same as in the other formats: no NUL, `OK`, the keys not folded once more.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

DIRECTORIES = "/usr/sbin:/usr/local/sbin:/usr/pkg/sbin:/usr/libexec"  # a daemon's PATH may name none of these
CACHE_BYTES = 64 << 20  # the default of 1 MB makes a million entries three times slower
DEADLINE_SECONDS = 120
KEY = re.compile(rb"[^\s\0#][^\s\0]*")  # makemap takes `#` for a comment and ends the key at a blank


def render(keys: Collection[bytes], buckets: int = 0, program: str | None = None) -> bytes:
    """The image of a map that holds `keys`; `buckets` is ignored. `program`: path of makemap, looked for in the usual places by default.

    OSError, with what makemap said, where it is missing or fails; ValueError on a key that its input cannot express.
    """
    if wrong := [key for key in keys if not KEY.fullmatch(key)]:
        raise ValueError(f"makemap cannot be given the key {wrong[0]!r}")
    program = program or shutil.which("makemap") or shutil.which("makemap", path=DIRECTORIES)
    if program is None:
        raise FileNotFoundError(f"makemap is not in PATH nor in {DIRECTORIES}; install it, or set another `format`")
    with tempfile.TemporaryDirectory(prefix="syslogauth-") as directory:
        made = Path(directory, "map")
        # -f: keys as they are. -s: the temporary directory lies under one that is writable by all.
        command = [program, "-f", "-s", "-c", str(CACHE_BYTES), "hash", str(made)]
        try:
            done = subprocess.run(
                command,
                input=b"".join(b"%s\tOK\n" % key for key in sorted(set(keys))),
                capture_output=True,
                timeout=DEADLINE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{program} did not end within {DEADLINE_SECONDS} s") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise OSError(f"{program} failed with exit code {done.returncode}: {said}")
        return made.with_suffix(".db").read_bytes()
