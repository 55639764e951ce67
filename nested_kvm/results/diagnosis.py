"""Whether a guest can nest, link by link, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.link import LinkName
from nested_kvm.model.verdict import Finding


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
