"""Until when certificates last, held against what openssl(1) says of them."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syslogauth.certificates import expiries, fault, not_after
from tests.authority import Authority, openssl


def end_of(certificate: Path) -> float:
    said = openssl("x509", "-in", certificate, "-noout", "-enddate").partition("=")[2].strip()
    return datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).timestamp()


def test_the_end_of_each_certificate_is_known_and_of_several_the_first(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    ours, ended = authority.issue("ours", "log.example.org"), authority.issue("ended", "x", ended=True)
    several = tmp_path / "several.pem"
    several.write_text("".join(path.read_text() for path in (authority.own.certificate, ended.certificate)))
    expected = {"certificate": end_of(ours.certificate), "client_ca": end_of(authority.own.certificate)}
    assert expected == expiries(ours.certificate, authority.own.certificate)
    assert expected | {"client_ca": end_of(ended.certificate)} == expiries(ours.certificate, several)


def test_an_end_after_2049_is_written_with_four_digits_and_read(tmp_path: Path) -> None:
    certificate = tmp_path / "late.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", tmp_path / "late.key")
    openssl("req", "-x509", *key, "-days", "36500", "-subj", "/CN=late", "-out", certificate)
    assert end_of(certificate) == not_after(ssl.PEM_cert_to_DER_cert(certificate.read_text()))


def test_dates_that_are_none_are_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    ours, odd = authority.issue("ours", "log.example.org"), tmp_path / "odd.pem"
    der = ssl.PEM_cert_to_DER_cert(authority.own.certificate.read_text())
    end = datetime.fromtimestamp(not_after(der), UTC).strftime("%y%m%d%H%M%SZ").encode()
    odd.write_text(ssl.DER_cert_to_PEM_cert(der.replace(end, b"2" + b"x" * (len(end) - 1))))
    with pytest.raises(OSError, match=r"odd\.pem holds a certificate whose dates cannot be read"):
        expiries(ours.certificate, odd)
    key, words = fault(ours.certificate, ours.key, odd) or ("", "")
    assert ("tls", True) == (key, "whose dates cannot be read" in words)
