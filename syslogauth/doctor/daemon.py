"""Is the daemon at work: its lock in the state directory, its processes, and what /-/ready answers."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.site import LOG, RELOAD, START, Site
from syslogauth.scrape import unready

SUBJECT = "daemon"


def runs(state_directory: Path) -> bool | None:
    """Whether somebody holds the daemon's lock; None where this user may not see that."""
    try:
        file = os.open(state_directory / "daemon.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def check(site: Site) -> Iterator[Finding]:
    up = site.each("process_up", "process")
    yield judge(runs(site.state_directory), None if site.figures is None else up, ready(site), site.metrics is not None)
    if site.figures is not None and not site.total("table_writable") and "table_writable" in site.figures:
        yield fail(SUBJECT, "its last commit to the table failed: the logins wait in memory", f"df -h {site.state_directory}")
    if site.figures is not None and not site.total("config_last_reload_successful") and "config_last_reload_successful" in site.figures:
        text = "refused its last reload, and goes on with the configuration of before; its log says why"
        yield fail(SUBJECT, text, f"syslogauth check-config; then: {RELOAD}")


def judge(running: bool | None, up: dict[str, float] | None, reason: str, has_metrics: bool) -> Finding:
    """`up`: the processes, None where the metrics do not answer; `reason`: why it is not ready, empty where it is or does not say."""
    if running is False and up is None:
        return fail(SUBJECT, "does not run; what needs it is not looked at", START)
    if up is None:
        what = "runs" if running else "may run (its lock is not this user's to see)"
        if not has_metrics:
            return warn(
                SUBJECT, f"{what}; metrics.listen is empty, so that its figures cannot be looked at", 'metrics.listen = "127.0.0.1:9514"'
            )
        return warn(SUBJECT, f"{what}, and its metrics do not answer", f"{LOG}; metrics.listen changes with a restart alone")
    if down := sorted(name for name, value in up.items() if not value):
        return fail(SUBJECT, f"not all of it is up: {', '.join(down)}", LOG)
    if reason:
        return fail(SUBJECT, f"is not ready: {reason}", LOG)
    return ok(SUBJECT, f"runs and is ready: {', '.join(sorted(up))}")


def ready(site: Site) -> str:
    """The reason that /-/ready gives."""
    if site.metrics is None or site.figures is None:
        return ""
    return unready(site.metrics) or ""
