"""A file that defines guests, and why one cannot be evaluated."""

from dataclasses import dataclass

from nested_kvm.errors import NotObserved


@dataclass(frozen=True, slots=True)
class DefinitionFile:
    """One file: its name as it was given, and its text."""

    name: str
    text: str
    is_xml: bool = False
    """Whether only libvirt's XML is accepted."""


class DefinitionUnusable(NotObserved):
    """A file that defines guests cannot be evaluated; the message names it."""

    def __init__(self, file: DefinitionFile, reason: object) -> None:
        super().__init__(f"{file.name}: {reason}")
        self.file = file
