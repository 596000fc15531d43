"""A publication that ends in the middle: killed, or stopped by a full disk."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from syslogauth.exports import hash9
from syslogauth.publish import Publisher
from tests.keys import random_keys
from tests.needs import need

KEYS = random_keys(3000)
EMPTY = hash9.render([])
IMAGE = hash9.render(KEYS)
ONE_MORE = hash9.render(KEYS | {b"192.0.2.1"}, hash9.bucket_count(IMAGE))
PAGE = 4096
NOBODY = 65534

# Publishes what it reads, and kills itself in the middle of the write with that number; -1 for never. As the user with that id.
PUBLISH = """
import os, signal, sys
from pathlib import Path
from syslogauth.publish import Publisher
left, write = int(sys.argv[2]), os.pwrite
def pwrite(file, content, offset):
    global left
    if left == 0:
        write(file, content[:len(content) // 2], offset)
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return write(file, content, offset)
os.pwrite = pwrite
os.setuid(int(sys.argv[3]))
Publisher(Path(sys.argv[1]), 0o640).publish(sys.stdin.buffer.read())
"""


def publish_elsewhere(
    path: Path, image: bytes, writes: int, limit_bytes: int = resource.RLIM_INFINITY, user: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Publish in a process of its own, which dies in that write, or may make no file longer than that, or runs as another user."""
    return subprocess.run(
        [sys.executable, "-c", PUBLISH, path, str(writes), str(os.getuid() if user is None else user)],
        input=image,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )


def test_a_kill_in_the_middle_of_any_write_is_healed_by_the_next_publication(tmp_path: Path) -> None:
    path = tmp_path / "popauth.db"
    for before in (IMAGE, EMPTY, b"", bytes(len(IMAGE) // 2)):
        torn = 0
        for writes in range(10):
            path.write_bytes(before)
            died = publish_elsewhere(path, ONE_MORE, writes)
            if died.returncode == 0:
                break
            assert -signal.SIGKILL == died.returncode, died.stderr.decode()
            torn += ONE_MORE != path.read_bytes()
            assert Publisher(path, 0o640).publish(ONE_MORE).whole
            assert ONE_MORE == path.read_bytes()
        assert torn
        assert 2 <= writes < 10


def test_a_write_torn_anywhere_spoils_the_changed_entries_alone_while_the_size_stays() -> None:
    gone = set(sorted(KEYS)[::50])
    after = hash9.render(KEYS - gone | random_keys(60, seed=9), hash9.bucket_count(IMAGE))
    assert len(IMAGE) == len(after)
    for torn_at in range(PAGE, len(IMAGE), PAGE):
        torn = IMAGE[:PAGE] + after[PAGE:torn_at] + IMAGE[torn_at:]
        assert {b"OK"} == {hash9.get(torn, key) for key in sorted(KEYS - gone)[::10]}


def test_a_disk_that_is_full_while_the_map_grows_leaves_the_old_content(tmp_path: Path) -> None:
    live = tmp_path / "popauth.db"
    live.write_bytes(EMPTY)
    done = publish_elsewhere(live, IMAGE, -1, limit_bytes=len(EMPTY))
    assert b"File too large" in done.stderr
    assert EMPTY == live.read_bytes()


def test_a_map_of_another_owner_is_published_too_and_its_mtime_moves(tmp_path: Path) -> None:
    need("root")
    path = Path("/run", f"syslogauth-test-{os.getpid()}.db")
    try:
        path.write_bytes(EMPTY)
        path.chmod(0o666)
        # In the same second as the clock, which only the owner may put forward.
        second = int(time.time())
        os.utime(path, (second, second))
        done = publish_elsewhere(path, IMAGE, -1, user=NOBODY)
        assert done.returncode == 0, done.stderr.decode()
        assert path.read_bytes() == IMAGE
        assert int(path.stat().st_mtime) > second
    finally:
        path.unlink()
