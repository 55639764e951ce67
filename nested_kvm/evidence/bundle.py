"""The bundle: everything that was read from one target at one time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nested_kvm.errors import NotAllowed, NotCollected, NotObserved, ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.target import Target
from nested_kvm.results.incremental import Incremental


@dataclass(frozen=True, slots=True)
class SavedState:
    """A saved state with a domain's memory: the domain resumes from it with the CPU that it was saved with."""

    snapshot: str | None
    """The snapshot's name; None: the managed save."""
    xml: str | None = None
    """The domain as it was saved, reduced to what is evaluated."""
    problem: str | None = None
    """Why its XML could not be read."""


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """One libvirt domain as libvirt describes it; its XML is reduced to what is evaluated."""

    name: str
    uuid: str
    state: str
    """The state as virsh prints it: `running`, `shut off`, `paused`, …"""
    is_persistent: bool | None = None
    has_managed_save: bool | None = None
    inactive_xml: str | None = None
    live_xml: str | None = None
    """None: the domain is not running."""
    problem: str | None = None
    """Why the domain could not be read completely."""
    not_collected: str | None = None
    """Why the support archive does not hold its definition; None: it does, or the domain was read from libvirt."""
    vcpu_statistics: tuple[Mapping[str, str], ...] = ()
    """The nested counters as `virsh domstats` prints them, sampled once or twice; empty: there are none."""
    saved_states: tuple[SavedState, ...] | None = None
    """The managed save and the snapshots with memory; None: not queried."""
    saved_problem: str | None = None
    """Why there may be more saved states."""


@dataclass(frozen=True, slots=True)
class LibvirtAnswer:
    """The result of querying libvirt."""

    uri: str
    means: str
    """How libvirt was queried: `libvirt` (its RPC) or `virsh`."""
    refusal: str | None = None
    """Why libvirt did not answer; None: it did."""
    not_asked: str | None = None
    """Why libvirt could not even be queried: then nothing is known about it, not even that it refuses."""
    domains: tuple[DomainRecord, ...] = ()
    domain_types: Mapping[str, tuple[str, ...]] | None = None
    """The types that its capabilities offer for full virtualization, by architecture; None: they were not read."""
    version: int | None = None
    """The daemon's version as libvirt encodes it: 9002001 is 9.2.1."""
    incomplete: str | None = None
    """Why there may be other domains, which a support archive does not show; None: these are all."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a target could not be observed at all."""

    kind: str
    """The name of the error's class."""
    message: str

    @property
    def is_unknown(self) -> bool:
        """Whether the target answered, but its configuration forbids the inspection."""
        return self.kind == NotAllowed.__name__


@dataclass(frozen=True, slots=True)
class Origin:
    """The support archive that a target's readings are from."""

    kind: str
    """What people call it: `sosreport`, `supportconfig`, …"""
    tool: str
    """The program that made it, with its version where it is known: `sos 4.0`."""
    file: str
    """The name of the archive's file or folder."""
    kmod: str | None = None
    """The `modprobe` of this machine that read the archive's modprobe.d; None: none did."""

    @property
    def title(self) -> str:
        """The archive, for the middle of a sentence: `the sosreport of sos 4.0`."""
        return f"the {self.kind}" if self.tool == self.kind else f"the {self.kind} of {self.tool}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The readings of one target. A target that could not be reached has a `failure` instead."""

    target: Target
    observed_at: datetime
    version: str
    readings: Mapping[str, Reading] = field(default_factory=dict)
    cut: str | None = None
    """The reading in which the probe's answer ended before its time."""
    libvirt: LibvirtAnswer | None = None
    failure: Failure | None = None
    origin: Origin | None = None
    """The support archive that it was made of; None: the target was inspected."""
    file_sha256: str | None = field(default=None, compare=False)
    """The digest of the file that it was read from; None: it was observed in this run, or the file is missing."""
    incremental: Incremental | None = field(default=None, compare=False)
    """The result of `--since`; None: without it, or the target could not be inspected."""

    @property
    def is_observed(self) -> bool:
        """Whether anything was read from the target."""
        return self.failure is None and self.target.address is not None

    def reading(self, source: str) -> Reading:
        """Return the reading of one file or command, whatever its status.

        Raises:
            ObservationError: the target was not observed at all.
            NotCollected: the support archive holds no such reading.
            NotObserved: the answer holds no such reading.
        """
        if self.failure is not None:
            raise ObservationError(self.failure.message)
        if source not in self.readings and self.origin is not None:
            raise NotCollected(f"{self.origin.tool} does not collect {source}")
        if source not in self.readings:
            reason = f": the answer ended in {self.cut}" if self.cut else ""
            raise NotObserved(f"{source} is not in the evidence{reason}")
        return self.readings[source]

    def text(self, source: str) -> str:
        """Return the text of a reading that must be complete.

        Raises:
            ObservationError: it is not.
        """
        return self.reading(source).require().text

    def text_if_present(self, source: str) -> str | None:
        """Return the text of a reading; None where the file or command certainly does not exist.

        Raises:
            ObservationError: it could not be inspected.
        """
        reading = self.reading(source)
        return None if reading.status in {Status.ABSENT, Status.MISSING} else reading.require().text
