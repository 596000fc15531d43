"""Is this host's clock set by anybody: ntp_adjtime(2) tells whether the kernel thinks so. Grants end by it, on the wall clock."""

import ctypes
from collections.abc import Iterator

from syslogauth.doctor.finding import Finding, ok, warn
from syslogauth.doctor.site import Site

SUBJECT = "clock"
TIME_ERROR = 5  # sys/timex.h: not synchronised, on Linux and FreeBSD
STRUCT_TIMEX_BYTES = 1024  # more than any system has; modes = 0, its first word, only reads


def check(site: Site) -> Iterator[Finding]:
    yield judge(kernel_state(), freebsd=site.freebsd)


def kernel_state() -> int:
    """What ntp_adjtime(2) returns; -1 where it is not there."""
    libc = ctypes.CDLL(None)
    try:
        return int(libc.ntp_adjtime(ctypes.create_string_buffer(STRUCT_TIMEX_BYTES)))
    except AttributeError:
        return -1


def judge(state: int, *, freebsd: bool) -> Finding:
    if state == TIME_ERROR:
        mend = "sysrc ntpd_enable=YES && service ntpd start" if freebsd else "timedatectl set-ntp true (or: apt-get install chrony)"
        return warn(SUBJECT, "nobody keeps this host's clock: the kernel calls it unsynchronised", mend)
    if state < 0:
        return warn(SUBJECT, "the system does not say whether anybody keeps it")
    return ok(SUBJECT, "is kept in time")
