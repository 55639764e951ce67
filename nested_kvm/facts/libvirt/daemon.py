"""libvirt on an L0: whether it answers, and the domains that it lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotCollected, NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle, DomainRecord
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import plural
from nested_kvm.util.uuid import is_uuid

BY_FILES: Final = "files"
"""How libvirt is known by a support archive that holds no answer of it."""


@dataclass(frozen=True, slots=True)
class Libvirt:
    """A libvirt that was queried. `refusal` is why it did not answer; None: it did.

    Source: libvirt's RPC, locally or through the SSH connection; where that is not possible, `virsh -r`.
    """

    is_expected: bool
    """False: the inventory has `libvirt: none`."""

    uri: str
    means: str
    refusal: str | None
    records: tuple[DomainRecord, ...]
    domain_types: Mapping[str, tuple[str, ...]] | None = None
    """The domain types that libvirt's capabilities offer, by architecture."""
    version: int | None = None
    """The daemon's version: 9002001 is 9.2.1."""
    incomplete: str | None = None
    """Why there may be other domains, in a support archive; None: these are all."""

    @property
    def answers(self) -> bool:
        """Whether libvirt listed its domains.

        Raises:
            NotCollected: a support archive holds the files of libvirt, and no answer of it.
        """
        if self.means == BY_FILES and self.refusal is None:
            raise NotCollected("whether libvirt answers is not known: only its files are shown")
        return self.refusal is None

    @property
    def running(self) -> tuple[str, ...]:
        """The running domains, which keep the KVM module in use: by name, or by uuid where the name is unprintable."""
        running = (record for record in self.records if record.state not in {"shut off", "crashed"})
        return tuple(record.name if record.name.isprintable() else record.uuid for record in running)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """How many domains libvirt listed, or why it did not answer."""
        return (
            Evidence(self.uri, self.refusal or f"{plural(len(self.records), 'domain')}, {len(self.running)} running"),
        )

    def record(self, name: str) -> DomainRecord:
        """The domain of that name or uuid; a name in the form of a uuid is only ever taken for a uuid.

        Raises:
            NotCollected: the support archive does not show such a domain, and does not show all.
            NotObserved: libvirt does not answer, or has no such domain.
        """
        if self.refusal is not None:
            raise NotObserved(f"libvirt at {self.uri} does not answer: {self.refusal}")
        for record in self.records:
            if name == record.uuid or (name == record.name and not is_uuid(name)):
                return record
        if self.incomplete is not None:
            raise NotCollected(f"{name} is not among the domains that are shown: {self.incomplete}")
        raise NotObserved(f"libvirt at {self.uri} has no domain {name}")


def libvirt_of(bundle: Bundle) -> Libvirt:
    """The libvirt of a target, as it answered.

    Raises:
        ObservationError: libvirt was not queried.
    """
    if bundle.target.libvirt is None:
        return Libvirt(
            is_expected=False, uri="none", means="none", refusal="the inventory has `libvirt: none`", records=()
        )
    bundle.reading(sources.ARCHITECTURE)  # raises where the target was not observed at all
    if bundle.libvirt is None:
        raise NotObserved("libvirt was not queried")
    answer = bundle.libvirt
    if answer.not_asked is not None and bundle.origin is not None:
        raise NotCollected(answer.not_asked)
    if answer.not_asked is not None:
        raise NotObserved(f"libvirt at {answer.uri} could not be queried: {answer.not_asked}")
    return Libvirt(
        is_expected=True,
        uri=answer.uri,
        means=answer.means,
        refusal=answer.refusal,
        records=answer.domains,
        domain_types=answer.domain_types,
        version=answer.version,
        incomplete=answer.incomplete,
    )
