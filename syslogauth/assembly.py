"""From the configuration to each part's own values: the parts know nothing of the file."""

from fnmatch import fnmatch
from pathlib import Path

from syslogauth.config import Config
from syslogauth.core.address import Networks
from syslogauth.core.formats import FORMATS, Recogniser
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy
from syslogauth.limits import Limits
from syslogauth.maps import MapSettings
from syslogauth.record import Bounds
from syslogauth.table import Table

TABLE = "table"  # in the state directory


def sources_of(config: Config) -> Sources:
    listen = config.listen
    declared = {
        escapes: Networks(text for source in listen.source if source.escapes is escapes for text in source.peers.texts)
        for escapes in (True, False)
    }
    holders = {escapes: frozenset[str]().union(*(s.tls_peers for s in listen.source if s.escapes is escapes)) for escapes in (True, False)}
    return Sources(
        *(listen.peers, listen.facilities, listen.accept_without_pri, listen.require_source_port_514),
        escaping=declared[True],
        splitting=declared[False],
        escaping_holders=holders[True],
        splitting_holders=holders[False],
    )


def peer_names(config: Config) -> frozenset[str]:
    """What its peers are called in metrics and logs: networks, names of certificates' holders, files."""
    return frozenset((*config.listen.peers.texts, *(peer.name for peer in config.tls.peer), *map(str, config.listen.file)))


def file_escapes(config: Config, path: str) -> bool | None:
    """Whether what wrote this file is declared to escape a client's line feeds; None where nothing is. As for peers, a single no counts."""
    name = str(Path(path).absolute())
    declared = [source.escapes for source in config.listen.source if any(fnmatch(name, str(pattern)) for pattern in source.files)]
    return all(declared) if declared else None


def policy_of(config: Config, pseudonym_key: bytes = b"") -> Policy:
    """`pseudonym_key`: of users, where their names are not to be stored; without it nothing is stored of them."""
    policy = config.policy
    return Policy(
        *(policy.grace_seconds, policy.services, policy.never_networks, policy.never_own, policy.proxied, policy.qpopper_stats),
        trusted_proxies=policy.trusted_proxies,
        rules=policy.rule,
        hold_max_seconds=policy.hold_max_seconds if policy.hold_while_connected else 0.0,
        pseudonym_key=None if policy.store_users else pseudonym_key,
    )


def recogniser_of(config: Config) -> Recogniser:
    """Every format, the site's own among them, under the tags that the site gave them too."""
    return Recogniser((*FORMATS, *config.format), config.listen.app_names)


def unescaping(config: Config) -> list[str]:
    """The servers whose logins are believed only from a source that escapes."""
    return [form.name for form in (*FORMATS, *config.format) if not form.escapes]


def intake_of(config: Config, pseudonym_key: bytes = b"") -> Intake:
    return Intake(sources_of(config), policy_of(config, pseudonym_key), recogniser_of(config))


def table_of(config: Config, *, readonly: bool = False, metasync: bool = True) -> Table:
    """The table, opened; `metasync` as there. Raises TableError, OSError."""
    policy = config.policy
    longest = policy.longest_grace_seconds
    held = policy.hold_max_seconds + longest if policy.hold_while_connected else 0.0
    bounds = Bounds(login_seconds=longest, manual_seconds=policy.max_manual_seconds, held_seconds=held)
    limits = Limits(policy.max_addresses_per_user, policy.max_addresses_per_ipv6_64, policy.max_new_grants_per_minute)
    return Table(table_directory(config), policy.max_addresses, bounds, readonly, limits=limits, metasync=metasync)


def table_directory(config: Config) -> Path:
    return config.state_directory / TABLE


def maps_of(config: Config) -> list[MapSettings]:
    return [
        MapSettings(export.path, export.format, export.ipv6_form, export.key_prefix, export.min_interval_seconds, export.mode)
        for export in config.export
        if export.type == "sendmail-hash"
    ]
