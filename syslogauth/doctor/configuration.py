"""Is the configuration right: the mistakes that reading it gave, a line each as `FILE: key: what is wrong; how to mend it`."""

from collections.abc import Iterator, Sequence

from syslogauth.doctor.finding import Finding, fail, ok
from syslogauth.doctor.site import Site

SUBJECT = "configuration"


def check(site: Site) -> Iterator[Finding]:
    yield from judge(site.config_file, site.mistakes)


def judge(file: str, mistakes: Sequence[str]) -> Iterator[Finding]:
    for mistake in mistakes:
        said, _, mend = mistake.partition("; ")
        yield fail(SUBJECT, said, mend.removeprefix("run: "))
    if not mistakes:
        yield ok(SUBJECT, f"{file or 'no file: the defaults'} is right")
