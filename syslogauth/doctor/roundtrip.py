"""A datagram to our own listener, and with --send a line through this host's syslogd: does the daemon count them?

Both carry the app_name `syslogauth`, which never grants and is counted as the outcome own_message. The figures that the daemon shows are up
to a second old. What else might count as own_message meanwhile is another doctor.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping

from syslogauth.core.address import pack
from syslogauth.core.message import FACILITIES, OWN_APP_NAME
from syslogauth.core.peers import SYSLOG_PORT
from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import AS_ROOT, START, Figures, Site, ask, total
from syslogauth.settings import Endpoint

SUBJECT, LOGGER = "round trip", "logger"
INFO = 6
SEEN_SECONDS = 4.0
LOGGED_SECONDS = 6.0  # a syslogd may take its time
POLL_SECONDS = 0.2
BLAMES: Mapping[str, tuple[str, str]] = {  # outcome -> what it means for our datagram, and the setting that mends it
    "unlisted_peer": ("was refused: its sender is not in listen.peers", "listen.peers"),
    "source_port": ("was refused for its source port", "listen.require_source_port_514 = false"),
    "unlisted_facility": ("was refused for its facility", "listen.facilities"),
}


def check(site: Site) -> Iterator[Finding]:
    if site.figures is None:
        yield warn(SUBJECT, "not tried: without the daemon's figures nobody sees the datagram come", f"{START}, with metrics.listen set")
        return
    for place in site.udp:
        if place.port:
            yield _datagram(site, place)
    if site.send:
        yield _logged(site)


def facility_of(facilities: frozenset[str]) -> str:
    return "mail" if "mail" in facilities else min(facilities)


def reached_at(place: Endpoint) -> Endpoint:
    """Where somebody on this host sends to, that it comes to this place."""
    return Endpoint({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host), place.port)


def _datagram(site: Site, place: Endpoint) -> Finding:
    target = reached_at(place)
    priority = 8 * FACILITIES.index(facility_of(site.facilities)) + INFO
    datagram = f"<{priority}>{time.strftime('%b %e %H:%M:%S')} {OWN_APP_NAME.decode()}[{os.getpid()}]: doctor"
    with socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            source = _source(target)
            if (packed := pack(source)) is None or packed not in site.peers:
                text = f"{place}: not tried: it would come from {source}, which is not in listen.peers"
                return warn(SUBJECT, text, f'add "{source}" to listen.peers, where this host runs mail servers')
            if site.require_source_port_514:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sender.bind((source, SYSLOG_PORT))
        except OSError as error:
            return warn(SUBJECT, f"{place}: not tried: nothing can be sent as a peer would: {error.strerror}", AS_ROOT)
        before = site.scrape()
        sender.sendto(datagram.encode(), (target.host, target.port))
    return _seen(site, f"{place}: a datagram from {source}", before, SEEN_SECONDS)


def _source(target: Endpoint) -> str:
    """The address of ours from which the system would send there."""
    with socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target.host, target.port))
        return str(probe.getsockname()[0])


def _logged(site: Site) -> Finding:
    facility = facility_of(site.facilities)
    command = f"logger -p {facility}.info -t {OWN_APP_NAME.decode()} doctor"
    program = shutil.which("logger")
    if program is None:
        return warn(LOGGER, "not tried: logger(1) is missing", "apt-get install bsdutils")
    before = site.scrape()
    said = ask([program, *command.split()[1:-1], f"doctor {time.time():.6f}"])  # equal lines would be summed up
    if said.code:
        return fail(LOGGER, f"`{command}`: {said.text.strip()}", "start this host's syslogd")
    return _seen(
        site, f"`{command}`", before, LOGGED_SECONDS, "see what is said of the forwarding line above; then reload this host's syslogd"
    )


def _seen(site: Site, what: str, before: Figures | None, seconds: float, mend: str = "") -> Finding:
    subject = LOGGER if what.startswith("`") else SUBJECT
    deadline = time.monotonic() + seconds
    after = before
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        after = site.scrape()
        if after is not None and total(after, "outcomes_total", outcome="own_message") > total(
            before, "outcomes_total", outcome="own_message"
        ):
            return ok(subject, f"{what} arrived, and was counted")
    for outcome, (meaning, setting) in BLAMES.items():
        if total(after, "outcomes_total", outcome=outcome) > total(before, "outcomes_total", outcome=outcome):
            return fail(subject, f"{what} {meaning}", setting)
    return fail(subject, f"{what} did not arrive within {seconds:.0f} s", mend or "look at the packet filter, and at the log of syslogauth")
