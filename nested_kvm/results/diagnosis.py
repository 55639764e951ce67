"""Whether a guest can nest, link by link, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Finding


class LinkName(StrEnum):
    """The links in their order: each needs all before it."""

    L0_CPU = "l0-cpu"
    L0_FIRMWARE = "l0-firmware"
    L0_MODULE = "l0-module"
    L0_NESTED = "l0-nested"
    DOMAIN_TYPE = "domain-type"
    DOMAIN_DEFINITION = "domain-definition"
    DOMAIN_RUNNING = "domain-running"
    L1_CPU = "l1-cpu"
    L1_MODULE = "l1-module"
    L1_DEVICE = "l1-device"
    L2_BOOT = "l2-boot"


class LinkState(StrEnum):
    """The state of a link as it was observed."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNSEEN = "unseen"
    NOTCHECKED = "notchecked"


@dataclass(frozen=True, slots=True)
class SeenLink:
    """One link as it was observed; `finding` where it is broken."""

    name: LinkName
    state: LinkState
    text: str = ""
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of walking a guest's chain."""

    target: str
    host: str | None
    can_nest: Answer
    links: tuple[SeenLink, ...]
    explanation: str
    broken_link: LinkName | None = None
    cause: Cause | None = None
    remediation: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """What works now and will not after the next boot, or the next start of the guest."""
