"""Each listed peer: when it last sent a message and a login, whether its syslogd sums repeated messages up, and how its clock goes.

The times are those that the daemon has seen since its start.
"""

from collections.abc import Iterator, Mapping, Sequence

from syslogauth.doctor.finding import Finding, ok, warn
from syslogauth.doctor.site import START, Site

SUBJECT, CLOCK = "peer", "clock of peer"
SKEW_SECONDS = 5.0
ZONE_SECONDS = 900.0  # time zones lie whole quarters of an hour apart
CC = 'on that host: sysrc syslogd_flags="-s -cc" && service syslogd restart (rsyslog: $RepeatedMsgReduction off)'


def check(site: Site) -> Iterator[Finding]:
    if site.figures is None:
        yield warn("peers", "not looked at: only the running daemon knows what they have sent", f"{START}, with metrics.listen set")
        return
    started = site.total("config_last_reload_success_timestamp_seconds") or site.now
    messages, logins = (site.each(f"peer_last_{what}_timestamp_seconds", "peer") for what in ("message", "login"))
    names = [*site.peers.texts, *sorted(set(messages) - set(site.peers.texts))]
    yield from heard(names, messages, logins, site.now, site.now - started, site.silent_after_seconds)
    yield from repeated(site.each("peer_repeated_total", "peer"))
    yield from skewed(site.each("peer_clock_skew_seconds", "peer"))


def heard(
    names: Sequence[str],
    messages: Mapping[str, float],
    logins: Mapping[str, float],
    now: float,
    running_seconds: float,
    silent_after_seconds: float,
) -> Iterator[Finding]:
    """`messages`, `logins`: when each peer sent its last one, Unix seconds."""
    loopback = [name for name in names if name.startswith(("127.", "::1"))]
    this_host_is_heard = any(name in messages for name in loopback)
    mend = "on that host: logger -p mail.info test; if nothing comes, look at its syslogd's forwarding line, and at packet filters"
    for name in names:
        subject = f"{SUBJECT} {name}"
        if name not in messages:
            if running_seconds < silent_after_seconds:
                yield ok(subject, f"nothing yet, in {running_seconds:.0f} s since the start")
            elif not (name in loopback and this_host_is_heard):  # one of 127.0.0.0/8 and ::1 is what a syslogd uses
                yield warn(subject, f"has sent nothing since the start, {_for(running_seconds)} ago", mend)
            continue
        silent = now - messages[name]
        said = f"last message {_for(silent)} ago, " + (
            f"last login {_for(now - logins[name])} ago" if name in logins else "no login since the start"
        )
        if silent > silent_after_seconds:
            yield warn(subject, f"is silent: {said}", mend)
        else:
            yield ok(subject, said)


def _for(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def repeated(summaries: Mapping[str, float]) -> Iterator[Finding]:
    """`summaries`: how many `last message repeated` each peer has sent; nothing where the daemon does not count them."""
    told = {name: count for name, count in summaries.items() if count}
    for name, count in sorted(told.items()):
        yield warn("repeated messages", f"{name} has sent {count:.0f} summaries of repeated messages: a login among them is seen late", CC)
    if summaries and not told:
        yield ok("repeated messages", "no peer has summed any up")


def skewed(skews: Mapping[str, float]) -> Iterator[Finding]:
    """`skews`: by how many seconds each peer's stamps are ahead of our clock."""
    for name, skew in sorted(skews.items()):
        subject, how = f"{CLOCK} {name}", "ahead of" if skew > 0 else "behind"
        zones = round(skew / ZONE_SECONDS)
        if abs(skew) <= SKEW_SECONDS:
            yield ok(subject, f"{abs(skew):.1f} s {how} ours")
        elif zones and abs(skew - zones * ZONE_SECONDS) <= 60:
            text = f"{skew / 3600:+.2f} h: it stamps in another time zone; logins count from their receipt all the same"
            yield warn(subject, text, "on that host: timedatectl set-timezone (FreeBSD: tzsetup), and restart its syslogd")
        else:
            yield warn(subject, f"{abs(skew):.0f} s {how} ours", "on that host: chronyc makestep (FreeBSD: service ntpd onestart)")
