"""The outcome of the test VM (L2) that was started in an L1: it answered, KVM refused it, or it decides nothing.

An L2 that runs prints `L2OK`, and QEMU then exits with 85; a KVM that refuses makes QEMU print lines such as

    qemu-system-x86_64: failed to initialize kvm: Input/output error
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.l2 import ANSWER, BY_PYTHON, BY_QEMU, LEFT, ON_XEN
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import printable

_NOISE: Final = "externally provided fw_cfg item names"
_CANNOT_ASK: Final = re.compile(r"permission denied|operation not permitted|cannot allocate memory", re.IGNORECASE)
_REFUSED: Final = re.compile(
    r"^KVM refuses|failed to initialize kvm|could not access kvm|kvm internal error|kvm: entry failed|kvm run failed"
    r"|failed to set msr|ioctl\(KVM_\w+\) failed|\bKVM_\w+ failed|\bkvm_\w+.* failed",
    re.IGNORECASE | re.MULTILINE,
)
"""What QEMU and the Python program print when KVM does not run the L2, rather than a fault of theirs."""
_DECIDES: Final = re.compile(r"failed to set msr", re.IGNORECASE)
"""KVM promised a register and does not take it: QEMU ends with every VM, though one without that register runs."""


@dataclass(frozen=True, slots=True)
class L2Boot:
    """Whether the L2 answered; `answers` is None where none was started. `reason` quotes the program that ran it.

    Source: with `--active` alone, an L2 of 512 bytes that QEMU runs under KVM, or python3 by ioctl of `/dev/kvm`.
    """

    answers: Answer | None
    reason: str
    evidence: tuple[Evidence, ...] = ()


def l2_boot_of(bundle: Bundle) -> L2Boot:
    """The outcome of the L2's start.

    Raises:
        ObservationError: the guest could not be inspected, or was lost while the L2 was started.
    """
    if bundle.failure is None and BY_QEMU not in bundle.readings:
        return L2Boot(None, "no test VM (L2) was started in the guest: that needs --active")
    tried = [bundle.reading(BY_QEMU), *([bundle.reading(BY_PYTHON)] if BY_PYTHON in bundle.readings else [])]
    if tried[0].text.strip() == ON_XEN:
        return L2Boot(None, ON_XEN)
    if tried[0].status is Status.ABSENT:
        return L2Boot(Answer.NO, tried[0].text, (Evidence("/dev/kvm", "does not exist"),))
    if tried[0].status is Status.UNREADABLE:
        tried[0].require()
    return _of(tried, tuple(reading.as_evidence(_words(reading) or reading.status.value) for reading in tried))


def _of(tried: list[Reading], evidence: tuple[Evidence, ...]) -> L2Boot:
    answers = [_answer(reading) for reading in tried]
    refusals = [_reason(each) for each, answer in zip(tried, answers, strict=True) if answer is Answer.NO]
    if refusals and (Answer.YES not in answers or any(_DECIDES.search(_words(each)) for each in tried)):
        return L2Boot(Answer.NO, "; ".join(refusals), evidence)
    if Answer.YES in answers[1:] and tried[0].status is Status.FAILED and not _words(tried[0]):
        reason = f"the L2 boots without QEMU, but QEMU ended with {tried[0].exit_status} and printed no reason"
        return L2Boot(Answer.UNKNOWN, reason, evidence)
    if Answer.YES in answers and not refusals:
        return L2Boot(Answer.YES, f"an L2 answered {ANSWER}", evidence)
    if refusals:
        return L2Boot(Answer.UNKNOWN, f"the L2 boots without QEMU but not with it: {refusals[0]}", evidence)
    return L2Boot(Answer.UNKNOWN, _undecided(tried), evidence)


def _answer(reading: Reading) -> Answer:
    if reading.exit_status == LEFT and ANSWER in reading.text.splitlines():
        return Answer.YES
    if reading.status is Status.TIMED_OUT:
        return Answer.NO
    words = _words(reading)
    return Answer.NO if _REFUSED.search(words) and not _CANNOT_ASK.search(words) else Answer.UNKNOWN


def _reason(reading: Reading) -> str:
    if reading.status is Status.TIMED_OUT:
        return f"the L2 did not answer in time{': ' * bool(_words(reading))}{_quoted(reading)}"
    return _quoted(reading)


def _undecided(tried: list[Reading]) -> str:
    if all(reading.status is Status.MISSING for reading in tried):
        return "neither QEMU nor python3 is installed to start an L2 with"
    if any(_CANNOT_ASK.search(_words(reading)) for reading in tried):
        words = "; ".join(_quoted(reading) for reading in tried if _words(reading))
        return f"/dev/kvm could not be used: log in as root, or use --sudo ({words})"
    return "; ".join(_attempts(tried))


def _attempts(tried: list[Reading]) -> Iterator[str]:
    for reading in tried:
        how = "is not installed" if reading.status is Status.MISSING else f"ended with {reading.exit_status}"
        yield f"{reading.source} {how}{': ' * bool(_words(reading))}{_quoted(reading)}"


def _words(reading: Reading) -> str:
    return "\n".join(line for line in reading.text.splitlines() if line.strip() and _NOISE not in line)


def _quoted(reading: Reading) -> str:
    return printable(_words(reading))
