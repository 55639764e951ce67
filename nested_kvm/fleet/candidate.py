"""A domain that exists only as an XML file: would it get the flag on these hosts?"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from nested_kvm.errors import FileUnusable, NotObserved, UsageError
from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml
from nested_kvm.facts.libvirt.domain import Domain, domain_of
from nested_kvm.model.control import Control, Level
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.util.files import read_bounded

SIZE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes: libvirt itself refuses more than 10 MiB, and no definition is that large."""
NAME_LIMIT: Final = 250
_DECISIVE: Final = frozenset({"L0-CPU-01", "L0-KVM-01", "L0-KVM-03", "L0-KVM-04", "L0-PER-01"})
"""The controls of a host on which a domain's flag depends, now and after the next boot."""
_OF_A_GUARD: Final = "L0-SEC-03"
"""The control of a host on which it depends whether a domain may have the flag, where the policy is guarded."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The candidate domain, and the policy that the command line gives it."""

    domain: Domain
    nested: Nested | None
    declared: Mapping[str, Policy] = field(default_factory=dict)
    """By host: the policy of the guest of that name in the inventory."""

    @property
    def name(self) -> str:
        """The name of the domain in results."""
        return self.domain.name

    def policy(self, host: str) -> Policy:
        """The policy of the domain on a host: by `--nested`, else by the inventory, else nesting is required."""
        return Policy(self.nested) if self.nested is not None else self.declared.get(host, Policy())

    def is_decided_by(self, control: Control) -> bool:
        """Whether this control is part of the answer."""
        guarded = self.nested is Nested.GUARDED or any(each.is_guarded for each in self.declared.values())
        return control.level is Level.DOMAIN or control.id in _DECISIVE or (guarded and control.id == _OF_A_GUARD)


def read_candidate(path: Path, nested: Nested | None) -> Candidate:
    """Read a domain's XML, as `virsh define` takes it.

    Raises:
        UsageError: it cannot be read, or is not domain XML; the message names the file.
    """
    try:
        reduced = reduce_domain_xml(_read(path))
        record = DomainRecord(_name(reduced), "", "not defined yet", is_persistent=True, inactive_xml=reduced)
        return Candidate(replace(domain_of(record), file=str(path)), nested)
    except NotObserved as error:
        raise UsageError(f"--domain-xml: {path}: {error}") from None


def _name(xml: str) -> str:
    name = (parse_domain_xml(xml).findtext("name") or "").strip()
    if not name or not name.isprintable() or len(name.encode()) > NAME_LIMIT:
        raise NotObserved("it has no <name> of 1 to 250 visible bytes")
    return name


def _read(path: Path) -> str:
    try:
        return read_bounded(path, SIZE_LIMIT).decode("utf-8-sig")
    except FileUnusable as error:
        raise UsageError(f"--domain-xml: {path}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--domain-xml: {path}: is not UTF-8 text") from None
