"""`list` on a terminal is cut to its width; what is piped never is."""

import sys

import pytest

from tests.appliance import clean_environment
from tests.site import A, C, Site
from tests.terminal import Terminal, lines

USER = "a-user-with-a-name-that-is-much-too-long@a-long-domain.example.org"


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_rows_fit_the_terminal(site: Site, columns: int) -> None:
    site.log_in(A, C, user=USER)
    with Terminal(
        [sys.executable, "-m", "syslogauth", "list", "--config", str(site.config)], clean_environment(), columns=columns
    ) as screen:
        assert 0 == screen.ended()
    head, *rows = (line for line in lines(screen.written) if line)
    assert [] == [line for line in (head, *rows) if len(line) > columns]
    assert ["ADDRESS", "LEFT", "KIND", "SERVICE", "SERVER", "LOGINS", "HOST", "USER"] == head.split()
    assert [C, A] == [row.split()[0] for row in rows]
    assert [columns < 200] * 2 == [row.endswith("…") for row in rows]
    assert [columns == 200] * 2 == [USER in row for row in rows]


def test_what_is_piped_is_whole(site: Site) -> None:
    site.log_in(A, C, user=USER)
    assert [True, True] == [line.endswith(f" {USER}") for line in site.ask("list").stdout.splitlines()[1:]]


def test_no_text_of_a_client_drives_the_terminal(site: Site) -> None:
    site.log_in(A, user="eve\x1b[31m\u202e")
    for words in (("list",), ("show", A), ("list", "--by-user")):
        said = site.ask(*words).stdout
        assert "eve\\x1b[31m\\u202e" in said
        assert "\x1b" not in said
