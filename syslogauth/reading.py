"""One pass over a TOML document: its settings by section, and every mistake as one line, `FILE: key: what is wrong; how to mend it`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syslogauth import settings


@dataclass(slots=True)
class Reading:
    """One pass over a document, collecting its mistakes.

    `sections`: section -> setting -> (how it is read, its default as TOML has it). `lists`: those that are written with two brackets.
    """

    file: str
    check_paths: bool
    sections: Mapping[str, Mapping[str, tuple[settings.Reader, Any]]]
    lists: tuple[str, ...]
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, key: str, text: str) -> None:
        self.mistakes.append(f"{self.file}: {key}: {text}")

    def section(self, name: str, document: Any) -> dict[str, Any]:
        known = self.sections[name.partition("[")[0]]
        if not isinstance(document, Mapping):
            self.wrong(name, f"is not a table; write it as [{name}] with its settings below")
            document = {}
        lists = {of.removeprefix(f"{name}.") for of in self.lists if of.startswith(f"{name}.")}
        for key in [key for key in document if key not in known and key not in lists]:
            self.unknown(f"{name}.{key}", key, {*known, *lists})
        values = {}
        for key, (read, default) in known.items():
            try:
                given = document.get(key, default)
                values[key] = None if given is None else read(given)
            except ValueError as error:
                self.wrong(f"{name}.{key}", str(error))
        return values

    def tables(self, name: str, document: Any) -> list[tuple[str, dict[str, Any]]]:
        """Each table of a list, with its name in messages."""
        if not isinstance(document, list) or not all(isinstance(table, Mapping) for table in document):
            self.wrong(name, f"is not a list of tables; write it as [[{name}]], with two brackets")
            return []
        names = [f"{name}[{number}]" if len(document) > 1 else name for number in range(len(document))]
        return [(called, self.section(called, table)) for called, table in zip(names, document, strict=True)]

    def unknown(self, where: str, key: str, known: Any) -> None:
        if where == "log.facility":  # asked for often enough: its own lines would come back to it
            self.wrong(where, "syslogauth logs to standard error alone, never to facility mail; remove the key")
        else:
            self.wrong(where, f"no such setting{settings.near(key, known)}; known here: {', '.join(sorted(known))}")
