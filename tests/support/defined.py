"""What files define: the guests in them, and whether each gets the flag on a host of each vendor."""

from nested_kvm.facts.definition.definition_file import DefinitionFile
from nested_kvm.facts.definition.definition_files import domains_in
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.answer import Answer

BOTH = (Vendor.AMD, Vendor.INTEL)


def defined(*files: tuple[str, str]) -> list[Domain]:
    """The guests of these files, each given by name and text."""
    return list(domains_in([DefinitionFile(name, text) for name, text in files]).domains)


def only(*files: tuple[str, str]) -> Domain:
    """The one guest of these files."""
    (found,) = defined(*files)
    return found


def gives(domain: Domain) -> tuple[Answer, Answer]:
    """Whether a guest gets the flag on AMD and on Intel."""
    amd, intel = (domain.promise(vendor).gives_flag for vendor in BOTH)
    return amd, intel
