"""Does this host's syslogd send us the messages of the mail servers: the forwarding lines of whichever one runs here, against listen."""

import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from syslogauth.core.address import pack
from syslogauth.core.formats import FORMATS
from syslogauth.core.message import FACILITIES
from syslogauth.doctor import bsd, rsyslog, syslog_ng
from syslogauth.doctor.finding import Finding, fail, ok, warn
from syslogauth.doctor.forward import Forward, Found, Texts, texts_below
from syslogauth.doctor.roundtrip import facility_of, reached_at
from syslogauth.doctor.site import Site, ask
from syslogauth.doctor.sockets import is_local
from syslogauth.settings import Endpoint

SUBJECT, REPEATS, SERVERS = "syslogd", "repeated messages", "mail servers"
EVERYBODY = frozenset(("0.0.0.0", "::"))
PROCESSES: Mapping[str, str] = {  # what runs -> the format of its lines
    "dovecot": "dovecot",
    "couriertcpd": "courier",
    "courierlogger": "courier",
    "cyrmaster": "cyrus",
    "cyrus-master": "cyrus",
    "popa3d": "popa3d",
    "spop3d": "solid-pop3d",
    "solid-pop3d": "solid-pop3d",
    "teapop": "teapop",
    "perdition.pop3": "perdition",
    "perdition.imap4": "perdition",
    "stalwart": "stalwart",
    "tpop3d": "tpop3d",
}
READERS: Mapping[str, tuple[Callable[[Texts, str], Found], tuple[str, ...]]] = {  # what runs -> how it is read, and where it is
    "rsyslogd": (rsyslog.read, (rsyslog.CONF, f"/usr/local{rsyslog.CONF}")),
    "syslog-ng": (syslog_ng.read, (syslog_ng.CONF, syslog_ng.BSD_CONF)),
    "syslogd": (bsd.read, (bsd.CONF,)),
}
TOLD = re.compile(r"\s(?:-f\s*|--cfgfile=|--rcfile=)(/\S+)")  # on its command line
RC_CONF = ("/etc/defaults/rc.conf", "/etc/rc.conf", "/etc/rc.conf.local", "/etc/rc.conf.d/syslogd", "/usr/local/etc/rc.conf.d/syslogd")


def check(site: Site) -> Iterator[Finding]:
    processes = running(site)
    name, found = configuration(site, processes)
    if found is None:
        if not site.files:
            yield warn(SUBJECT, "no configuration of a syslogd that is known here (syslog.conf, rsyslog, syslog-ng)")
        return
    places = {"udp": site.udp, "tcp": site.tcp, "tls": site.tls}
    needed = alone(site.peers.texts) and not site.files
    if any(places.values()):
        yield from judge(name, found.forwards, places, site.facilities, is_local=_is_here, needed=needed, freebsd=site.freebsd)
    yield from _summed_up(site, name, found)
    yield from servers(processes, site.facilities, lossy=not site.files)


def running(site: Site) -> dict[str, str]:
    """Name -> command line of what runs here."""
    if site.platform != "linux":
        said = ask(["ps", "-axo", "ucomm=,args="]).text if site.root == Path("/") else ""
        lines = (line.split(None, 1) for line in said.splitlines())
        return {words[0]: words[-1] for words in lines if words}
    found = {}
    for folder in site.at("/proc").glob("[0-9]*"):
        try:
            found[(folder / "comm").read_text().strip()] = (folder / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
        except OSError:  # it has ended meanwhile
            continue
    return found


def configuration(site: Site, processes: Mapping[str, str]) -> tuple[str, Found | None]:
    """Which syslogd, and what it is told: of the one that runs, else of whichever has a configuration here."""
    texts = texts_below(site.root)
    runs = [name for name in READERS if name in processes]
    for command in (processes.get("syslogd", ""), processes.get("busybox", "")):
        if "syslogd" in command and re.search(r"\s-R\s*\S", command):
            return "busybox", _busybox(command)
    for name in runs or READERS:
        read, usual = READERS[name]
        told = TOLD.search(processes.get(name, ""))
        for path in (told[1],) if told else usual:
            if (found := read(texts, path)).files:
                return name, found
    return "", None


def _busybox(command: str) -> Found:
    """It has no file: everything goes to -R HOST[:PORT]."""
    found = Found(files=["its command line"])
    if target := re.search(r"\s-R\s*\[?([^\s\]]+?)\]?(?::(\d+))?(?:\s|$)", command):
        found.forwards.append(Forward(target[1], int(target[2] or 514), "udp", frozenset(FACILITIES), "-R"))
    return found


def alone(peers: Sequence[str]) -> bool:
    """Whether nobody but this host is listed."""
    return all(text.startswith("127.") or text == "::1/128" or text == "::1" for text in peers)


def _is_here(host: str) -> bool:
    return any(is_local(address) for address in addresses(host))


def addresses(host: str) -> list[str]:
    """The addresses of a name; of an address itself."""
    if pack(host) is not None:
        return [host]
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)]
    except (OSError, UnicodeError):  # UnicodeError: no name could be so
        return []


def reaches(forward: Forward, places: Mapping[str, Sequence[Endpoint]], local: bool) -> bool:
    """Whether what is sent there comes to one of our places. `local`: whether its host is this one."""
    texts = addresses(forward.host)
    everybody = EVERYBODY if any("." in text for text in texts) else {"::"}
    return any(
        place.port == forward.port and (place.host in texts or (place.host in everybody and local)) for place in places[forward.transport]
    )


def judge(
    name: str,
    forwards: Sequence[Forward],
    places: Mapping[str, Sequence[Endpoint]],
    facilities: frozenset[str],
    *,
    is_local: Callable[[str], bool],
    needed: bool,
    freebsd: bool,
) -> Iterator[Finding]:
    """`needed`: nobody but this host can send to us."""
    ours = [forward for forward in forwards if reaches(forward, places, is_local(forward.host))]
    wanted = facility_of(facilities)
    bad = fail if needed else warn
    if not ours:
        near = [f for f in forwards if is_local(f.host)]
        text = "; ".join(f"{f.where} sends to {Endpoint(f.host, f.port)} over {f.transport}, where we do not listen" for f in near[:2])
        only = "" if needed else " (right where other hosts alone run mail servers)"
        yield bad(SUBJECT, (text or f"{name} has no line that sends to us") + only, line_for(name, wanted, places, freebsd))
        return
    carried = frozenset[str]().union(*(forward.facilities for forward in ours))
    lines = ", ".join(forward.where for forward in ours)
    if wanted not in carried:
        text = f"{name}: {lines} does not send {wanted}.info"
        yield bad(SUBJECT, text, line_for(name, wanted, places, freebsd))
    for forward in ours:
        for doubt in forward.doubts:
            yield warn(SUBJECT, f"{name}: {forward.where}: {doubt}", line_for(name, wanted, places, freebsd))
    if wanted in carried and not any(forward.doubts for forward in ours):
        unlisted = sorted(carried - facilities) if len(carried) < 10 else []
        note = f"; {', '.join(unlisted)} too, which listen.facilities refuses" if unlisted else ""
        yield ok(SUBJECT, f"{name}: {lines} sends {', '.join(sorted(carried & facilities))} to us{note}")
    if len(ours) > 1:
        twice = [one.where for one in ours if any(one is not two and one.facilities & two.facilities for two in ours)]
        if twice:
            yield warn(SUBJECT, f"{name}: {', '.join(twice)} send the same messages, each twice", f"take out one of {', '.join(twice)}")


def line_for(name: str, facility: str, places: Mapping[str, Sequence[Endpoint]], freebsd: bool) -> str:
    """The command that makes the forwarding line and has it taken."""
    if name == "rsyslogd" and places["tcp"] and not places["udp"]:
        over_tcp = f"{facility}.info @@(o){reached_at(places['tcp'][0])}"
        return f"echo '{over_tcp}' >/etc/rsyslog.d/60-syslogauth.conf && systemctl restart rsyslog"
    if not places["udp"]:
        return "listen.udp, and a forwarding line (deploy/)"
    target = reached_at(places["udp"][0])
    if name == "rsyslogd":
        return f"echo '{facility}.info @{target}' >/etc/rsyslog.d/60-syslogauth.conf && systemctl restart rsyslog"
    if name == "syslog-ng":
        driver = f'network("{target.host}" port({target.port}) transport("udp"));'
        path = f"log {{ source(s_src); filter {{ facility({facility}) and level(info..emerg); }}; destination {{ {driver} }}; }};"
        return f"echo '{path}' >/etc/syslog-ng/conf.d/60-syslogauth.conf && systemctl reload syslog-ng"
    if name == "busybox":
        return f"syslogd -R {target}"
    folder = "/usr/local/etc/syslog.d/syslogauth.conf" if freebsd else bsd.CONF
    return rf"printf '{facility}.info\t@{target}\n' >>{folder} && service syslogd reload"


def servers(processes: Mapping[str, str], facilities: frozenset[str], *, lossy: bool) -> Iterator[Finding]:
    """What the servers that run here need."""
    by_name = {form.name: form for form in FORMATS}
    for name in sorted({PROCESSES[process] for process in processes if process in PROCESSES}):
        facility = by_name[name].facility
        if facility not in facilities:
            listed = ", ".join(f'"{each}"' for each in sorted({*facilities, facility}))
            yield warn(
                SERVERS,
                f"{name} runs here and logs to {facility}, which is not listed, unless it is told otherwise",
                f"listen.facilities = [{listed}]",
            )
        if name == "courier" and lossy:
            yield warn(
                SERVERS, "courier splits long lines: where the first half is lost, the second may look like a login", "listen.file, or TCP"
            )


def _summed_up(site: Site, name: str, found: Found) -> Iterator[Finding]:
    """Whether this host's syslogd sums repeated messages up, in which logins are seen late, or not."""
    if name == "syslogd" and site.freebsd:
        yield flags(_rc_flags(site))
    elif found.summed_up:
        off = "$RepeatedMsgReduction off" if name == "rsyslogd" else "take suppress() out"
        yield warn(
            REPEATS, f"{name} sums them up ({', '.join(found.summed_up)}): a login among them is seen late", f"{off}, and restart {name}"
        )
    elif name in ("rsyslogd", "syslog-ng"):
        yield ok(REPEATS, f"{name} does not sum them up")


def _rc_flags(site: Site) -> str:
    flags_ = "-s"
    for path in RC_CONF:
        for line in site.text(path).splitlines():
            if match := re.match(r"\s*syslogd_flags=[\"']?([^\"'#]*)", line):
                flags_ = match[1].strip()
    return flags_


def flags(text: str) -> Finding:
    """By syslogd_flags of FreeBSD."""
    letters = "".join(word[1:] for word in text.split() if word.startswith("-"))
    mend = 'sysrc syslogd_flags="-s -cc" && service syslogd restart'
    if "ss" in letters or letters.count("s") > 1:
        return fail(SUBJECT, f'syslogd_flags="{text}": with -ss nothing is sent to anybody', mend)
    if letters.count("c") < 2:
        return warn(REPEATS, f'syslogd_flags="{text}" sums them up: a login among them is seen up to ten minutes late', mend)
    return ok(REPEATS, "syslogd does not sum them up (-cc)")
