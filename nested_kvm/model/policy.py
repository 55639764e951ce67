"""The policy: what is required of a host, guest or domain."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice")


class Nested(StrEnum):
    """Whether guests must, or must not, be able to run virtual machines."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"


class Persistence(StrEnum):
    """What counts as persistent: the value after the next module load, or an explicit configuration line."""

    EFFECTIVE = "effective"
    EXPLICIT = "explicit"


class Undeclared(StrEnum):
    """The policy for domains that the inventory does not name."""

    ANY = "any"
    REQUIRED = "required"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Policy:
    """The effective policy of one host, guest or domain."""

    nested: Nested = Nested.REQUIRED
    persistence: Persistence = Persistence.EFFECTIVE
    undeclared: Undeclared = Undeclared.ANY
    binding: bool = True
    """False: no policy applies to this subject; its state is only reported."""

    @property
    def is_required(self) -> bool:
        """Whether nested virtualization must work."""
        return self.nested is Nested.REQUIRED

    def either(self, required: Choice, forbidden: Choice) -> Choice:
        """Return `required` or `forbidden`, by the polarity of the policy."""
        return required if self.is_required else forbidden

    def of_undeclared_domain(self) -> "Policy":
        """The policy for a domain that the inventory does not name."""
        if self.undeclared is Undeclared.ANY:
            return Policy(Nested.REQUIRED, self.persistence, self.undeclared, binding=False)
        return Policy(Nested(self.undeclared.value), self.persistence, self.undeclared)
