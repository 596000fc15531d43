"""A real Prometheus scrapes a running daemon: every query of the dashboard and every rule that deploy/ ships has data."""

import contextlib
import math
import re
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.appliance import REPOSITORY, free_port
from tests.dashboard import DASHBOARD, queries, variables
from tests.deadline import wait_until
from tests.e2e.certificate import self_signed
from tests.prometheus import Prometheus, promtool
from tests.running import LOGIN, A, Site, log_in, send

SHIPPED = REPOSITORY / "deploy/prometheus"
RATE_INTERVAL = "4s"  # Grafana's $__rate_interval is four scrapes at least
NOT_OURS = "syslogauth_map_modified_timestamp_seconds"  # of syslogauth-map-mtime, by node_exporter
OTHERS = (
    "<22>Nov 22 10:09:49 mail1 postfix/smtpd[7]: connect from client.example.net[192.0.2.66]",  # no login
    "<22>Nov 22 10:09:49 mail1 dovecot: imap-login: Login: user=<eve>, method=PLAIN, rip=198.51.100.9, of a later version",  # unrecognised
    "<22>Nov 22 10:09:49 mail1 last message repeated 2 times",
    "no syslog message",
)


BEGUN = {"SyslogauthClockSkew", "SyslogauthConnectionsRefused", "SyslogauthParseFailures", "SyslogauthUnrecognised"}  # by such traffic


class Traffic:
    """All that a day brings, in one turn: by UDP, by TCP and in a file that is rotated each time."""

    def __init__(self, site: Site, tcp: tuple[str, int], tls: tuple[str, int], file: Path) -> None:
        self.site = site
        self.tcp = tcp
        self.tls = tls
        self.file = file
        self.logins = count()
        self.open = socket.create_connection(tcp, 5)  # while others come and go

    def turn(self) -> None:
        send(self.site.udp, self._login(), *OTHERS)
        log_in(self.site.udp, A)
        with socket.create_connection(self.tcp, 5) as connection:
            connection.sendall(self._login().encode() + b"\n")
        with socket.create_connection(self.tls, 5) as stranger:
            stranger.sendall(b"no TLS\n")
        self.file.rename(self.file.with_suffix(".0"))
        self.file.write_text(self._login().partition(">")[2] + "\n")

    def _login(self) -> str:
        """Of another user, from another address."""
        n = next(self.logins)
        return LOGIN.format(service="imap", user=f"user{n}", address=f"198.18.{n // 250}.{n % 250 + 1}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.appliance.stop()


@pytest.fixture(scope="module")
def traffic(site: Site) -> Iterator[Traffic]:
    """Of a daemon that listens by every transport."""
    self_signed(site.directory)
    tcp, tls = (("127.0.0.1", free_port(socket.SOCK_STREAM)) for _ in range(2))
    (file := site.directory / "maillog").touch()
    listen = f'[listen]\ntcp = ["127.0.0.1:{tcp[1]}"]\ntls = ["127.0.0.1:{tls[1]}"]\nfile = ["{file}"]'
    names = {"certificate": "certificate.pem", "key": "key.pem", "client_ca": "certificate.pem"}
    section = "\n".join(
        [
            "[tls]",
            *(f'{key} = "{site.directory}/{name}"' for key, name in names.items()),
            '[[tls.peer]]\nname = "mail2"\nsubjects = ["mail2.example.org"]',
        ]
    )
    site.configure(site.text.replace("[listen]", listen) + section)
    site.start()
    traffic = Traffic(site, tcp, tls, file)
    yield traffic
    traffic.open.close()


@pytest.fixture(scope="module")
def prometheus(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With the configuration and the rules that are shipped; only the times are shorter, and the address is this daemon's."""
    configuration: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    [job] = (job for job in configuration["scrape_configs"] if job["job_name"] == "syslogauth")
    [target] = job["static_configs"]
    assert ["127.0.0.1:9514"] == target["targets"]
    target["targets"], job["scrape_interval"] = [f"127.0.0.1:{traffic.site.metrics[1]}"], "1s"
    configuration["rule_files"] = [str(SHIPPED / name) for name in configuration["rule_files"]]
    configuration |= {"global": {"evaluation_interval": "1s"}, "scrape_configs": [job]}
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), free_port(socket.SOCK_STREAM), configuration)
    yield running
    running.stop()


def chosen(prometheus: Prometheus) -> dict[str, str]:
    """What Grafana puts in the place of each variable where all is chosen: `$job` -> (syslogauth)."""
    found = {"$__rate_interval": RATE_INTERVAL}
    for name, (label, selector) in variables(DASHBOARD).items():
        values = wait_until(lambda: prometheus.label_values(label, filled(selector, found)), f"values of the variable {name}")  # noqa: B023 - called here
        found[f"${name}"] = "(" + "|".join(re.escape(value).replace("\\", "\\\\") for value in values) + ")"
    return found


def filled(query: str, found: dict[str, str]) -> str:
    for name, value in found.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def without_data(prometheus: Prometheus, traffic: Traffic, queries: dict[str, str]) -> dict[str, str]:
    """What has no data, or nothing but NaN, after a while with traffic."""
    missing = dict(queries)

    def all_seen() -> bool:
        traffic.turn()
        for what, query in [*missing.items()]:
            if any(not math.isnan(value) for _, value in prometheus.ask(query)):
                del missing[what]
        return not missing

    with contextlib.suppress(AssertionError):  # the caller says it better
        wait_until(all_seen, "data", 20.0)
    return missing


def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load((SHIPPED / "syslogauth.rules.yml").read_text())["groups"] for rule in group["rules"]]


def test_every_query_of_the_dashboard_has_data(prometheus: Prometheus, traffic: Traffic) -> None:
    traffic.turn()
    found = chosen(prometheus)
    asked = {f"{title}: {legend}": filled(query, found) for title, legend, query in queries(DASHBOARD)}
    assert len(asked) > 50
    assert {} == without_data(prometheus, traffic, asked)


def test_every_recording_rule_and_every_metric_that_an_alert_asks_for_has_data(prometheus: Prometheus, traffic: Traffic) -> None:
    """An alert whose metric is never there is silent for ever."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for rule in rules() for name in re.findall(r"(?<![\w:])syslogauth_\w+(?:\{[^}]*\})?", rule["expr"])}
    assert {} == without_data(prometheus, traffic, {name: name for name in recorded | asked - {NOT_OURS}})


def test_every_rule_can_be_asked_and_finds_no_fault_with_a_healthy_daemon(prometheus: Prometheus, traffic: Traffic) -> None:
    traffic.turn()

    def evaluated() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in evaluated()), "every rule to be evaluated")
    assert len(rules()) == len(evaluated())
    assert {} == {rule["name"]: rule.get("lastError") for rule in evaluated() if rule["health"] != "ok"}
    assert [] == [rule["name"] for rule in evaluated() if rule.get("state") == "firing"]
    assert {rule["name"] for rule in evaluated() if rule.get("state") == "pending"} <= BEGUN


def test_the_page_has_nothing_that_promtool_finds_fault_with(traffic: Traffic) -> None:
    status, page = traffic.site.appliance.get("/metrics")
    assert status == 200
    checked = promtool("check", "metrics", said=page)
    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)
