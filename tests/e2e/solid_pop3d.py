"""solid-pop3d 0.15 from inetd, as Debian's package has it. It logs to facility local0.

Every user has a secret for APOP in their home directory, and ALIAS is mapped to the first of them.
"""

import os

from tests.e2e import accounts, inetd
from tests.e2e.logins import PASSWORD
from tests.e2e.netns import Netns
from tests.e2e.syslogds import PEERS_DIRECTORY
from tests.needs import need

PORT = 110
ALIAS = "postmaster"

CONFIGURATION = """
<Global>
    MailDropName "/var/mail/%s"
    MailDropType mailbox
    AddBulletins no
    LogStatistics yes
    DoMapping yes
    RequiredMapping no
    UserMapFile "{aliases}"
</Global>
"""


def start(host: Netns, users: list[str]) -> None:
    program = need(str(PEERS_DIRECTORY / "usr/sbin/solid-pop3d"))
    accounts.make(host, users, ["solid-pop3d"])
    secret = bytes(byte ^ 0xFF for byte in PASSWORD.encode()).hex()  # as pop_auth(1) writes it
    for uid, home in accounts.homes(host, users).items():
        (home / ".spop3d").touch(mode=0o600)
        (home / ".spop3d").write_text(f"APOPSecret {secret} \n")
        os.chown(home / ".spop3d", uid, accounts.MAIL_GROUP)
    accounts.mailbox(host, ALIAS, accounts.FIRST_UID)
    aliases, configuration = host.directory / "aliases", host.directory / "spop3d.conf"
    aliases.write_text(f"{ALIAS}:{users[0]}\n")
    configuration.write_text(CONFIGURATION.format(aliases=aliases))
    inetd.start(host, {PORT: [program, "solid-pop3d", "-f", configuration]})
