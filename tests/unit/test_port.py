"""deploy/freebsd-port and deploy/newsyslog: read by a make(1) of the BSDs with a ports framework made here, and held to the project."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from syslogauth import __version__
from tests.needs import need

REPOSITORY = Path(__file__).parent.parent.parent
DEPLOY = REPOSITORY / "deploy"
PORTS = DEPLOY / "freebsd-port"
PORT = PORTS / "mail/syslogauth"

# What the real one defines for the Makefiles, as far as they use it; its compress-man step gzips the manual pages.
BSD_PORT_MK = """
PREFIX?= /usr/local
PYTHON_PKGNAMEPREFIX= py311-
PY_FLAVOR= py311
MKDIR= mkdir -p
INSTALL_DATA= install -m 0644
INSTALL_MAN= sh -c 'install -D -m 0444 "$$1" "$$2/$${1\\#\\#*/}" && gzip "$$2/$${1\\#\\#*/}"' man
"""


@pytest.fixture
def framework(tmp_path: Path) -> Path:
    (tmp_path / "mk").mkdir()
    (tmp_path / "mk/bsd.port.mk").write_text(BSD_PORT_MK)
    return tmp_path


def bmake(framework: Path, port: Path, *words: str) -> str:
    command = [need("bmake"), "-r", "-m", framework / "mk", "-C", port, f"WRKSRC={REPOSITORY}", f"STAGEDIR={framework}/stage", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin", "MAKEOBJDIR": str(framework)})
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def variables(framework: Path, port: Path, *names: str) -> list[str]:
    """Their values, as they are when the Makefile has been read."""
    return bmake(framework, port, *(word for name in names for word in ("-V", f"${{{name}}}"))).splitlines()


def test_the_port_is_pure_python_with_a_service_a_user_and_this_version(framework: Path) -> None:
    expected = {
        "PORTNAME": "syslogauth",
        "DISTVERSION": __version__,
        "LICENSE": "BSD2CLAUSE",
        "USES": "python:3.11+",
        "USE_PYTHON": "autoplist concurrent pep517",
        "USE_RC_SUBR": "syslogauth",
        "NO_ARCH": "yes",
        "SUB_FILES": "pkg-message",
        "USERS": "syslogauth",
        "GROUPS": "syslogauth",
    }
    assert list(expected.values()) == variables(framework, PORT, *expected)


def test_the_port_depends_on_what_the_project_depends_on(framework: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    build, run = variables(framework, PORT, "BUILD_DEPENDS", "RUN_DEPENDS")
    assert sorted(project["build-system"]["requires"]) == sorted(re.findall(r"py311-(\S+?):", build))
    assert sorted(project["project"]["dependencies"]) == sorted(re.findall(r"py311-(\S+?):", run))
    assert all(origin.endswith("@py311") for origin in (build + " " + run).split())


def test_a_dependency_that_has_no_port_has_one_here(framework: Path) -> None:
    origin = PORTS / "net/py-asyncio-dgram"
    assert ["asyncio-dgram", "py311-"] == variables(framework, origin, "PORTNAME", "PKGNAMEPREFIX")
    assert "net/py-asyncio-dgram@py311" in variables(framework, PORT, "RUN_DEPENDS")[0]
    table = re.findall(r"^\| ([\w-]+)[^|]*\| ([^ |]+)", (PORTS / "README.md").read_text(), re.MULTILINE)
    named = {name: place for name, place in table if name not in ("package", "---")}
    found = dict(re.findall(r"py311-([\w-]+)>\S*?:(\S+)@", " ".join(variables(framework, PORT, "BUILD_DEPENDS", "RUN_DEPENDS"))))
    assert {**found, "asyncio-dgram": "**none**"} == named


def test_what_is_installed_beside_the_python_package_is_what_the_list_says(framework: Path) -> None:
    bmake(framework, PORT, "post-install")
    stage = framework / "stage"
    listed = [line.rpartition(" ")[2] for line in (PORT / "pkg-plist").read_text().splitlines()]
    assert sorted(str(stage / (path[1:] if path.startswith("/") else f"usr/local/{path}")) for path in listed) == sorted(
        str(path) for path in stage.rglob("*") if path.is_file() or path.name == "syslogauth"
    )
    assert (DEPLOY / "syslogauth.toml").read_text() == (stage / "usr/local/etc/syslogauth.toml.sample").read_text()


def test_the_ports_script_is_the_shipped_one_with_its_prefix() -> None:
    shipped = (DEPLOY / "rc.d/syslogauth").read_text()
    assert shipped == (PORT / "files/syslogauth.in").read_text().replace("%%PREFIX%%", "/usr/local")
    assert "/usr/local" not in (PORT / "files/syslogauth.in").read_text()


def test_the_message_names_only_what_is_put_in() -> None:
    message = (PORT / "files/pkg-message.in").read_text()
    assert {"%%PREFIX%%"} == set(re.findall(r"%%\w*%%", message))
    assert "\tmail.info\t@127.0.0.1:5140".strip() in message
    assert ["install", "remove"] == re.findall(r"^\{ type: (\w+)$", message, re.MULTILINE)
    assert 2 == message.count("<<EOM\n") == message.count("\nEOM\n}\n")


@pytest.mark.parametrize("port", [PORT, PORTS / "net/py-asyncio-dgram"], ids=lambda port: port.name)
def test_words_have_the_form_that_portlint_asks_for(port: Path, framework: Path) -> None:
    (comment,) = variables(framework, port, "COMMENT")
    assert len(comment) <= 70
    assert comment[0].isupper()
    assert not comment.endswith(".")
    assert [] == [line for line in (port / "pkg-descr").read_text().splitlines() if len(line) > 80]
    assert [] == [line for line in (port / "Makefile").read_text().splitlines() if line != line.rstrip() or line.startswith("  ")]


def test_the_line_for_newsyslog_has_its_columns() -> None:
    """newsyslog.conf(5): file, owner:group, mode, count, size in KiB, when, flags; no pid file, so that syslogd is told."""
    text = (DEPLOY / "newsyslog/syslogauth.conf").read_text()
    (line,) = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert ["/var/log/syslogauth.log", "root:wheel", "640", "14", "1000", "@T00", "JC"] == line
    assert "\n# *.*\t/var/log/syslogauth.log\n" in text, "and syslogd writes it"
