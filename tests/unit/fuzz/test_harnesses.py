"""The harnesses of `make fuzz`, over their seeds, what the fuzzer once found, and a few mutations: none may rot."""

import base64
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings, target
from hypothesis import strategies as st

from fuzz.harnesses import HARNESSES
from tests.support.suite import ROOT

pytestmark = pytest.mark.slow

KEY = base64.b64encode(b"key").decode()

FOUND = [
    ("domstats", b"Domain: 'ci-1'\n  vcpu.current=\n  vcpu.0.nested_run.sum=0\n"),
    ("domstats", b"Domain: 'ci-1'\n  vcpu.current=1\n  vcpu.0.nested_run.sum=" + b"9" * 5000),
    ("qemu_command_line", b"9" * 5000 + b" program=kvm\n"),
    ("any_reading", b"\x00" + b"9" * 5000),
    ("ssh_config", b"UserKnownHostsFile ~nobody-of-that-name/known_hosts\n"),
    ("inventory", b"#\n> #"),
    ("inventory", b": #\n .\n\n"),
    ("waivers", b"#\n> #"),
    ("access", b"uid=" + b"9" * 5000 + b" gid=0\0"),
    ("access", b"uid=1 gid=1" + b" groups=1" * 100_000 + b"\nx\0user:" + b"9" * 5000 + b":rw-"),
    ("capabilities", b"daemon: " + b"9" * 5000 + b".0.0"),
    ("merge", b'{"schema":' + b"9" * 5000 + b"}"),
    ("known_hosts", b"*" * 60 + b"-" + b"*" * 60 + b"x ssh-ed25519 " + KEY.encode()),
]
"""What once broke a reader, or made it hang."""


def raised_by(name: str, data: bytes) -> str | None:
    try:
        HARNESSES[name].run(data)
    except Exception as defect:  # noqa: BLE001 - whatever it is, the harness lets none through
        return repr(defect)
    return None


SEEDS = [(name, seed) for name, harness in HARNESSES.items() for seed in harness.seeds()]


@pytest.mark.parametrize(("name", "data"), [*SEEDS, *FOUND], ids=lambda part: part if isinstance(part, str) else "")
def test_a_reader_raises_only_what_it_says(name: str, data: bytes) -> None:
    assert raised_by(name, data) is None


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, bytes]:
    """A seed in which a part is cut out, doubled, or replaced."""
    name, seed = draw(st.sampled_from(SEEDS))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(len(seed), start + 200)))
    part = draw(st.one_of(st.just(b""), st.just(seed[start:end] * 3), st.binary(max_size=40), st.just(b"9" * 5000)))
    return name, seed[:start] + part + seed[end:]


@settings(max_examples=400, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
@given(mutations())
@example(("answer", b""))
def test_a_reader_of_mutated_captures_raises_only_what_it_says(case: tuple[str, bytes]) -> None:
    name, data = case
    target(float(len(data)), label=name)
    assert raised_by(name, data) is None


def test_every_reader_has_seeds_and_a_sentence() -> None:
    assert {name for name, _ in SEEDS} == set(HARNESSES)
    assert all(HARNESSES[name].seeds.__doc__ for name in HARNESSES)


def test_the_fuzzer_says_which_harnesses_there_are() -> None:
    command = [sys.executable, "-m", "fuzz", "no-such-harness"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "no harness: no-such-harness" in ended.stderr
