"""A real Prometheus in a private directory, and promtool: from the PATH, or from where tests/install-peers has unpacked them."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.deadline import wait_until
from tests.e2e.syslogds import PEERS_DIRECTORY
from tests.needs import need

Rows = list[tuple[dict[str, str], float]]


def program(name: str) -> str:
    """Path of prometheus or promtool; skips or fails the test where there is none."""
    unpacked = PEERS_DIRECTORY / "usr/bin" / name
    return need(str(unpacked) if unpacked.exists() else name)


def promtool(*words: str | Path, said: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it; the exit code is not checked."""
    return subprocess.run([program("promtool"), *map(str, words)], input=said, capture_output=True, text=True, timeout=60)


class Prometheus:
    """One that runs from the making of this until stop(), on a port of 127.0.0.1; the configuration is written as it is given."""

    def __init__(self, directory: Path, port: int, configuration: dict[str, Any]) -> None:
        self.address = f"127.0.0.1:{port}"
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        flags = [f"--config.file={file}", f"--storage.tsdb.path={directory}/data", f"--web.listen-address={self.address}"]
        with (directory / "prometheus.out").open("wb") as said:
            self.running = subprocess.Popen(
                [program("prometheus"), *flags], cwd=directory, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        try:
            wait_until(self._ready, f"prometheus to be ready, see {directory}/prometheus.out", 20.0)
        except AssertionError:
            self.stop()
            raise

    def stop(self) -> None:
        self.running.terminate()
        self.running.wait(15)

    def _ready(self) -> bool:
        assert self.running.poll() is None, "prometheus has ended"
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; an AssertionError with its own words where it refuses."""
        query = urllib.parse.urlencode({name.replace("match", "match[]"): value for name, value in parameters.items()})
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=5) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def ask(self, query: str) -> Rows:
        """What it knows now: labels and value of each series."""
        return [(row["metric"], float(row["value"][1])) for row in self.get("query", query=query)["result"]]

    def label_values(self, label: str, selector: str) -> list[str]:
        """As Grafana asks for a variable's values."""
        values: list[str] = self.get(f"label/{label}/values", match=selector)
        return values
