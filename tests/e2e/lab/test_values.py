"""Our reading of module options, held against real kernels: each is booted once and loads the module with each text."""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.config import from_environment
from lab.emulator_package import EmulatorPackage
from lab.kernel_values import NESTED, OTHER, Loaded, unpacked_kernel
from lab.progress import say
from nested_kvm.facts.kernel.parameter import ParameterType, Setting, parameter_types, read_parameter
from nested_kvm.facts.kernel.release import KernelRelease

RELEASES = ("bullseye", "bookworm", "trixie", *(("sid",) if os.environ.get("LAB_SUITE") == "sid" else ()))
"""Linux 5.10, 6.1, 6.12; unstable's where the lab is of unstable."""
TEXTS = 120
SHOWN = {"Y": Setting.ON, "N": Setting.OFF}
VENDOR = from_environment().suite.vendor
BESIDE = OTHER[VENDOR]
KINDS = {NESTED: ParameterType.INT if VENDOR == "amd" else ParameterType.BOOL, BESIDE: ParameterType.BOOL}
DEFAULTS = {NESTED: Setting.ON, BESIDE: Setting.OFF}

NAMES = st.sampled_from([NESTED, BESIDE])
NUMERALS = ("0x10", "0X0", "010", "08", "00", "+1", "-1", "--1", "1.0", "1k", "0x", "2147483648", "-2147483648")
SWITCHES = ("y", "Y", "n", "N", "yes", "no", "on", "ON", "oN", "of", "off", "o", "true", "T", "false", "é")
NEWER_SWITCHES = ("enable", "disable", "E", "d")
NUMBERS = st.one_of(st.integers(-(2**32), 2**32).map(str), st.sampled_from(NUMERALS))
WORDS = st.sampled_from((*SWITCHES, *NEWER_SWITCHES))
VALUES = st.one_of(NUMBERS, WORDS, st.text('01yYnNoftTFeEdD-+x"', max_size=4))
OTHERS = [NESTED, BESIDE, f"{NESTED}=", f"{BESIDE}=", "unknown=1", "nes-ted=1", "Nested=0", "--", "nested =1", "#"]
ASSIGNMENTS = st.one_of(
    *(st.builds(form.format, NAMES, VALUES) for form in ("{}={}", '{}="{}"', '"{}={}"')), st.sampled_from(OTHERS)
)
BLANKS = st.sampled_from([" ", "\t", "  "])
TEXT = st.builds(lambda blank, words: blank.join(words), BLANKS, st.lists(ASSIGNMENTS, min_size=1, max_size=3))


@pytest.mark.parametrize("release", RELEASES)
def test_a_kernel_reads_module_options_as_the_audit_does(release: str) -> None:
    config = from_environment()
    emulator = EmulatorPackage.of(config)
    if VENDOR == "amd":
        emulator.provide()
    kernel = unpacked_kernel(release, config.directory.parent, VENDOR)
    types = parameter_types(kernel.parameters)
    assert {name: types[name] for name in KINDS} == KINDS
    texts = drawn(TEXTS)
    compared = list(zip(texts, kernel.ask(emulator, texts), strict=True))
    counts = Counter[str]()
    wrong = [
        f"{text!r}: {name} is {expected}, but the module shows {loaded}"
        for text, loaded in compared
        for name, expected in readings(text, kernel.release)
        if not agrees(name, expected, loaded, counts)
    ]
    say(f"Linux {kernel.release}, {kernel.module}: {len(texts)} texts, {dict(counts)}")
    assert wrong == []
    assert counts["decided"] > 10 * counts["undecided"]


def drawn(number: int) -> list[str]:
    """The same texts in each run."""
    found: dict[str, None] = {}

    @settings(
        max_examples=10 * number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(TEXT)
    def collect(text: str) -> None:
        if len(found) < number:
            found[text] = None

    collect()
    return list(found)


def readings(text: str, release: str) -> list[tuple[str, Setting | None]]:
    """What the audit makes of the text: an invalid value of any parameter fails the load."""
    parsed = KernelRelease.parse(release)
    found = {name: read_parameter(text, name, kind, parsed).setting for name, kind in KINDS.items()}
    for failing in (Setting.INVALID, Setting.UNDECIDED):
        if failing in found.values():
            return [(name, failing) for name in found]
    return list(found.items())


def agrees(name: str, expected: Setting | None, loaded: Loaded | None, counts: Counter[str]) -> bool:
    counts["undecided" if expected is Setting.UNDECIDED else "decided"] += 1
    if expected is Setting.UNDECIDED:
        return True
    if loaded is None:
        return expected is Setting.INVALID
    shown = loaded.nested if name == NESTED else loaded.other
    setting = SHOWN[shown] if KINDS[name] is ParameterType.BOOL else Setting.ON if int(shown) else Setting.OFF
    return setting is (DEFAULTS[name] if expected is None else expected)
