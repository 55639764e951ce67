"""Published vulnerabilities of KVM that guests can use against their host, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from nested_kvm.util.kernel_version import KernelVersion

OLD_AFTER: Final = timedelta(days=60)
"""The age at which every report says that the data is old."""


class Effect(StrEnum):
    """What a guest gains."""

    ESCAPE = "escape"
    """It runs code on its host."""
    AVAILABILITY = "availability"
    """It stops its host, or other guests."""


class CpuVendor(StrEnum):
    """The CPUs whose KVM module has the fault."""

    ANY = "any"
    INTEL = "intel"
    AMD = "amd"


@dataclass(frozen=True, slots=True)
class VendorFix:
    """The first fixed kernel of one stream of a distribution."""

    distributions: tuple[str, ...]
    """The `ID` of os-release."""
    stream: str
    """A glob pattern of the releases (`uname -r`) whose numbers may be compared with `fixed`."""
    fixed: tuple[int, ...]
    """The numbers of the first fixed release, in their order."""
    text: str
    """That release as it is published."""
    source: str


@dataclass(frozen=True, slots=True)
class Advisory:
    """One vulnerability, where it begins and where it ends."""

    id: str
    title: str
    """The subject of the upstream patch that fixes it, by which a revert of the patch is recognized."""
    name: str | None
    effect: Effect
    needs_nesting: bool
    """Whether only guests that can nest reach it, as long as EPT or NPT is on."""
    vendor: CpuVendor
    affected_since: KernelVersion
    fixed: Mapping[tuple[int, int], KernelVersion]
    """The first fixed upstream release of each stable series."""
    mainline: KernelVersion
    """The first upstream series that had the fix from its beginning."""
    unsettled: frozenset[tuple[int, int]]
    """Series for which sources contradict each other, or none settles it."""
    published: date
    """The day on which the fix was published."""
    vendors: Sequence[VendorFix]
    sources: Sequence[str]


@dataclass(frozen=True, slots=True)
class Advisories:
    """All advisories that a run knows, and how old the data is."""

    entries: tuple[Advisory, ...]
    dated: date
    """The day on which the newest of the files was compiled."""
    source: str

    def named(self, identifier: str) -> Advisory | None:
        """The advisory of that id."""
        return next((each for each in self.entries if each.id == identifier), None)
