"""What `init` makes on a host, step by step: user, configuration, state directory, maps, service files.

A step knows whether it is done already, the command that does it by hand, and how to do it; what is there is never touched. All of them
are undone by what the manual says of an uninstallation.
"""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syslogauth.cli import CommandError, shipped
from syslogauth.cli.host import USER, Host
from syslogauth.config import Config
from syslogauth.settings import map_file

PRIVILEGED_PORTS = 1024
MANUAL = "/usr/local/share/man"


@dataclass(frozen=True, slots=True)
class Step:
    """`path` is what it makes, without the root directory; `command` does the same by hand; `there`: how it was found, empty where
    not; `text`: of a file, what is in it."""

    what: str
    path: str
    command: str
    make: Callable[[], None]
    there: str = ""
    text: str = ""


def directory_command(directory: Path) -> str:
    return f"install -d -o {USER} -g 0 -m 0750 {directory}"


def map_command(map_: Path) -> str:
    return f"install -o {USER} -g 0 -m 0640 /dev/null {map_}"


def steps(host: Host, config: Config, text: str, file: str, program: str) -> Iterator[Step]:
    """In the order in which they can be made. `config` is that of `text`, which is or will be in `file`."""
    state, maps = config.state_directory, [map_file(export.path) for export in config.export]
    if host.services == "systemd":
        yield _file(host, "user", "/etc/sysusers.d/syslogauth.conf", shipped.sysusers(str(state)))
    yield _user(host, str(state))
    yield _file(host, "configuration", file, text)
    yield _owned(host, "state directory", state, directory_command(state), 0o750)
    for path in maps:
        if host.at(path.parent).is_dir() or path.parent == state:
            yield _owned(host, "map", path, map_command(path), 0o640)
    if host.services == "systemd":
        yield from _systemd(host, config, maps, program)
    if host.services == "rc.d":
        yield _file(host, "service", "/usr/local/etc/rc.d/syslogauth", shipped.text("rc.d/syslogauth"), 0o555)
    for page in ("man5/syslogauth.toml.5", "man8/syslogauth.8"):
        if not host.has(f"{MANUAL}/{page}.gz"):  # which a port has brought
            yield _file(host, "manual", f"{MANUAL}/{page}", shipped.text(f"man/{Path(page).name}"), 0o444)


def _systemd(host: Host, config: Config, maps: Sequence[Path], program: str) -> Iterator[Step]:
    units = "/etc/systemd/system"
    writable = list(dict.fromkeys(map(str, (config.state_directory, *(path.parent for path in maps)))))
    unit = shipped.service(program, writable, host.at("etc/mail").is_dir())
    yield _file(host, "service", f"{units}/syslogauth.service", unit)
    if host.reloads_by_notice:
        yield _file(host, "service", f"{units}/syslogauth.service.d/notify-reload.conf", shipped.notify_reload(program))
    if privileged(config):
        yield _file(host, "service", f"{units}/syslogauth.socket", shipped.datagram_socket(config.listen.udp))
    tmpfiles = shipped.tmpfiles(str(config.state_directory), [str(path) for path in maps])
    yield _file(host, "service", "/etc/tmpfiles.d/syslogauth.conf", tmpfiles)


def privileged(config: Config) -> bool:
    """Whether a place of listen.udp is not for everybody to bind."""
    return any(0 < place.port < PRIVILEGED_PORTS for place in config.listen.udp)


def _user(host: Host, home: str) -> Step:
    root = str(host.root) if host.root != Path("/") else ""
    if host.freebsd:
        words = ["pw", *(["-R", root] if root else []), "useradd", USER, "-d", home, "-s", "/usr/sbin/nologin"]
    elif host.services == "systemd":
        words = ["systemd-sysusers", *([f"--root={root}"] if root else []), "syslogauth.conf"]
    else:
        prefix = ["--prefix", root] if root else []
        words = ["useradd", *prefix, "--system", "--home-dir", home, "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
    found = host.user()
    return Step("user", USER, " ".join(words), lambda: _run(words), f"user id {found[0]}" if found else "")


def _run(words: Sequence[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CommandError(f"{words[0]}: {error.strerror}; make the user {USER} by hand, and try again", os.EX_OSFILE) from None
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise CommandError(f"{' '.join(words)}: {said}; make the user {USER} by hand, and try again", os.EX_CANTCREAT)


def _file(host: Host, what: str, path: str, text: str, mode: int = 0o644) -> Step:
    """A text file of root's."""
    place = host.at(path)

    def make() -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x") as file:
            try:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
            except OSError:  # half of it would be taken for the administrator's own the next time
                place.unlink()
                raise

    there = ""
    if os.path.lexists(place):
        there = "as shipped" if _text(place) == text else "other than what is shipped; it stays"
        if what == "configuration":  # `text` is its own
            there = "it stays"
    command = f"syslogauth init --print {path} | install -m {mode:04o} /dev/stdin {path}"
    if not place.parent.is_dir():
        command = f"mkdir -p {Path(path).parent} && {command}"
    return Step(what, path, command, make, there, text)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _owned(host: Host, what: str, path: Path, command: str, mode: int) -> Step:
    """A directory or an empty file of the daemon's user, group 0: sendmail reads it as root only where its own group may."""
    place = host.at(path)

    def make() -> None:
        user = host.user()
        if user is None:
            raise CommandError(f"{place}: there is no user {USER} to own it; make the user, and try again", os.EX_NOUSER)
        if what == "map":
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        else:
            place.mkdir(mode=0o700, parents=True)
        os.chown(place, user[0], 0)
        place.chmod(mode)

    return Step(what, str(path), command, make, _state(host, place, path, mode))


def _state(host: Host, place: Path, path: Path, mode: int) -> str:
    try:
        found = place.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(found.st_mode):
        return "it stays; to be put right: it is a symbolic link, and the file itself is to be there"
    user = host.user()
    mend = []
    if user is None or (found.st_uid, found.st_gid) != (user[0], 0):
        mend.append(f"chown {USER}:0 {path}")
    if found.st_mode & 0o777 != mode:
        mend.append(f"chmod {mode:04o} {path}")
    return f"it stays; to be put right: {' && '.join(mend)}" if mend else f"{USER}'s, group 0, {mode:04o}"
