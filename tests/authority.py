"""A certificate authority for a test, by openssl(1): each certificate with its key, in PEM files of a directory of the test's."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.needs import need

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: Path
    key: Path

    def fingerprint(self) -> str:
        """As openssl(1) writes it."""
        said = openssl("x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha256")
        return said.partition("=")[2].strip()


@dataclass(frozen=True, slots=True)
class Authority:
    directory: Path
    name: str
    own: Pair

    @classmethod
    def make(cls, directory: Path, name: str = "ca") -> "Authority":
        own = Pair(directory / f"{name}.pem", directory / f"{name}.key")
        openssl("req", "-x509", *KEY, "-days", "30", "-subj", f"/CN={name}", "-keyout", own.key, "-out", own.certificate)
        return cls(directory, name, own)

    def issue(self, name: str, *names: str, ended: bool = False, dns: bytes = b"") -> Pair:
        """A certificate of these subjectAltNames, DNS names or addresses, of 10 days; `ended`: of 10 days that are over.

        `dns`: instead, of one DNS name that may be none, of less than 120 bytes.
        """
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        request = self.directory / f"{name}.csr"
        openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
        extensions = self.directory / f"{name}.ext"
        alternatives = "DER:" + bytes((0x30, len(dns) + 2, 0x82, len(dns), *dns)).hex() if dns else _list(names)
        extensions.write_text("basicConstraints=CA:FALSE\n" + (f"subjectAltName={alternatives}\n" if alternatives else ""))
        begin = datetime.now(UTC) - timedelta(days=20 if ended else 1)
        self._sign(request, pair.certificate, extensions, begin)
        return pair

    def _sign(self, request: Path, certificate: Path, extensions: Path, begin: datetime) -> None:
        """`openssl ca`, for `openssl x509` of OpenSSL 3.0 knows no other beginning than now."""
        database = self.directory / f"{certificate.stem}.db"
        database.write_text("")
        configuration = self.directory / f"{certificate.stem}.cnf"
        configuration.write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}\nnew_certs_dir={self.directory}\nrand_serial=yes\npolicy=any\n"
            "default_md=sha256\n[any]\ncommonName=supplied\n"
        )
        times = [f"{moment:%Y%m%d%H%M%SZ}" for moment in (begin, begin + timedelta(days=10))]
        openssl(
            *("ca", "-batch", "-notext", "-config", configuration, "-cert", self.own.certificate, "-keyfile", self.own.key),
            *("-in", request, "-out", certificate, "-extfile", extensions, "-startdate", times[0], "-enddate", times[1]),
        )


def _list(names: tuple[str, ...]) -> str:
    return ",".join(f"IP:{name}" if name.replace(".", "").isdecimal() else f"DNS:{name}" for name in names)


def openssl(*words: str | Path) -> str:
    done = subprocess.run([need("openssl"), *map(str, words)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout
