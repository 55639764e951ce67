"""One harness under libFuzzer: `python -m fuzz.one HARNESS [LIBFUZZER'S OPTIONS]`."""

import sys

import atheris

with atheris.instrument_imports(include=["nested_kvm"]):
    from fuzz.harnesses import HARNESSES

atheris.Setup([sys.argv[0], *sys.argv[2:]], HARNESSES[sys.argv[1]].run)
atheris.Fuzz()
