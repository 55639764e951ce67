"""What became of the L2 that was started in an L1: it answered, KVM refused it, or the attempt decides nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.l2 import ANSWER, BY_PYTHON, BY_QEMU, LEFT
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
"""What QEMU and our own program say when it is KVM that does not run the L2, and no lack of their own."""


@dataclass(frozen=True, slots=True)
class L2Boot:
    """Whether the L2 answered; `answers` is None where none was started. `reason` is in the words of who ran it.

    Source: with `--active` alone, an L2 of 512 bytes that QEMU runs under KVM, or python3 by ioctl of `/dev/kvm`.
    """

    answers: Answer | None
    reason: str
    evidence: tuple[Evidence, ...] = ()


def l2_boot_of(bundle: Bundle) -> L2Boot:
    """What became of the L2.

    Raises:
        ObservationError: the guest could not be looked at, or was lost while the L2 was started.
    """
    if bundle.failure is None and BY_QEMU not in bundle.readings:
        return L2Boot(None, "no L2 was started in it when it was looked at: that takes --active")
    tried = [bundle.reading(BY_QEMU), *([bundle.reading(BY_PYTHON)] if BY_PYTHON in bundle.readings else [])]
    if tried[0].status is Status.ABSENT:
        return L2Boot(Answer.NO, tried[0].text, (Evidence("/dev/kvm", "is not there"),))
    if tried[0].status is Status.UNREADABLE:
        tried[0].require()
    return _of(tried, tuple(reading.as_evidence(_words(reading) or reading.status.value) for reading in tried))


def _of(tried: list[Reading], evidence: tuple[Evidence, ...]) -> L2Boot:
    answers = [_answer(reading) for reading in tried]
    refusals = [_reason(each) for each, answer in zip(tried, answers, strict=True) if answer is Answer.NO]
    if Answer.YES not in answers and refusals:
        return L2Boot(Answer.NO, "; ".join(refusals), evidence)
    if Answer.YES in answers and not refusals:
        return L2Boot(Answer.YES, f"an L2 answered {ANSWER}", evidence)
    if refusals:
        return L2Boot(Answer.UNKNOWN, f"a bare L2 answers, and one by QEMU does not boot: {refusals[0]}", evidence)
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
        return f"it did not answer in time{': ' * bool(_words(reading))}{_quoted(reading)}"
    return _quoted(reading)


def _undecided(tried: list[Reading]) -> str:
    if all(reading.status is Status.MISSING for reading in tried):
        return "there is neither QEMU nor python3 to start an L2 with"
    if any(_CANNOT_ASK.search(_words(reading)) for reading in tried):
        words = "; ".join(_quoted(reading) for reading in tried if _words(reading))
        return f"KVM could not be asked: log in as root, or use --sudo ({words})"
    return "; ".join(_attempts(tried))


def _attempts(tried: list[Reading]) -> Iterator[str]:
    for reading in tried:
        how = "is not there" if reading.status is Status.MISSING else f"ended with {reading.exit_status}"
        yield f"{reading.source} {how}{': ' * bool(_words(reading))}{_quoted(reading)}"


def _words(reading: Reading) -> str:
    return "\n".join(line for line in reading.text.splitlines() if line.strip() and _NOISE not in line)


def _quoted(reading: Reading) -> str:
    return printable(_words(reading))
