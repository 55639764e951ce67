"""What is required of a subject."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice")


class Nested(StrEnum):
    """Whether guests must, or must not, be able to run virtual machines of their own."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"


class Persistence(StrEnum):
    """What makes a setting last: the value after the next load, or a line that says so."""

    EFFECTIVE = "effective"
    EXPLICIT = "explicit"


class Undeclared(StrEnum):
    """What is required of domains that the inventory does not name."""

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
    """False: nothing is required of this subject, what is seen is only reported."""

    @property
    def is_required(self) -> bool:
        """Whether nested virtualization must work."""
        return self.nested is Nested.REQUIRED

    def either(self, required: Choice, forbidden: Choice) -> Choice:
        """Choose what a requirement says in each polarity."""
        return required if self.is_required else forbidden

    def of_undeclared_domain(self) -> "Policy":
        """The policy for a domain that the inventory does not name."""
        if self.undeclared is Undeclared.ANY:
            return Policy(Nested.REQUIRED, self.persistence, self.undeclared, binding=False)
        return Policy(Nested(self.undeclared.value), self.persistence, self.undeclared)
