"""What the kernel logs is told from what a process can have it log, at a cost that a line's length bounds."""

import re
from collections.abc import Iterable, Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel import log as kernel_log
from nested_kvm.facts.kernel.log import KernelLog, kernel_log_of
from tests.support.bundles import bundle_of

STAMPS = (
    "",
    "[    0.1] ",
    "kern  :warn  : [    0.1] ",
    "<4>[    0.1] ",
    "[Sat Nov 28 11:00:00 2026] ",
    "[    0.1][    T1] ",
)
SPOOFED = (
    "a.out[41]: segfault at 0 ip 0 sp 0 error 4 in kvm disabled by bios[400000+1000]",
    "kvm: disabled b[41]: segfault at 0 ip 0 sp 0 error 4 in a.out[400000+1000]",
    "kvm [41]: unhandled exception: level 0 translation fault, in kvm: disabled by bios[400000+1000]",
    'audit: type=1701 audit(1.1:2): auid=1000 exe="/tmp/kvm_amd: failed"',
    "traps: kvm_amd: error[41] general protection fault ip:0 in virtualization is disabled by the bios[400000+1000]",
    "vmmon[41]: segfault at 0 ip 0 sp 0 error 4 in vboxdrv: x[400000+1000]",
)
LONGEST_REPETITION = 1024
PATTERNS = [each for each in vars(kernel_log).values() if isinstance(each, re.Pattern)]


def log(text: str) -> KernelLog:
    return kernel_log_of(bundle_of(Reading("dmesg", Status.OK, text)))


def repetitions(parsed: Iterable[Any], around: int = 1) -> Iterator[int]:
    """Yield how often each repetition of a pattern may run, times those that it is within."""
    for operation, argument in parsed:
        if operation in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
            yield around * int(argument[1])
            yield from repetitions(argument[2], around * int(argument[1]))
        elif operation is _constants.SUBPATTERN:
            yield from repetitions(argument[-1], around)
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from repetitions(branch, around)


@pytest.mark.parametrize("line", SPOOFED)
@pytest.mark.parametrize("stamp", STAMPS)
def test_a_process_cannot_have_the_kernel_say_anything(stamp: str, line: str) -> None:
    seen = log(f"{stamp}{line}")
    refused = [seen.refusals_of(each, flag_is_shown=False) for each in ("kvm_amd", "kvm_intel")]
    assert (seen.firmware_disabled, seen.owned_by_other, refused) == ((), (), [(), ()])


@pytest.mark.parametrize("stamp", STAMPS)
def test_the_kernels_own_words_are_found_behind_any_stamp(stamp: str) -> None:
    assert log(f"{stamp}kvm: disabled by bios").firmware_disabled
    assert log(f"{stamp}kvm_amd: SVM not supported by CPU 0").refusals_of("kvm_amd", flag_is_shown=True)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda each: each.pattern[:20])
def test_the_repetitions_of_a_pattern_are_bounded(pattern: "re.Pattern[str]") -> None:
    assert all(count <= LONGEST_REPETITION for count in repetitions(_parser.parse(pattern.pattern, pattern.flags)))


def test_an_unbounded_repetition_would_be_seen() -> None:
    assert max(repetitions(_parser.parse("(?:a{0,40}b){0,40}|c*"))) > LONGEST_REPETITION


def test_a_line_is_cut_where_the_kernel_cuts_it() -> None:
    assert [len(line) for line in log("kvm: " + "virtualization disabled " * 4096).lines] == [1024]
