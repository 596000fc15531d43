"""What more formats cost: a message that is no login, as Intake.feed sees it, with three formats on and with all; and a login of each.

One process, its own CPU time, batches as a busy receiver takes them. Within a round the receivers take turns, so that noise of the machine
that lasts longer than a round cancels out of the ratio; each turn is the shortest of a few, for what lasts less.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from time import process_time

from benchmarks.corpus import corpus
from benchmarks.figures import Spread, markdown, ratio_to_better, spread
from syslogauth.core import formats
from syslogauth.core.address import Networks
from syslogauth.core.batch import Batch
from syslogauth.core.formats import Recogniser
from syslogauth.core.formats.grammar import Format
from syslogauth.core.gate import gate_pattern
from syslogauth.core.intake import Intake
from syslogauth.core.peers import Sources
from syslogauth.core.policy import Policy

BATCH = 100
TURNS = 3
NOISE = 20_000
LOGINS = 50  # batches of a format's logins
FACILITIES = frozenset({"mail"})
PEER = ("127.0.0.1", 514)
FEW = Recogniser(form for form in formats.FORMATS if form.name in ("dovecot", "qpopper", "uw"))
GATE, FEED, HELD = "the gate alone", "Intake.feed", "Intake.feed, ends of sessions read too"
Figures = dict[str, tuple[list[float], list[float]]]  # seconds a message with three formats and with all, a value a round


def measure(rounds: int, count: int = NOISE) -> tuple[Figures, dict[str, list[float]]]:
    """The noise with three formats and with all, by how it is read; and seconds a login, by format."""
    datagrams = [entry.datagram() for entry in corpus(0.0)[:count]]
    batches = [Batch.of((datagram, PEER) for datagram in datagrams[start : start + BATCH]) for start in range(0, len(datagrams), BATCH)]
    readers: dict[str, tuple[Callable[[], None], ...]] = {
        GATE: tuple(_gate(recogniser, datagrams) for recogniser in (FEW, formats.ALL)),
        FEED: tuple(_feed(_intake(recogniser, 0.0), batches) for recogniser in (FEW, formats.ALL)),
        HELD: tuple(_feed(_intake(recogniser, 3600.0), batches) for recogniser in (FEW, formats.ALL)),
    }
    figures: Figures = {name: ([], []) for name in readers}
    by_format: dict[str, list[float]] = {form.name: [] for form in formats.FORMATS}
    for _ in range(rounds):
        for name, both in readers.items():
            turns = [[_seconds(read) for read in both] for _ in range(TURNS)]
            for index, values in enumerate(figures[name]):
                values.append(min(turn[index] for turn in turns) / len(datagrams))
        for form in formats.FORMATS:
            by_format[form.name].append(_login_seconds(form, max(1, LOGINS * count // NOISE)))
    return figures, by_format


def ratios(figures: Figures) -> dict[str, Spread]:
    return {name: ratio_to_better(all_formats, few) for name, (few, all_formats) in figures.items()}


def tables(figures: Figures, by_format: dict[str, list[float]]) -> str:
    shares = ratios(figures)
    few, many = len(FEW.formats), len(formats.FORMATS)
    noise = markdown(
        ["a message that is no login", f"{few} formats, ns", f"all {many}, ns", "ratio"],
        [[name, *(nanoseconds(values) for values in both), shares[name].text(3)] for name, both in figures.items()],
    )
    return noise + "\n\n" + markdown(["a login of", "ns"], [[name, nanoseconds(values)] for name, values in by_format.items()])


def nanoseconds(values: Sequence[float]) -> str:
    return spread([value * 1e9 for value in values]).text()


def _intake(recogniser: Recogniser, hold_max_seconds: float) -> Intake:
    services = frozenset({"imap", "pop3"})
    return Intake(Sources(Networks(("127.0.0.0/8",)), FACILITIES), Policy(1800.0, services, hold_max_seconds=hold_max_seconds), recogniser)


def _gate(recogniser: Recogniser, datagrams: Sequence[bytes]) -> Callable[[], None]:
    match = gate_pattern(recogniser, FACILITIES, logouts=False).match

    def read() -> None:
        for datagram in datagrams:
            match(datagram)

    return read


def _feed(intake: Intake, batches: Sequence[Batch]) -> Callable[[], None]:
    def read() -> None:
        for batch in batches:
            assert not intake.feed(batch, 1e9), "noise gave a grant"
            intake.sessions.clear()

    return read


def _login_seconds(form: Format, batches: int) -> float:
    """A login of the format, of several lines where it takes several. Grants or not is the policy's matter; that it is read is checked."""
    tag, texts = (
        (form.sequences[0].app_name, form.sequences[0].texts)
        if form.sequences
        else next((sample.app_name, (sample.text,)) for sample in form.samples if not sample.own_log)
    )
    datagrams = [f"<22>Nov 22 10:28:45 mail1 {tag}[733]: {text}".encode() for text in texts]
    intake = _intake(formats.ALL, 0.0)
    batch = [(datagram, PEER) for datagram in datagrams] * BATCH
    elapsed = min(_seconds(lambda: [intake.feed(Batch.of(batch), 1e9) for _ in repeat(None, batches)]) for _ in range(TURNS))
    logins = sum(intake.tally.logins.values())
    assert logins == TURNS * batches * BATCH, f"{form.name}: {logins} logins were read"
    return elapsed / (batches * BATCH)


def _seconds(run: Callable[[], object]) -> float:
    begun = process_time()
    run()
    return process_time() - begun
