"""Guests that exist only in files: would they get the flag on these hosts?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nested_kvm.errors import FileUnusable, UsageError
from nested_kvm.evidence.expansion.question import NotAskable, Question
from nested_kvm.facts.definition.definition_file import DefinitionFile, DefinitionUnusable
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.control import Control, Level
from nested_kvm.model.policy import Nested, Policy
from nested_kvm.util.files import read_bounded

if TYPE_CHECKING:  # the readers of all forms are imported with a candidate only
    from nested_kvm.facts.definition.kubevirt_nodes import KubernetesNode

SIZE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a file: libvirt itself refuses more than 10 MiB, and no definition is that large."""
JSON_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a JSON file, which may list a whole cluster."""
FOLDER_LIMIT: Final = 10_000
_DEFINITIONS: Final = frozenset({".xml", ".yaml", ".yml", ".json", ".conf"})
"""The files of a folder that may define a guest."""
SCRIPT: Final = ".sh"
DOMAIN_XML: Final = "--domain-xml"
"""The option that takes libvirt's XML only."""
_DECISIVE: Final = frozenset({"L0-CPU-01", "L0-KVM-01", "L0-KVM-03", "L0-KVM-04", "L0-PER-01"})
"""The controls of a host on which a domain's flag depends, now and after the next boot."""
_OF_A_GUARD: Final = "L0-SEC-03"
"""The control of a host on which it depends whether a domain may have the flag, where the policy is guarded."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The guests of the candidate files, and the policy that the command line gives them."""

    domains: tuple[Domain, ...]
    nested: Nested | None = None
    declared: Mapping[tuple[str, str], Policy] = field(default_factory=dict)
    """By host and name: the policy of the guest of that name in the inventory."""
    without_guest: tuple[str, ...] = ()
    """The files that define no guest."""
    nodes: "tuple[KubernetesNode, ...]" = ()
    """The nodes of a KubeVirt cluster that the files describe."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the guests in results."""
        return tuple(domain.name for domain in self.domains)

    @property
    def by_name(self) -> dict[str, Domain]:
        """The guests by their names, each of which is there once."""
        return {domain.name: domain for domain in self.domains}

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the libvirt of a host can be asked about them."""
        return tuple(each.question for each in self.domains if isinstance(each.question, Question))

    @property
    def to_be_asked(self) -> "Candidates":
        """The candidates with the reason of each that no libvirt can be asked about, as with `--active`."""
        return replace(self, domains=tuple(_with_reason(each) for each in self.domains))

    def policy(self, host: str, name: str) -> Policy:
        """The policy of a guest on a host: by `--nested`, else by the inventory, else nesting is required."""
        return Policy(self.nested) if self.nested is not None else self.declared.get((host, name), Policy())

    def policy_of_host(self, host: str) -> Policy:
        """The policy of a host that has to suit all these guests: what one requires, the host must offer."""
        policies = [self.policy(host, name) for name in self.names]
        strictest = (Nested.REQUIRED, Nested.GUARDED, Nested.FORBIDDEN)
        return min(policies, key=lambda each: strictest.index(each.nested), default=Policy())

    def is_decided_by(self, control: Control) -> bool:
        """Whether this control is part of the answer."""
        guarded = self.nested is Nested.GUARDED or any(each.is_guarded for each in self.declared.values())
        return control.level is Level.DOMAIN or control.id in _DECISIVE or (guarded and control.id == _OF_A_GUARD)


def candidates_of(
    files: Sequence[tuple[str, DefinitionFile]], nested: Nested | None, *, skip_others: bool = False
) -> Candidates:
    """The guests that these files define; each file comes with the option that named it.

    Raises:
        UsageError: one cannot be evaluated; the message names it.
    """
    from nested_kvm.facts.definition.definition_files import domains_in  # noqa: PLC0415 - only candidates need it

    try:
        found = domains_in([file for _, file in files], skip_others=skip_others)
    except DefinitionUnusable as error:
        option = next(option for option, file in files if file == error.file)
        raise UsageError(f"{option}: {error}") from None
    return Candidates(found.domains, nested, without_guest=found.without_guest, nodes=found.nodes)


def _with_reason(domain: Domain) -> Domain:
    return replace(domain, unasked=domain.question.reason) if isinstance(domain.question, NotAskable) else domain


def require_guests(candidates: Candidates) -> Candidates:
    """Return the candidates.

    Raises:
        UsageError: the files define no guest at all.
    """
    if not candidates.domains:
        raise UsageError(f"--candidate: {', '.join(candidates.without_guest[:3])}: defines no guest")
    return candidates


def definition_paths(option: str, given: Path) -> list[Path]:
    """The files of a folder that may define a guest, in the order of their names; else the file itself.

    Raises:
        UsageError: the folder has no such file, or too many.
    """
    if not given.is_dir() or option == DOMAIN_XML:
        return [given]
    found = sorted(path for path in given.rglob("*") if path.is_file() and _may_define(path))
    if not found or len(found) > FOLDER_LIMIT:
        reason = "has no file that may define a guest" if not found else f"has more than {FOLDER_LIMIT} files"
        raise UsageError(f"{option}: {given}: {reason}")
    return found


def _may_define(path: Path) -> bool:
    """Whether a file of a folder may define a guest; a shell script does where it runs virt-install."""
    if path.suffix != SCRIPT:
        return path.suffix in _DEFINITIONS
    from nested_kvm.facts.definition.virt_install import names_virt_install  # noqa: PLC0415 - as above

    try:
        return names_virt_install(read_bounded(path, SIZE_LIMIT).decode(errors="replace"))
    except FileUnusable:
        return True  # Reading it says why: a guest must not be left out.


def read_definition(option: str, path: Path) -> DefinitionFile:
    """Read a file that defines guests.

    Raises:
        UsageError: it cannot be read, is too large, or is not UTF-8 text; the message names it.
    """
    try:
        limit = JSON_LIMIT if path.suffix == ".json" else SIZE_LIMIT
        text = read_bounded(path, limit).decode("utf-8-sig")
        return DefinitionFile(str(path), text, is_xml=option == DOMAIN_XML)
    except FileUnusable as error:
        raise UsageError(f"{option}: {path}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{option}: {path}: is not UTF-8 text") from None
