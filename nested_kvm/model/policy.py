"""The policy: what is required of a host, guest or domain."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Undecided

Choice = TypeVar("Choice")


class Nested(StrEnum):
    """Whether guests must, or must not, be able to run virtual machines."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"
    GUARDED = "guarded"
    """As required where the running kernel is fixed, as forbidden where it is not."""


class Persistence(StrEnum):
    """What counts as persistent: the value after the next module load, or an explicit configuration line."""

    EFFECTIVE = "effective"
    EXPLICIT = "explicit"


class Undeclared(StrEnum):
    """The policy for domains that the inventory does not name."""

    ANY = "any"
    REQUIRED = "required"
    FORBIDDEN = "forbidden"
    GUARDED = "guarded"


@dataclass(frozen=True, slots=True)
class Guard:
    """What decides a guarded policy: whether the kernel of the host is fixed."""

    is_fixed: Answer
    reason: str
    withholds: bool = False
    """Whether the host withholds nesting from its guests now, whatever their definitions say."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The effective policy of one host, guest or domain."""

    nested: Nested = Nested.REQUIRED
    persistence: Persistence = Persistence.EFFECTIVE
    undeclared: Undeclared = Undeclared.ANY
    binding: bool = True
    """False: no policy applies to this subject; its state is only reported."""

    guard: Guard | None = None
    """Of a guarded policy: what decides it for this subject; None: that was not asked."""

    @property
    def polarity(self) -> Nested:
        """Whether nesting is required or forbidden here.

        Raises:
            Undecided: the policy is guarded, and whether the kernel is fixed is not known.
        """
        if self.nested is not Nested.GUARDED:
            return self.nested
        if self.guard is None or self.guard.is_fixed is Answer.UNKNOWN:
            reason = "the host's kernel was not inspected" if self.guard is None else self.guard.reason
            raise Undecided(f"whether nesting may be on is not decided (nested: guarded): {reason}")
        return Nested.REQUIRED if self.guard.is_fixed is Answer.YES else Nested.FORBIDDEN

    @property
    def is_required(self) -> bool:
        """Whether nested virtualization must work.

        Raises:
            Undecided: the policy is guarded, and whether the kernel is fixed is not known.
        """
        return self.polarity is Nested.REQUIRED

    @property
    def may_be_required(self) -> bool:
        """Whether nested virtualization must work, or must where the kernel is fixed."""
        return self.nested is not Nested.FORBIDDEN

    @property
    def is_guarded(self) -> bool:
        """Whether nesting may be on only where the kernel is fixed."""
        return self.nested is Nested.GUARDED

    @property
    def is_withheld(self) -> bool:
        """Whether the host of a guarded subject keeps nesting from its guests until its kernel is fixed."""
        return self.guard is not None and self.guard.withholds and self.guard.is_fixed is Answer.NO

    def either(self, required: Choice, forbidden: Choice) -> Choice:
        """Return `required` or `forbidden`, by the polarity of the policy.

        Raises:
            Undecided: the policy is guarded, and whether the kernel is fixed is not known.
        """
        return required if self.is_required else forbidden

    def of_undeclared_domain(self) -> "Policy":
        """The policy for a domain that the inventory does not name."""
        if self.undeclared is Undeclared.ANY:
            return Policy(Nested.REQUIRED, self.persistence, self.undeclared, binding=False)
        return Policy(Nested(self.undeclared.value), self.persistence, self.undeclared)
