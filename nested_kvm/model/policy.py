"""The policy: what is required of a host, guest or domain."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from typing_extensions import override

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

    @property
    def polarity(self) -> Nested:
        """Whether nesting is required or forbidden here.

        Raises:
            Undecided: the policy is guarded, and whether the kernel is fixed is not known.
        """
        if self.nested is not Nested.GUARDED:
            return self.nested
        return _polarity(Guard(Answer.UNKNOWN, "the host's kernel was not inspected"))

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
        return False

    @property
    def reason(self) -> str:
        """What the policy is, in words."""
        return self.nested.value

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


@dataclass(frozen=True, slots=True)
class GuardedPolicy(Policy):
    """A guarded policy of one subject, with what decides it. Never stored: an evidence file decides nothing."""

    guard: Guard = Guard(Answer.UNKNOWN, "")

    @property
    @override
    def polarity(self) -> Nested:
        return _polarity(self.guard)

    @property
    @override
    def is_withheld(self) -> bool:
        return self.guard.withholds and self.guard.is_fixed is Answer.NO

    @property
    @override
    def reason(self) -> str:
        return f"{self.nested}, and {self.guard.reason}"


def guarded(policy: Policy, guard: Guard) -> GuardedPolicy:
    """The guarded policy with what decides it."""
    return GuardedPolicy(policy.nested, policy.persistence, policy.undeclared, policy.binding, guard)


def _polarity(guard: Guard) -> Nested:
    if guard.is_fixed is Answer.UNKNOWN:
        raise Undecided(f"whether nesting may be on is not decided (nested: guarded): {guard.reason}")
    return Nested.REQUIRED if guard.is_fixed is Answer.YES else Nested.FORBIDDEN
