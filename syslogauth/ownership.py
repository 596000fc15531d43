"""Who keeps a state directory: its owner, to whom root gives way (law 11), and the locks that make daemon and exporter the only ones.

Standard library alone: `syslogauth test` imports this.
"""

import fcntl
import os
import pwd


def owner_of(directory: str | os.PathLike[str]) -> tuple[int, int]:
    """User id of the directory's owner, and that user's own group: the directory's may be 0, for root's sendmail to read a map in it."""
    found = os.stat(directory)
    try:
        return found.st_uid, pwd.getpwuid(found.st_uid).pw_gid
    except KeyError:
        return found.st_uid, found.st_gid


def act_as_owner(directory: str | os.PathLike[str]) -> None:
    """As root, act as the owner from here on, so that a command leaves no file behind that locks the daemon out."""
    if os.geteuid() == 0:
        user, group = owner_of(directory)
        os.setgroups([])
        os.setegid(group)
        os.seteuid(user)


def act_as_invoker() -> None:
    """Undo act_as_owner(): where root was asked to write may be no place for the owner."""
    os.seteuid(os.getuid())
    os.setegid(os.getgid())


def give_up_root(directory: str | os.PathLike[str]) -> bool:
    """As root, become the owner for good: root was good for binding port 514, and for nothing else. False where the owner is root.

    The owner keeps the groups that it is a member of: one of them may be allowed to read a followed log.
    """
    user, group = owner_of(directory)
    if os.geteuid() == 0 and user != 0:
        os.setgroups(_groups_of(user, group))
        os.setgid(group)
        os.setuid(user)
    return os.geteuid() != 0


def _groups_of(user: int, group: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:
        return []


def take_lock(path: str | os.PathLike[str]) -> int | None:
    """An exclusive lock on the file, made where it is missing and given to the directory's owner; None where another has it.

    Held until the descriptor is closed, by a death too. Raises OSError.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.geteuid() == 0:
            os.fchown(file, *owner_of(os.path.dirname(path)))
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file
