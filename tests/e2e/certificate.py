"""A certificate that a server's TLS takes: a key and a signature of its own, in one file; nobody verifies it."""

import subprocess
from pathlib import Path

from tests.e2e.netns import HOSTNAME
from tests.needs import need


def self_signed(directory: Path) -> Path:
    """Make it in the directory; the file holds the private key and the certificate."""
    key, certificate, both = (directory / name for name in ("key.pem", "certificate.pem", "both.pem"))
    command = [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    subprocess.run([*command, "-subj", f"/CN={HOSTNAME}", "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=30)
    both.write_text(key.read_text() + certificate.read_text())
    return both
