"""Dovecot 2.3, and a client's way through each kind of login.

It logs through syslog(3), facility mail, as it comes from Debian; the rest of its configuration is private to the test.
"""

import hashlib
import hmac
import re
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping

from tests.deadline import wait_until
from tests.e2e.netns import Netns
from tests.needs import need

USER = "bob"
PASSWORD = "correct horse"  # noqa: S105 - the only user's, known to all
USERS = {USER: PASSWORD}
POP3_PORT = 110
IMAP_PORT = 143

CONFIGURATION = """
base_dir = {directory}/run
state_dir = {directory}/state
protocols = imap pop3
listen = *, ::
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 apop
passdb {{
  driver = passwd-file
  args = {directory}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={directory}/mail/%u
}}
mail_location = maildir:~/Maildir
first_valid_gid = 0
# A failed login is answered at once, and the next one from the same address too.
auth_failure_delay = 0 secs
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


def start(host: Netns, users: Mapping[str, str] = USERS, more: str = "") -> None:
    """Start dovecot with these users (name -> password) and wait until it takes connections. `more` is added to its configuration."""
    program = need("dovecot")
    directory = host.directory / "dovecot"
    for part in ("", "run", "state", "mail"):
        (directory / part).mkdir(mode=0o755)
    (directory / "mail").chmod(0o1777)
    looked_up = {re.sub(r"([\\'\"])", r"\\\1", user): password for user, password in users.items()}  # 2.3 escapes what it looks up
    (directory / "users").write_text("".join(f"{user}:{{PLAIN}}{password}\n" for user, password in looked_up.items()))
    configuration = directory / "dovecot.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory) + more)
    host.start("dovecot", program, "-F", "-c", configuration)
    wait_until(lambda: all(host.listens(("127.0.0.1", port)) for port in (POP3_PORT, IMAP_PORT)), "dovecot's POP3 and IMAP ports")


class Dialogue:
    """One line out, one line back."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = connection.makefile("rb")

    def hear(self) -> str:
        return self.lines.readline().decode().rstrip("\r\n")

    def ask(self, line: str) -> str:
        self.connection.sendall(f"{line}\r\n".encode())
        return self.hear()


def pop3_user_pass(server: Dialogue, password: str) -> bool:
    server.hear()
    server.ask(f"USER {USER}")
    return server.ask(f"PASS {password}").startswith("+OK")


def pop3_apop(server: Dialogue, password: str) -> bool:
    """RFC 1939 section 7: MD5 of the greeting's time stamp and the password."""
    stamp = re.search("<.*>", server.hear())
    assert stamp, "the greeting has no time stamp: APOP is not offered"
    digest = hashlib.md5((stamp[0] + password).encode(), usedforsecurity=False).hexdigest()
    return server.ask(f"APOP {USER} {digest}").startswith("+OK")


def imap_login(server: Dialogue, password: str) -> bool:
    server.hear()
    return server.ask(f'a LOGIN {USER} "{password}"').startswith("a OK")


def imap_cram_md5(server: Dialogue, password: str) -> bool:
    """RFC 2195: HMAC-MD5 of the challenge, keyed with the password."""
    server.hear()
    challenge = b64decode(server.ask("a AUTHENTICATE CRAM-MD5").removeprefix("+ "))
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
    return server.ask(b64encode(f"{USER} {digest}".encode()).decode()).startswith("a OK")


Method = Callable[[Dialogue, str], bool]


def log_in(host: Netns, client: str, server: str, method: Method, password: str = PASSWORD) -> bool:
    """One session from `client` to `server`; whether it was let in. The session ends before this returns."""
    port = POP3_PORT if method in (pop3_user_pass, pop3_apop) else IMAP_PORT
    with host.connect(client, (server, port)) as connection:
        return method(Dialogue(connection), password)
