"""Invariant: whatever plain_state_directory() makes of a file, tomllib makes of it too; what it is not sure of, it leaves to tomllib."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syslogauth.where import plain_state_directory

SHIPPED = Path(__file__).parents[2] / "deploy" / "syslogauth.toml"

keys = st.sampled_from(("state_directory", "listen", "source", "a", "b", "a-b", "a_b", "1", "", "a.b", '"a"', "ä", "a b"))
texts = st.sampled_from(('"/var/lib/x"', '""', "'x'", '"a#b"', '"a\\nb"', '"a', 'a"', '"""x"""', '"a, b"', '"é"', '"a" "b"', '"a\tb"'))
values = st.one_of(
    texts,
    st.lists(texts, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    st.sampled_from(
        ("true", "True", "0", "7", "07", "1.5", "1.", ".5", "1_0", "-1", "1e3", "[]", "[ ]", "{}", "{a = 1}", "[", "[1]", "", "٣")
    ),
)
sections = st.sampled_from(("listen", "a", "b", "listen.source", "a.b", "a.b.a", "state_directory", "", " a ", "a b", "ä"))
lines = st.one_of(
    st.builds("{} = {}".format, keys, values),
    st.builds("{}={} # x".format, keys, values),
    sections.map("[{}]".format),
    sections.map("[[{}]]".format),
    st.sampled_from(
        ("", "# x", "#\x01", "  # y", "[a", "a]", "[[a]", "[a]]", "a", "=", "\t", "[a] b", "[a] # b", "\x0c", "\u2028", "\xa0")
    ),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(lines, max_size=7).map("\n".join))
@example('[a]\n[[a.b]]\nb = 1\n[[a.b]]\nb = 1\n[b]\nb = "x"')
@example("[[a]]\n[a]")
@example("a = 1\n[a]")
@example("[a]\nb = 1\n[[a.b]]")
@example("[[a]]\n[[a.b]]")
def test_what_is_plain_says_the_same_to_tomllib(text: str) -> None:
    plain = plain_state_directory(text)
    if plain is not None:
        assert tomllib.loads(text).get("state_directory", "") == plain


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ("", ""),
        ('state_directory = "/srv/x"  # here', "/srv/x"),
        ('# nothing\n[listen]\nudp = ["127.0.0.1:5140", "[::1]:5140"]\nworkers = 1\n[[listen.source]]\nescapes = true', ""),
        ('[listen]\nstate_directory = "/srv/x"', ""),
        ('[[export]]\npath = "/a"\n[[export]]\npath = "/b"', ""),
        ("state_directory = '/srv/x'", None),
        ("state_directory = 7", None),
        ("state_directory = ", None),
        ("[listen]\nudp = [\n]", None),
    ],
)
def test_plain_is_what_a_site_mostly_writes(text: str, directory: str | None) -> None:
    assert directory == plain_state_directory(text)


def test_the_file_that_is_shipped_is_plain() -> None:
    text = SHIPPED.read_text()
    assert tomllib.loads(text)["state_directory"] == plain_state_directory(text)
