"""The parent's own `process_*` figures: under Prometheus' names, on every system.

prometheus_client reads them from Linux's /proc, and has none where that is missing or hidden: FreeBSD, a unit with ProcSubset=pid. There
they come from getrusage(2), getrlimit(2), fstat(2) of each descriptor, and for the two sizes from ps(1), a child for a few milliseconds at
each scrape: the kinfo_proc of sysctl(3) has them too, but laid out otherwise on each BSD. What cannot be had has no line.
The start is that of this module: some tenths of a second after the program's.
"""

import os
import resource
import subprocess
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PS = ("/bin/ps", "-o", "rss=", "-o", "vsz=", "-p")  # in KiB, on Linux and all BSDs
PS_SECONDS = 2.0
DESCRIPTORS_LOOKED_AT = 4096  # the kernel gives out the lowest number that is free; the parent has tens

started_at = time.time()


def register(registry: CollectorRegistry) -> None:
    """Have the registry collect this process's figures, from where this system has them."""
    of_linux = ProcessCollector(registry=None)
    registry.register(of_linux if list(of_linux.collect()) else Vitals())


class Vitals(Collector):
    """The figures of the process that asks, without /proc."""

    def collect(self) -> Iterator[Metric]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield CounterMetricFamily("process_cpu_seconds", "User and system time of the parent.", usage.ru_utime + usage.ru_stime)
        yield GaugeMetricFamily("process_start_time_seconds", "Unix time when the parent started.", started_at)
        yield GaugeMetricFamily("process_open_fds", "Open descriptors of the parent.", open_descriptors(limit))
        yield GaugeMetricFamily("process_max_fds", "Descriptors that the parent may have.", unlimited(limit))
        if sizes := resident_and_virtual():
            yield GaugeMetricFamily("process_resident_memory_bytes", "Resident size of the parent.", sizes[0])
            yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual size of the parent.", sizes[1])


def open_descriptors(limit: int) -> int:
    return sum(map(is_open, range(min(unlimited(limit), DESCRIPTORS_LOOKED_AT))))


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def unlimited(limit: int) -> int:
    """RLIM_INFINITY is negative in Python, and more than anybody opens."""
    return limit if limit >= 0 else 2**63 - 1


def resident_and_virtual() -> tuple[int, int] | None:
    """Bytes of this process; None where there is no ps, or it has nothing to say."""
    try:
        said = subprocess.run([*PS, str(os.getpid())], capture_output=True, text=True, check=True, timeout=PS_SECONDS).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return (int(said[0]) * 1024, int(said[1]) * 1024) if len(said) == 2 and all(map(str.isdigit, said)) else None
