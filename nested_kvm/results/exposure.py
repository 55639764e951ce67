"""Which published vulnerabilities of KVM a host's guests reach, as plain data."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

LACKING: Final = "open: "
"""How the text of L0-SEC-03's evidence begins for an advisory whose fix the kernel lacks."""


def lacking_fixes(evidence: Iterable[Evidence]) -> frozenset[str]:
    """The advisories whose fix the kernel lacks: `CVE-2026-53359`, with the text `open: upstream 6.1.176; …`."""
    return frozenset(each.source for each in evidence if each.text.startswith(LACKING))


@dataclass(frozen=True, slots=True)
class CveExposure:
    """One advisory on one host."""

    id: str
    name: str | None
    published: date
    """The day on which its fix was published."""
    is_fixed: Answer
    """Whether the running kernel has the fix."""
    reached: Answer
    """Whether guests reach it now."""
    reason: str
    proof: Evidence | None
    """The line that decides; None: nothing does."""

    @property
    def is_open(self) -> bool:
        """Whether guests certainly reach it now."""
        return self.is_fixed is Answer.NO and self.reached is Answer.YES

    @property
    def state(self) -> str:
        """The state in a word: fixed, open, closed (the kernel has it, and no guest reaches it), or undecided."""
        if self.is_fixed is Answer.YES:
            return "fixed"
        if self.reached is Answer.NO:
            return "closed"
        return "open" if self.is_open else "undecided"


@dataclass(frozen=True, slots=True)
class HostExposure:
    """One host: its kernel, what opens or closes nesting, and the guests that hold the flag now."""

    target: str
    kernel: str
    """The release, and the package where it is known."""
    reach: str
    """What opens or closes nesting, now and after the next load."""
    cves: tuple[CveExposure, ...]
    guests: tuple[str, ...] = ()
    """Those whose running CPU has the flag, as far as they are known."""
    device_is_open: bool = False
    """Whether every account may open /dev/kvm."""
    forbids: bool = False
    """Whether nesting must be off here, by the policy."""
    installed_fix: str | None = None
    """The fixed kernel that is installed and not booted."""

    @property
    def is_unfixed(self) -> bool:
        """Whether the running kernel certainly lacks the fix of an advisory, whether guests reach it or not."""
        return any(each.is_fixed is Answer.NO for each in self.cves)

    @property
    def open(self) -> tuple[CveExposure, ...]:
        """What guests certainly reach now."""
        return tuple(each for each in self.cves if each.is_open)

    @property
    def undecided(self) -> tuple[CveExposure, ...]:
        """What may be open."""
        return tuple(each for each in self.cves if each.state == "undecided")

    @property
    def state(self) -> str:
        """The state of the host in a word: exposed, undecided, closed or fixed."""
        if self.open:
            return "exposed"
        if self.undecided:
            return "undecided"
        return "fixed" if all(each.is_fixed is Answer.YES for each in self.cves) else "closed"
