"""The fuzzer, 40 seconds of it where CI installs everything and five seconds elsewhere; SYSLOGAUTH_FUZZ_SECONDS=600 by hand."""

import base64
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from syslogauth.core import formats
from syslogauth.core.formats import Recogniser, uw
from syslogauth.core.formats.grammar import Read
from syslogauth.core.login import GRANT, Refusal
from tests.appliance import REPOSITORY
from tests.fuzz.one_input import Receivers, decode, encode
from tests.fuzz.seeds import dictionary, seeds
from tests.headers import HEADERS
from tests.needs import missing

DEFAULT_SECONDS = 40 if os.environ.get("SYSLOGAUTH_PEERS") == "1" else 5
SECONDS = int(os.environ.get("SYSLOGAUTH_FUZZ_SECONDS", DEFAULT_SECONDS))
LEAST_INPUTS_A_SECOND = 100  # a tenth of what an old machine does
STATUS = re.compile(r"^#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+)", re.MULTILINE)


def test_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        missing("atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    begun_with = {hashlib.sha256(seed).hexdigest(): seed for seed in seeds()}
    for name, seed in begun_with.items():
        (corpus / name).write_bytes(seed)
    (tmp_path / "dictionary").write_text(dictionary())
    options = [f"-dict={tmp_path}/dictionary", f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/found-"]
    command = [sys.executable, "-m", "tests.fuzz.target", *options, "-max_len=1024", "-len_control=0", "-timeout=10", str(corpus)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace", timeout=SECONDS + 120)
    found = "".join(f"\n{path.name}: {base64.b64encode(path.read_bytes()).decode()}" for path in tmp_path.glob("found-*"))
    assert run.returncode == 0, f"{run.stderr[-6000:]}\nthe input, in base64 (python -m tests.fuzz.target FILE runs it again):{found}"
    status = {word: (int(inputs), int(covered), int(features)) for inputs, word, covered, features in STATUS.findall(run.stderr)}
    inputs, covered, features = status["DONE"]
    assert inputs > len(begun_with) + LEAST_INPUTS_A_SECOND * SECONDS
    assert covered > 300, "the code was not instrumented"
    assert features > status["INITED"][2], "nothing was reached that the seeds do not reach"


def test_every_seed_is_within_the_bounds_and_the_seeds_reach_a_grant_of_every_format() -> None:
    receivers = Receivers()
    granted = set()
    for seed in seeds():
        assert len(seed) <= 1024
        granted |= {verdict.login.server for verdict in receivers.check(seed) if verdict.login and verdict.outcome == GRANT}
    assert {form.name for form in formats.FORMATS} == granted


def test_an_input_is_some_datagrams_each_from_a_peer() -> None:
    text = b"Login user=bob host=[192.0.2.25]"
    (one,) = decode(encode((b"imapd", text), peer=2, header=0))
    assert (HEADERS[0] % b"imapd" + text, "10.8.0.1", 0.0) == (one.datagram, one.host, one.later)
    whole = [event.datagram for event in decode(encode((b"", b"<22>a"), (b"", b"<22>b")))]
    assert [b"<22>a", b"<22>b"] == whole


(UW,) = (form for form in formats.FORMATS if form.name == "uw")
LOGIN = encode((b"imapd", b"Login user=bob host=[192.0.2.25]"), header=0)


def receivers_of(read: Read) -> Receivers:
    """Receivers that know UW's format only, in whose reading a mistake was made."""
    return Receivers(Recogniser([replace(UW, lines=(replace(UW.lines[0], read=read), *UW.lines[1:]))]))


def test_a_login_from_an_address_that_did_not_come_is_found() -> None:
    receivers_of(uw.read).check(LOGIN)
    with pytest.raises(AssertionError, match="stands nowhere"):
        receivers_of(lambda message, found: uw.read(message, found)._replace(address=bytes(4))).check(LOGIN)


def test_a_reading_that_is_not_always_the_same_is_found() -> None:
    answers = count()
    with pytest.raises(AssertionError, match="without"):
        receivers_of(lambda message, found: Refusal.AMBIGUOUS if next(answers) % 2 else uw.read(message, found)).check(LOGIN)


def test_a_gate_that_takes_a_login_for_noise_is_found() -> None:
    with pytest.raises(AssertionError, match="behind the gate"):
        Receivers(Recogniser([replace(UW, begins=b"Authenticated user=", others=b"Login")])).check(LOGIN)
