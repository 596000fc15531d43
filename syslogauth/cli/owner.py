"""Root gives way to the owner of the state directory (law 11)."""

import contextlib
import os


def act_as_owner(directory: str | os.PathLike[str]) -> None:
    """Give up root for the owner of the directory, so that no command leaves files behind that lock the daemon out (law 11)."""
    if os.geteuid() == 0:
        owner = os.stat(directory)
        with contextlib.suppress(PermissionError):
            os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
