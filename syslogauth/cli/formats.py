"""`formats`: what each server's lines look like, and what they yield. `formats check FILE`: what is wrong with a site's own format.

Of the file of `check`, a draft or the whole configuration, nothing but its [[format]] tables is looked at; its mistakes end with 78.
"""

import argparse
import json
import os
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from syslogauth import where
from syslogauth.assembly import recogniser_of
from syslogauth.cli import CommandError
from syslogauth.cli.check import mistake
from syslogauth.cli.site import configuration
from syslogauth.config import ConfigError
from syslogauth.core import formats
from syslogauth.core.formats.grammar import Format
from syslogauth.core.formats.site import read

INDENT = 14


def main(arguments: argparse.Namespace) -> int:
    if arguments.what:
        if not arguments.file:
            raise CommandError("formats check: name the FILE with the [[format]] tables", os.EX_USAGE)
        return _check(arguments.file, as_json=arguments.json)
    config = configuration(arguments.config)
    forms, facilities = recogniser_of(config).formats, config.listen.facilities
    if arguments.json:
        print(json.dumps([_row(form, facilities) for form in forms]))
    else:
        print("\n\n".join("\n".join(_lines(form, facilities)) for form in forms))
    return os.EX_OK


def _row(form: Format, facilities: frozenset[str]) -> dict[str, object]:
    """What is said of one format with --json."""
    texts, app_name, address, user, service = _sample(form)
    return {
        "name": form.name,
        "site": form.site,
        "app_names": sorted(tag.decode() for tag in form.app_names),
        "file_app_names": sorted(tag.decode() for tag in form.file_app_names),
        "facility": form.facility,
        "facility_listed": form.facility in facilities,
        "escapes": form.escapes,
        "logouts": bool(form.ends),
        "notes": form.notes,
        "sample": [f"{app_name}: {text}" for text in texts],
        "yields": {"address": address, "user": user, "service": service},
    }


def _sample(form: Format) -> tuple[tuple[str, ...], str, str, str, str]:
    """One login: its lines, their tag, and what they yield."""
    if form.samples:
        sample = form.samples[0]
        return (sample.text,), sample.app_name, sample.address, sample.user, sample.service
    several = form.sequences[0]
    return several.texts, several.app_name, several.address, several.user, several.service


def _lines(form: Format, facilities: frozenset[str]) -> Iterator[str]:
    texts, app_name, address, user, service = _sample(form)
    yield f"{form.name}{' (your own)' if form.site else ''}"
    yield from _field("tags", ", ".join(sorted(tag.decode() for tag in form.app_names)))
    if form.file_app_names:
        yield from _field("in own logs", ", ".join(sorted(tag.decode() for tag in form.file_app_names)))
    mend = "" if form.facility in facilities else f' (not listed: add "{form.facility}" to listen.facilities where it logs there)'
    yield from _field("facility", f"{form.facility}{mend}")
    if not form.escapes:
        yield from _field("sources", "only such as escape line feeds: see listen.source")
    if form.ends:
        yield from _field("sessions", "logs their end too: see policy.hold_while_connected")
    if form.notes:
        yield from _field("notes", form.notes)
    for number, text in enumerate(texts):
        yield f"  {'' if number else 'sample':<{INDENT - 2}}{app_name}: {text}"
    yield from _field("yields", f"{address} {user} {service}")


def _field(name: str, text: str) -> list[str]:
    first = f"  {name:<{INDENT - 2}}"
    width = max(60, min(140, shutil.get_terminal_size((140, 24)).columns))
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * INDENT, break_on_hyphens=False, break_long_words=False)


def _check(file: str, *, as_json: bool) -> int:
    """With --json one object: file, formats (name, samples), mistakes as check-config has them."""
    try:
        tables = where.document(Path(file).read_text(encoding="utf-8"), file).get("format", [])
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", os.EX_NOINPUT) from None
    except UnicodeDecodeError:
        raise CommandError(f"{file}: is no UTF-8; write it as a UTF-8 text", os.EX_CONFIG) from None
    except ConfigError as error:
        raise CommandError("\n".join(error.mistakes), os.EX_CONFIG) from None
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise CommandError(f"{file}: format: no such table; write it as [[format]], with two brackets", os.EX_CONFIG)
    mistakes, right = [], []
    taken = {form.name for form in formats.FORMATS}
    for number, table in enumerate(tables):
        form = read(table, frozenset(taken))
        if isinstance(form, Format):
            taken.add(form.name)
            right.append({"name": form.name, "samples": len(form.samples)})
            if not as_json:
                print(f"{file}: format {form.name}: ok, {len(form.samples)} samples")
            continue
        mistakes += [f"{file}: format[{number}]{'.' if fault.key else ''}{fault.key}: {fault.text}" for fault in form]
    if as_json:
        print(json.dumps({"file": file, "formats": right, "mistakes": [mistake(line, file) for line in mistakes]}))
        return os.EX_CONFIG if mistakes else os.EX_OK
    if mistakes:
        raise CommandError("\n".join(mistakes), os.EX_CONFIG)
    return os.EX_OK
