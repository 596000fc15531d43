"""Certificates: the TLS context of listen.tls, and until when the certificates last.

TLS 1.2 at least, and no peer without a certificate that client_ca vouches for (RFC 5425 4.2, 5.1). OpenSSL reads the files; all that is
read here is the date, which Python's ssl tells of a peer's certificate alone. Everything is read when it is asked for: a renewed
certificate counts from the next start or SIGHUP on.
"""

import os
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
SEQUENCE, CONTEXT_0, UTC_TIME = 0x30, 0xA0, 0x17


def context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Raises OSError; an ssl.SSLError is one."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.num_tickets = 0  # nothing is ever sent to a peer, who may never read
    made.load_cert_chain(certificate, key, password=lambda: b"")  # else OpenSSL would ask on the terminal
    made.load_verify_locations(client_ca)
    return made


def fault(certificate: Path, key: Path, client_ca: Path) -> tuple[str, str] | None:
    """What is wrong with these files, as a key of the configuration and the words about it; None where nothing is."""
    for name, path in (("certificate", certificate), ("key", key), ("client_ca", client_ca)):
        try:
            text = path.read_text("ascii", "replace")
        except OSError as error:
            return f"tls.{name}", f"{path} cannot be read ({error.strerror}); let the user that syslogauth runs as read it, or name another"
        if name != "key" and not PEM.search(text):
            return f"tls.{name}", f"{path} holds no certificate; make it PEM, with a line -----BEGIN CERTIFICATE-----"
    try:
        context(certificate, key, client_ca)
        expiries(certificate, client_ca)
    except OSError as error:
        why = getattr(error, "reason", None) or error.strerror or str(error)
        mend = "the key must be that of the (first) certificate, in PEM and without a passphrase"
        return "tls", f"{certificate}, {key} and {client_ca} do not serve ({why}); {mend}"
    return None


def expiries(certificate: Path, client_ca: Path) -> dict[str, float]:
    """Unix time at which each ends, by its key: of client_ca the first that does. Raises OSError."""
    ours, *_ = _ends(certificate)
    return {"certificate": ours, "client_ca": min(_ends(client_ca))}


def _ends(path: Path) -> list[float]:
    found = PEM.findall(path.read_text("ascii", "replace"))
    if not found:
        raise OSError(os.EX_DATAERR, f"{path} holds no certificate")
    try:
        return [not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in found]
    except (ValueError, IndexError):
        raise OSError(os.EX_DATAERR, f"{path} holds a certificate whose dates cannot be read") from None


def not_after(der: bytes) -> float:
    """Unix time of the end of a certificate's validity (RFC 5280 4.1.2.5), of one that OpenSSL takes."""
    ((_, certificate),) = _elements(der)
    (_, body), *_ = _elements(certificate)
    fields = [value for tag, value in _elements(body) if tag != CONTEXT_0]  # without the version: serial, algorithm, issuer, validity, ...
    _, (tag, text) = _elements(fields[3])
    form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()  # %y: 69 is 1969; certificates then are over


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents that follow one another (X.690 8.1)."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        yield tag, der[at : at + length]
        at += length
