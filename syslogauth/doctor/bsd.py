"""syslog.conf(5) of FreeBSD and the other BSDs, and of what follows it on Linux: forwarding lines, blocks for one program, includes.

mail.info<TAB>@192.0.2.1:5140       @[2001:db8::1]:5140, @host; OpenBSD: @udp://host:port, @tcp://, @tls://
!ppp, +host, :msg ...               what follows is for that program, host or property alone; !*, +*, :* end it
include<TAB>/etc/syslog.d           every *.conf in there (FreeBSD 12 and later)
"""

import re

from syslogauth.doctor.forward import FILES_AT_MOST, Forward, Found, Texts, port_of
from syslogauth.doctor.selector import selected

CONF = "/etc/syslog.conf"
ACTION = re.compile(r"@(?:(?P<scheme>udp|tcp|tls)[46]?://)?(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:,]+))(?::(?P<port>\w+))?\s*")
LINE = re.compile(r"(?P<selector>[^\s@]\S*)\s+(?P<action>@\S+)\s*")


def read(texts: Texts, first: str = CONF) -> Found:
    found, waiting = Found(), [first]
    while waiting and len(found.files) < FILES_AT_MOST:
        for path, text in texts(waiting.pop(0)):
            found.files.append(path)
            waiting += _lines(path, text, found)
    return found


def _lines(path: str, text: str, found: Found) -> list[str]:
    """The forwards of one file; what it includes."""
    includes, only = [], {"!": "", "+": "", ":": ""}
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"^#(?=[!+-]\S)", "", raw.strip())  # FreeBSD: #!prog too
        if not line or line.startswith("#"):
            continue
        if line[0] in "!+-:":
            kind = "+" if line[0] == "-" else line[0]
            rest = line[1:].strip()
            only[kind] = "" if rest in ("*", "") else line
        elif line.startswith("include"):
            includes.append(line.split(None, 1)[-1].rstrip("/") + "/*.conf")
        elif (match := LINE.fullmatch(line.partition(" #")[0])) and (action := ACTION.fullmatch(match["action"])):
            doubts = tuple(f"it stands below `{block}`, which leaves the others out" for block in only.values() if block)
            host, port = action["v6"] or action["host"], port_of(action["port"] or "")
            found.forwards.append(Forward(host, port, action["scheme"] or "udp", selected(match["selector"]), f"{path}:{number}", doubts))
    return includes
