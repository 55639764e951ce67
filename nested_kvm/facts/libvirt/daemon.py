"""libvirt on an L0: whether it answers, and the domains it knows."""

from collections.abc import Mapping
from dataclasses import dataclass

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle, DomainRecord
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Libvirt:
    """A libvirt that was asked. `refusal` is why it did not answer; None: it did.

    Source: libvirt's RPC, locally or through the SSH connection; where it has no way in, `virsh -r`.
    """

    is_expected: bool
    """False: the inventory says that there is none."""

    uri: str
    means: str
    refusal: str | None
    records: tuple[DomainRecord, ...]
    domain_types: Mapping[str, tuple[str, ...]] | None = None
    """The types of domain that its capabilities offer, by architecture."""
    version: int | None = None
    """The daemon's: 9002001 is 9.2.1."""

    @property
    def answers(self) -> bool:
        """Whether it told its domains."""
        return self.refusal is None

    @property
    def running(self) -> tuple[str, ...]:
        """The domains that run, and hold the KVM module: by name, or by uuid where no line can show the name."""
        running = (record for record in self.records if record.state not in {"shut off", "crashed"})
        return tuple(record.name if record.name.isprintable() else record.uuid for record in running)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What it answered."""
        return (Evidence(self.uri, self.refusal or f"{len(self.records)} domains, {len(self.running)} running"),)

    def record(self, name: str) -> DomainRecord:
        """The domain of that name or uuid.

        Raises:
            NotObserved: libvirt does not answer, or knows no such domain.
        """
        if self.refusal is not None:
            raise NotObserved(f"libvirt at {self.uri} does not answer: {self.refusal}")
        for record in self.records:
            if name in {record.name, record.uuid}:
                return record
        raise NotObserved(f"libvirt at {self.uri} knows no domain {name}")


def libvirt_of(bundle: Bundle) -> Libvirt:
    """What libvirt answered.

    Raises:
        ObservationError: it was not asked.
    """
    if bundle.target.libvirt is None:
        return Libvirt(is_expected=False, uri="none", means="none", refusal="the inventory says `none`", records=())
    bundle.reading(sources.ARCHITECTURE)  # an unobserved target has no libvirt to speak of either
    if bundle.libvirt is None:
        raise NotObserved("libvirt was not asked")
    answer = bundle.libvirt
    if answer.not_asked is not None:
        raise NotObserved(f"libvirt at {answer.uri} could not be asked: {answer.not_asked}")
    return Libvirt(
        is_expected=True,
        uri=answer.uri,
        means=answer.means,
        refusal=answer.refusal,
        records=answer.domains,
        domain_types=answer.domain_types,
        version=answer.version,
    )
