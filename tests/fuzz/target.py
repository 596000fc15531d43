"""The coverage-guided fuzzer over the reading of datagrams: `python -m tests.fuzz.target [libFuzzer's options] [CORPUS ...]`.

With no directory it begins with nothing; `python -m tests.fuzz.target FILE` runs one input again. See one_input.py on what must hold.
"""

import sys

import atheris

with atheris.instrument_imports(include=["syslogauth.core"]):
    from tests.fuzz.one_input import Receivers


def main() -> None:
    receivers = Receivers()
    atheris.Setup(sys.argv, lambda data: receivers.check(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
