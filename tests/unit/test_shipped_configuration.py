"""deploy/syslogauth.toml has every setting at its default, and an example of each that has none."""

import re
import tomllib
from pathlib import Path

from syslogauth.config import SECTIONS, TOP, parse
from syslogauth.core.formats.site import KEYS

DEPLOY = Path(__file__).parent.parent.parent / "deploy"

EXAMPLES = {"listen.source", "tls", "tls.peer", "policy.rule", "policy.always"}  # they have no default


def test_the_shipped_configuration_has_every_setting_at_its_default() -> None:
    text = (DEPLOY / "syslogauth.toml").read_text()
    shipped = tomllib.loads(text)
    assert TOP - {"format", "tls"} == shipped.keys()
    (export,) = shipped["export"]
    assert f"{shipped['state_directory']}/popauth" == export["path"], "config.py: state_directory/popauth"
    for name, known in SECTIONS.items():
        defaults = {key: default for key, (_, default) in known.items()}
        if name == "export":
            defaults["path"] = export["path"]
        if name not in EXAMPLES:
            assert defaults == (export if name == "export" else shipped[name])
    assert "/var/db/syslogauth" == shipped["state_directory"]
    assert 'On Linux: "/var/lib/syslogauth"' in text
    assert Path(export["path"]) == parse(f'state_directory = "{shipped["state_directory"]}"').export[0].path
    parse(text)


def test_the_examples_in_the_shipped_configuration_name_every_setting_and_are_right() -> None:
    text = (DEPLOY / "syslogauth.toml").read_text()
    with_examples = re.sub(r"^# (\[\[?[\w.]+\]|\w+ = )", r"\1", text, flags=re.MULTILINE)
    document = tomllib.loads(with_examples)
    tls = document["tls"]
    found = {
        name: {key for table in document[name.partition(".")[0]][name.partition(".")[2]] for key in table} for name in EXAMPLES - {"tls"}
    }
    assert {name: SECTIONS[name].keys() for name in EXAMPLES} == {**found, "tls": tls.keys() - {"peer"}}
    (form,) = document["format"]
    assert KEYS == form.keys()
    config = parse(with_examples)
    counted = (config.listen.source, config.tls.peer, config.policy.rule, config.policy.always, config.format)
    assert [1, 1, 2, 1, 1] == [len(tables) for tables in counted]
