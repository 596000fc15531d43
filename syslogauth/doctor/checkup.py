"""Every check, in the order in which their findings are told. A new one is a `check` of a file here, and its place in CHECKS."""

from collections.abc import Callable, Iterator
from subprocess import SubprocessError

from syslogauth.doctor import clock, configuration, daemon, followed, maps, peers, place, roundtrip, sendmail, sockets, syslogd, table
from syslogauth.doctor.finding import Finding, warn
from syslogauth.doctor.site import AS_ROOT, Site

CHECKS: tuple[tuple[str, Callable[[Site], Iterator[Finding]]], ...] = (
    ("configuration", configuration.check),
    ("state directory", place.check),
    ("daemon", daemon.check),
    ("sockets", sockets.check),
    ("peers", peers.check),
    ("syslogd", syslogd.check),
    ("file", followed.check),
    ("round trip", roundtrip.check),
    ("table", table.check),
    ("map", maps.check),
    ("sendmail", sendmail.check),
    ("clock", clock.check),
)


def examine(site: Site) -> Iterator[Finding]:
    """What every check finds, as it is found. What cannot be read or run is told, and the rest goes on."""
    for name, check in CHECKS:
        try:
            yield from check(site)
        except (OSError, SubprocessError) as error:
            yield warn(name, f"not looked at: {error}", AS_ROOT)
