"""The files of deploy/, and their texts as a host needs them.

They are in the wheel as syslogauth/deploy; of an installation that is a link to a working copy (pip install -e) they lie beside the
package. Each text is the shipped one with values put in: what is replaced must be there exactly once, else LookupError: the file has been
changed, and this has not.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import syslogauth
from syslogauth.settings import Endpoint

PACKAGE = Path(syslogauth.__file__).parent
PROGRAM = "/usr/local/bin/syslogauth"
ETC = "/usr/local/etc"


def text(name: str) -> str:
    """A file of deploy/. Raises OSError where this installation has none."""
    inside = PACKAGE / "deploy" / name
    return (inside if inside.exists() else PACKAGE.parent / "deploy" / name).read_text()


def configuration(
    state_directory: str,
    map_path: str,
    udp: Sequence[str] = (),
    peers: Sequence[str] = (),
    facilities: Sequence[str] = (),
    folder: str = ETC,
) -> str:
    """syslogauth.toml; what is empty stays at its default. `folder` is its own, where the examples have the certificates too."""
    values = {"state_directory": state_directory, "path": map_path, "udp": udp, "peers": peers, "facilities": facilities}
    shipped = text("syslogauth.toml")
    for key, value in values.items():
        if value:
            shipped = _line(shipped, rf"{key} = .*", f"{key} = {json.dumps(value)}")
    return shipped.replace(f'"{ETC}/syslogauth/', f'"{folder}/syslogauth/')


def service(program: str, writable: Sequence[str], mail_directory: bool) -> str:
    """syslogauth.service. `writable`: the state directory, and the directories of the maps."""
    paths = " ".join(f"-{path}" if path == "/etc/mail" and not mail_directory else path for path in writable)
    unit = _line(text("systemd/syslogauth.service"), r"ReadWritePaths=.*", f"ReadWritePaths={paths}")
    unit = _line(unit, r"RequiresMountsFor=.*", f"RequiresMountsFor={' '.join(writable)}")
    return unit.replace(PROGRAM, program)


def datagram_socket(places: Sequence[Endpoint]) -> str:
    """syslogauth.socket for these places of listen.udp."""
    listen = "\n".join(f"ListenDatagram={place}" for place in places)
    return _line(text("systemd/syslogauth.socket"), r"ListenDatagram=.*", f"{listen}\nFreeBind=yes")


def notify_reload(program: str) -> str:
    return text("systemd/notify-reload.conf").replace(PROGRAM, program)


def sysusers(state_directory: str) -> str:
    return _line(text("systemd/sysusers.d/syslogauth.conf"), r"u syslogauth .*", f'u syslogauth - "syslogauth" {state_directory} -')


def tmpfiles(state_directory: str, map_files: Sequence[str]) -> str:
    shipped = _line(text("systemd/tmpfiles.d/syslogauth.conf"), r"d .*", f"d {state_directory} 0750 syslogauth root -")
    return _line(shipped, r"f .*", "\n".join(f"f {path} 0640 syslogauth root -" for path in map_files))


def syslog_conf(place: Endpoint, facilities: Sequence[str]) -> list[str]:
    """Lines of syslog.conf(5), with their tabs."""
    return [f"{name}.info\t@{place}" for name in facilities]


def rsyslog(place: Endpoint, facilities: Sequence[str]) -> str:
    """Without the comments."""
    shipped = _uncommented(text("rsyslog/60-syslogauth.conf"))
    shipped = _line(shipped, r"mail\.info action\(", f"{';'.join(f'{name}.info' for name in facilities)} action(")
    return _once(shipped, 'target="127.0.0.1" port="5140"', f'target="{place.host}" port="{place.port}"')


def syslog_ng(place: Endpoint, facilities: Sequence[str]) -> str:
    """Without the comments."""
    shipped = _once(_uncommented(text("rsyslog/syslog-ng.conf")), "facility(mail)", f"facility({', '.join(facilities)})")
    return _once(shipped, '"127.0.0.1" port(5140)', f'"{place.host}" port({place.port})')


def sendmail_mc(map_path: str) -> str:
    """popauth.mc without its comments, with its tabs."""
    rules = "".join(line for line in text("sendmail/popauth.mc").splitlines(keepends=True) if not line.startswith("dnl"))
    return _once(rules, "/etc/mail/popauth", map_path)


def _uncommented(shipped: str) -> str:
    return "".join(line for line in shipped.splitlines(keepends=True) if line.strip() and not line.startswith("#"))


def _line(shipped: str, pattern: str, line: str) -> str:
    changed, count = re.subn(rf"^{pattern}$", lambda _: line, shipped, flags=re.MULTILINE)
    if count != 1:
        raise LookupError(f"{pattern}: {count} lines of the shipped text")
    return changed


def _once(shipped: str, old: str, new: str) -> str:
    if shipped.count(old) != 1:
        raise LookupError(f"{old}: {shipped.count(old)} times in the shipped text")
    return shipped.replace(old, new)
