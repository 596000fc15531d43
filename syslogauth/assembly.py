"""From the configuration to each part's own values: the parts know nothing of the file."""

from pathlib import Path

from syslogauth.config import Config
from syslogauth.core.intake import Sources
from syslogauth.core.policy import Policy
from syslogauth.maps import MapSettings
from syslogauth.record import Bounds
from syslogauth.table import Table


def sources_of(config: Config) -> Sources:
    listen = config.listen
    return Sources(listen.peers, listen.facilities, listen.accept_without_pri, listen.require_source_port_514)


def policy_of(config: Config) -> Policy:
    policy = config.policy
    return Policy(policy.grace_seconds, policy.services, policy.never_networks, policy.never_own, policy.proxied, policy.qpopper_stats)


def table_of(config: Config, *, readonly: bool = False) -> Table:
    """The table, opened. Raises TableError, OSError."""
    policy = config.policy
    bounds = Bounds(login_seconds=policy.grace_seconds, manual_seconds=policy.max_manual_seconds)
    return Table(table_directory(config), policy.max_addresses, bounds, readonly)


def table_directory(config: Config) -> Path:
    return config.state_directory / "table"


def maps_of(config: Config) -> list[MapSettings]:
    return [
        MapSettings(export.path, export.format, export.ipv6_form, export.key_prefix, export.min_interval_seconds, export.mode)
        for export in config.export
        if export.type == "sendmail-hash"
    ]
