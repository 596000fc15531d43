"""The sockets: are they bound, how large a receive buffer did the kernel grant, and has it dropped datagrams."""

import errno
import json
import socket
from collections.abc import Iterator, Mapping, Sequence

from syslogauth.core.address import pack
from syslogauth.doctor import daemon
from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import AS_ROOT, RESTART, Site, ask
from syslogauth.settings import Endpoint

SUBJECT, DROPS = "receive buffer", "drops"
RMEM_MAX = "/proc/sys/net/core/rmem_max"
SYSCTL_FILE = "/etc/sysctl.d/60-syslogauth.conf"
ENDS_SOON_DAYS = 14


def check(site: Site) -> Iterator[Finding]:
    streams = {"tcp": site.tcp, "tls": site.tls}
    if site.figures is None:
        if daemon.runs(site.state_directory) is not False:
            yield from taken({"udp": site.udp, **streams})
            yield warn(SUBJECT, "not looked at: only the daemon's metrics tell it", 'metrics.listen = "127.0.0.1:9514"')
        return
    yield from bound(site.udp, site.each("receive_buffer_bytes", "listen"))
    yield from taken(streams)
    limit = kernel_limit(site)
    yield from buffers(site.each("receive_buffer_bytes", "listen"), site.receive_buffer_bytes, limit, freebsd=site.freebsd)
    yield from certificates(site.each("tls_certificate_expiry_timestamp_seconds", "certificate"), site.now)
    yield drops(
        site.total("datagrams_dropped_total"), site.total("datagrams_received_total"), raise_limit(site.receive_buffer_bytes, site.freebsd)
    )


def kernel_limit(site: Site) -> int | None:
    """The largest buffer that the kernel grants to anybody; None where it does not say."""
    said = ask(["sysctl", "-n", "kern.ipc.maxsockbuf"]).text.strip() if site.freebsd else site.text(RMEM_MAX).strip()
    return int(said) if said.isdecimal() else None


def bound(places: Sequence[Endpoint], granted: Mapping[str, float]) -> Iterator[Finding]:
    for place in places:
        if str(place) not in granted and place.port:
            has = ", ".join(sorted(granted)) or "nothing"
            handed = f"{RESTART}; where a socket unit hands them over, listen.udp = {json.dumps(sorted(granted))}"
            yield fail("sockets", f"{place} is configured, and the daemon has {has}", handed if granted else RESTART)
    if granted:
        yield ok("sockets", f"bound: {', '.join(sorted(granted))}")


def buffers(granted: Mapping[str, float], wanted: int, limit: int | None, *, freebsd: bool) -> Iterator[Finding]:
    for place, size in sorted(granted.items()):
        if size >= wanted:
            yield ok(SUBJECT, f"{place}: {size:.0f} bytes, as asked for")
            continue
        text = f"{place}: {size:.0f} bytes of the {wanted} that listen.receive_buffer_bytes asks for; a burst that does not fit is lost"
        enough = limit is not None and limit >= (2 * wanted if freebsd else wanted)
        yield warn(SUBJECT, text, f"{RESTART}: the kernel grants more by now" if enough else raise_limit(wanted, freebsd))


def raise_limit(wanted: int, freebsd: bool) -> str:
    """The command that lets the kernel grant as much, now and after a boot."""
    if freebsd:  # sb_max counts the kernel's own bookkeeping too
        return f"sysrc -f /etc/sysctl.conf kern.ipc.maxsockbuf={2 * wanted} && service sysctl restart && {RESTART}"
    return f"echo net.core.rmem_max={wanted} >{SYSCTL_FILE} && sysctl -p {SYSCTL_FILE} && {RESTART}"


def drops(dropped: float, received: float, mend: str) -> Finding:
    if dropped:
        return warn(
            DROPS, f"{dropped:.0f} datagrams lost since the start, because a receive buffer was full; {received:.0f} received", mend
        )
    return ok(DROPS, f"none of {received + dropped:.0f} datagrams")


def certificates(ends: Mapping[str, float], now: float) -> Iterator[Finding]:
    """`ends`: until when each certificate of listen.tls holds, Unix seconds."""
    for name, end in sorted(ends.items()):
        days = (end - now) / 86400
        if days > ENDS_SOON_DAYS:
            yield ok("certificate", f"{name} holds for {days:.0f} days")
        else:
            text = f"{name} has ended: no TLS peer is let in" if days <= 0 else f"{name} ends in {days:.0f} days"
            yield (fail if days <= 0 else warn)("certificate", text, f"renew what tls.{name} names, and reload syslogauth")


def taken(places: Mapping[str, Sequence[Endpoint]]) -> Iterator[Finding]:
    """By whether a port is taken, which the system tells everybody, but not by whom. `places`: by transport."""
    asked = {f"{transport} {place}": _is_free(place, transport) for transport, of in places.items() for place in of if place.port}
    if free := [where for where, is_free in asked.items() if is_free]:
        yield fail("sockets", f"nobody is bound to {', '.join(free)}", f"{RESTART}, and look at its log")
    elif None in asked.values():
        yield warn("sockets", f"whether {', '.join(asked)} are bound is not for this user to see", AS_ROOT)
    elif asked:
        yield ok("sockets", f"somebody is bound to {', '.join(asked)}")


def _is_free(place: Endpoint, transport: str) -> bool | None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:  # connections that have just ended hold no port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            return False if error.errno == errno.EADDRINUSE else None
    return True


def is_local(host: str) -> bool:
    """Whether an address is one of this machine's."""
    packed = pack(host)
    if packed is None:
        return False
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
