import os
from pathlib import Path

import pytest

from syslogauth.config import Config, ConfigError, Endpoint, load, parse, unsafe
from syslogauth.core.address import Networks, pack
from syslogauth.core.message import FACILITIES

KNOWN_LISTEN = (
    "accept_without_pri, app_names, facilities, file, max_connections, max_connections_per_peer, peers, receive_buffer_bytes, "
    "require_source_port_514, source, tcp, tls, udp, workers"
)
KNOWN_TOP = "export, format, listen, log, metrics, policy, state_directory, tls"
SERVICES = "imap, pop3, submission, managesieve"

BAD = [  # one mistake each: the file, and the line about it
    ("[listen", "syntax: Expected ']' at the end of a table declaration (at end of document); mend the TOML there"),
    ("state_directory = 5", "state_directory: 5 is not a string in double quotes; write a string in double quotes"),
    ('state_directory = "state"', "state_directory: 'state' is not an absolute path; begin it with /"),
    ('state_directory = "/var/a\\u0000b"', "state_directory: '/var/a\\x00b' holds a NUL; write the path without it"),
    ("listne = {}", f"listne: no such setting (did you mean listen?); known here: {KNOWN_TOP}"),
    ("listen = 5", "listen: is not a table; write it as [listen] with its settings below"),
    ("[listen]\nudb = []", f"listen.udb: no such setting (did you mean udp?); known here: {KNOWN_LISTEN}"),
    ('[listen]\nudp = "127.0.0.1:514"', "listen.udp: '127.0.0.1:514' is not a list; write it in brackets: [\"...\"]"),
    ("[listen]\nudp = [514]", "listen.udp: 514 is not a string in double quotes; write a string in double quotes"),
    *(
        (
            f'[listen]\nudp = ["{text}"]',
            f'listen.udp: \'{text}\' is not ADDRESS:PORT; write "127.0.0.1:5140" or "[::1]:5140", with a literal address',
        )
        for text in ("localhost:514", "127.0.0.1", "::1:514", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "[127.0.0.1:514", "1.2.3:5")
    ),
    (
        '[listen]\nudp = ["127.0.0.1:514", "127.0.0.1:514"]',
        "listen.udp: 127.0.0.1:514 is listed twice; write it once",
    ),
    (
        '[listen]\nfile = ["/var/log/maillog", "/var/log/maillog"]',
        "listen.file: /var/log/maillog is listed twice, so that each line would count twice; write it once",
    ),
    ('[listen]\nfile = ["maillog"]', "listen.file: 'maillog' is not an absolute path; begin it with /"),
    (
        '[listen]\npeers = ["192.0.2.1/24"]',
        "listen.peers: 192.0.2.1/24 has host bits set; write networks such as 192.0.2.0/24 or 2001:db8::/32, host bits zero",
    ),
    (
        '[listen]\npeers = ["mail1"]',
        "listen.peers: 'mail1' does not appear to be an IPv4 or IPv6 network; "  # noqa: ISC004
        "write networks such as 192.0.2.0/24 or 2001:db8::/32, host bits zero",
    ),
    (
        '[listen]\nfacilities = ["mial"]',
        f"listen.facilities: 'mial' is not known (did you mean mail?); write one of {', '.join(FACILITIES)}",
    ),
    (
        "[listen]\nfacilities = []",
        'listen.facilities: the list is empty, so that every message would be refused; write ["mail"] at least',
    ),
    ("[listen]\nworkers = 0", "listen.workers: 0 receiving processes is out of range; write one from 1 to 64"),
    ("[listen]\nworkers = 65", "listen.workers: 65 receiving processes is out of range; write one from 1 to 64"),
    ("[listen]\nworkers = 2.0", "listen.workers: 2.0 is not a whole number of receiving processes; write it without quotes"),
    ("[listen]\nworkers = true", "listen.workers: True is not a whole number of receiving processes; write it without quotes"),
    (
        "[listen]\nreceive_buffer_bytes = 1e6",
        "listen.receive_buffer_bytes: 1000000.0 is not a whole number of bytes; write it without quotes",
    ),
    (
        "[listen]\nreceive_buffer_bytes = 4095",
        "listen.receive_buffer_bytes: 4095 bytes is out of range; write one from 4096 to 1073741824",
    ),
    ("[listen]\nrequire_source_port_514 = 1", "listen.require_source_port_514: 1 is not true or false; write true or false"),
    ('[policy]\ngrace_seconds = "1800"', "policy.grace_seconds: '1800' is not a number of seconds; write it without quotes"),
    ("[policy]\ngrace_seconds = 0", "policy.grace_seconds: 0 seconds is out of range; write one from 1 to 2678400"),
    ("[policy]\ngrace_seconds = inf", "policy.grace_seconds: inf seconds is out of range; write one from 1 to 2678400"),
    ("[policy]\ngrace_seconds = nan", "policy.grace_seconds: nan seconds is out of range; write one from 1 to 2678400"),
    ("[policy]\ngrace_seconds = true", "policy.grace_seconds: True is not a number of seconds; write it without quotes"),
    ('[policy]\nservices = ["pop"]', f"policy.services: 'pop' is not known (did you mean pop3?); write one of {SERVICES}"),
    ('[policy]\nservices = [["pop3"]]', f"policy.services: ['pop3'] is not known (did you mean pop3?); write one of {SERVICES}"),
    ("[policy]\nmax_addresses = 0", "policy.max_addresses: 0 addresses is out of range; write one from 1 to 100000000"),
    ('[policy]\non_stop = "leave"', "policy.on_stop: 'leave' is not known; write one of empty, keep"),
    ('[export]\npath = "/x"', "export: is not a list of tables; write it as [[export]], with two brackets"),
    ("export = [5]", "export: is not a list of tables; write it as [[export]], with two brackets"),
    ('[[export]]\ntype = "redis"', "export.type: 'redis' is not known; write one of sendmail-hash"),
    ('[[export]]\npath = "popauth"', "export.path: 'popauth' is not an absolute path; begin it with /"),
    ('[[export]]\nformat = "hash"', "export.format: 'hash' is not known (did you mean hash9?); write one of auto, hash9, hash2, makemap"),
    (
        "[[export]]\nmin_interval_seconds = 0.5",
        "export.min_interval_seconds: 0.5 seconds is out of range; write one from 1 to 60",
    ),
    ("[[export]]\nmode = 640", 'export.mode: 640 is not a file mode; write it as octal digits in quotes: "0640"'),
    ('[[export]]\nmode = "0888"', "export.mode: '0888' is not a file mode; write it as octal digits in quotes: \"0640\""),
    *(
        (
            f'[[export]]\nmode = "{mode}"',
            f"export.mode: mode {mode} would let others write the map or keep syslogauth from it; write 0640, 0600 or 0644",
        )
        for mode in ("0660", "666", "0440", "0750", "4640")
    ),
    (
        '[[export]]\nkey_prefix = "POP: "',
        "export.key_prefix: 'POP: ' holds a blank or a control character; write a prefix such as \"POP:\"",
    ),
    (
        '[[export]]\npath = "/var/a"\n[[export]]\npath = "/var/a"',
        "export: two exports write /var/a.db; give each a path of its own",
    ),
    (
        '[[export]]\npath = "/var/a"\n[[export]]\npath = "/var/a.db"',
        "export: two exports write /var/a.db; give each a path of its own",
    ),
    (
        '[metrics]\nlisten = "9514"',
        'metrics.listen: \'9514\' is not ADDRESS:PORT; write "127.0.0.1:5140" or "[::1]:5140", with a literal address',
    ),
    ('[log]\nlevel = "loud"', "log.level: 'loud' is not known; write one of debug, info, warning, error"),
    (
        '[log]\nfacility = "mail"',
        "log.facility: syslogauth logs to standard error alone, never to facility mail; remove the key",
    ),
]


@pytest.mark.parametrize(("text", "line"), BAD)
def test_a_mistake_is_one_line_that_says_where_what_and_how_to_mend_it(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml")
    assert (f"x.toml: {line}",) == raised.value.mistakes


def test_several_mistakes_are_told_together_in_a_fixed_order() -> None:
    text = '[policy]\ngrace = 1\ngrace_seconds = "1"\nzone = 1\nalpha = 2\n[listen]\nworkers = 0\n[extra]\n[another]\n'
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml")
    expected = ["extra", "another", "listen.workers", "policy.grace", "policy.zone", "policy.alpha", "policy.grace_seconds"]
    assert expected == [mistake.split(": ")[1] for mistake in raised.value.mistakes]


def test_no_text_gives_the_defaults_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/tmp/somebody")  # noqa: S108 - a name, nothing is made there
    config = parse("")
    state = Path("/var/lib/syslogauth") if os.geteuid() == 0 else Path("/tmp/somebody/syslogauth")  # noqa: S108
    assert (state, state / "popauth") == (config.state_directory, config.export[0].path)
    listen, policy, export = config.listen, config.policy, config.export[0]
    assert (Endpoint("127.0.0.1", 5140),) == listen.udp
    assert (("127.0.0.0/8", "::1/128"), frozenset(("mail", "local0"))) == (listen.peers.texts, listen.facilities)
    assert (16777216, 1, (), False) == (
        listen.receive_buffer_bytes, listen.workers, listen.accept_without_pri.texts, listen.require_source_port_514,
    )  # fmt: skip
    assert (1800, frozenset(("imap", "pop3")), ("127.0.0.0/8", "::1/128")) == (
        policy.grace_seconds,
        policy.services,
        policy.never_networks.texts,
    )
    assert (True, 5_000_000, 31536000, "empty") == (policy.never_own, policy.max_addresses, policy.max_manual_seconds, policy.on_stop)
    assert ("sendmail-hash", "auto", "full", "", 1.0, 0o640) == (
        export.type, export.format, export.ipv6_form, export.key_prefix, export.min_interval_seconds, export.mode,
    )  # fmt: skip
    assert (Endpoint("127.0.0.1", 9514), "auto", "info") == (config.metrics.listen, config.log.format, config.log.level)
    assert (False, 900, True) == (config.log.users, config.log.silent_after_seconds, policy.store_users)


def test_every_setting_is_taken() -> None:
    config: Config = parse(
        """
        state_directory = "/srv/state"
        [listen]
        udp = ["0.0.0.0:514", "[::]:514"]
        peers = ["192.0.2.0/24"]
        facilities = ["local1"]
        receive_buffer_bytes = 4096
        workers = 64
        accept_without_pri = ["192.0.2.7"]
        require_source_port_514 = true
        [policy]
        grace_seconds = 60.5
        services = ["submission"]
        never_networks = []
        never_own = false
        max_addresses = 10
        max_manual_seconds = 10
        on_stop = "keep"
        store_users = false
        [[export]]
        path = "/var/a"
        [[export]]
        path = "/var/b"
        format = "hash2"
        ipv6_form = "both"
        key_prefix = "POP:"
        min_interval_seconds = 2
        mode = "644"
        [metrics]
        listen = ""
        [log]
        format = "json"
        level = "debug"
        silent_after_seconds = 0
        """
    )
    assert (0, False) == (config.log.silent_after_seconds, config.policy.store_users)
    assert ["0.0.0.0:514", "[::]:514"] == list(map(str, config.listen.udp))
    assert [Path("/var/a"), Path("/var/b")] == [export.path for export in config.export]
    assert ("hash2", "both", "POP:", 2.0, 0o644) == (
        config.export[1].format, config.export[1].ipv6_form, config.export[1].key_prefix, config.export[1].min_interval_seconds,
        config.export[1].mode,
    )  # fmt: skip
    assert config.metrics.listen is None
    assert (64, 60.5, False, "keep") == (
        config.listen.workers, config.policy.grace_seconds, config.policy.never_own, config.policy.on_stop,
    )  # fmt: skip
    without_priority: Networks = config.listen.accept_without_pri
    address = pack("192.0.2.7")
    assert address in without_priority if address else False


def test_a_map_in_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "maps"
    shared.mkdir(parents=True)
    shared.parent.chmod(0o775)
    text = f'[[export]]\npath = "{shared}/popauth"'
    parse(text)  # a command that only reads the table works all the same
    with pytest.raises(ConfigError) as raised:
        parse(text, "x.toml", check_paths=True)
    what = f"{shared.parent} is writable by group or others, so sendmail would not read the map; run: chmod go-w {shared.parent}"
    assert (f"x.toml: export.path: {what}",) == raised.value.mistakes
    shared.parent.chmod(0o1777)
    assert unsafe(shared) is None


def test_the_file_is_the_one_named_before_the_one_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("named", "environment"):
        (tmp_path / name).write_text(f'state_directory = "/srv/{name}"')
    monkeypatch.setenv("SYSLOGAUTH_CONFIG", str(tmp_path / "environment"))
    assert Path("/srv/environment") == load()[0].state_directory
    config, text, file = load(str(tmp_path / "named"))
    assert (Path("/srv/named"), 'state_directory = "/srv/named"', str(tmp_path / "named")) == (config.state_directory, text, file)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "file: does not exist; name another with --config or SYSLOGAUTH_CONFIG"),
        (
            b"\xff",
            "file: cannot be read ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte); "  # noqa: ISC004
            "make it a UTF-8 text that this user may read",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, line: str) -> None:
    file = tmp_path / "x.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load(str(file))
    assert (f"{file}: {line}",) == raised.value.mistakes
