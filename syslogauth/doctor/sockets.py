"""The sockets: are they bound, how large a receive buffer did the kernel grant, and has it dropped datagrams."""

import errno
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
    if site.figures is None:
        if daemon.runs(site.state_directory) is not False:
            yield from _without_metrics(site)
        return
    yield from bound(site.udp, site.each("receive_buffer_bytes", "listen"))
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
            yield fail("sockets", f"{place} is configured, and the daemon has {has}", RESTART)
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


def _without_metrics(site: Site) -> Iterator[Finding]:
    """By whether the port is taken, which the system tells everybody."""
    asked = {str(place): _is_free(place) for place in site.udp if place.port}
    if free := [place for place, is_free in asked.items() if is_free]:
        yield fail("sockets", f"nobody is bound to {', '.join(free)}", f"{RESTART}, and look at its log")
    elif None in asked.values():
        yield warn("sockets", "whether they are bound is not for this user to see", AS_ROOT)
    else:
        yield ok("sockets", f"somebody is bound to {', '.join(map(str, site.udp))}")
    yield warn(SUBJECT, "not looked at: only the daemon's metrics tell it", 'metrics.listen = "127.0.0.1:9514"')


def _is_free(place: Endpoint) -> bool | None:
    with socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
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
