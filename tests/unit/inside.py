"""A command inside the test's own process: a tenth of the time. Not `run`, nor `export` where it writes: they set up logging for good."""

import subprocess

import pytest

from syslogauth.cli import main
from tests.site import Site


class Inside:
    """Asks the commands of a site as tests.site.Site.ask() does."""

    def __init__(self, site: Site, captured: pytest.CaptureFixture[str]) -> None:
        self.site = site
        self.captured = captured

    def ask(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        asked = [verb, "--config", str(self.site.config), *words]
        if verb == "run" or (verb == "export" and "--check" not in words):
            return self.site.ask(verb, *words)
        try:
            code = main(asked)
        except SystemExit as ended:  # argparse's own
            code = int(ended.code or 0)
        said = self.captured.readouterr()
        assert "Traceback" not in said.err
        return subprocess.CompletedProcess(asked, code, said.out, said.err)
