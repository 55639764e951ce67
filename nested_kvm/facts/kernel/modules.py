"""Whether the running kernel comes with the KVM module, loaded or not, and whether its modules are still there."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.verdict import Evidence

_NOT_FOUND: Final = re.compile(
    r"not found|could not (?:open|load|search)|can't change directory|no such file or directory|cannot stat",
    re.IGNORECASE,
)
_NO_TREE: Final = re.compile(
    r"could not (?:open|load) .{0,200}?(?:modules\.|builtin|moddep)|can't change directory", re.IGNORECASE
)
"""What kmod and busybox print where the kernel's own folder, or its index, is missing."""
_NO_FOLDER: Final = re.compile(r"can't change directory to '/(?:usr/)?lib/modules'", re.IGNORECASE)
_BUILT_IN_ONLY: Final = frozenset({"aarch64", "arm64"})
"""Where KVM cannot be built as a module: without /sys/module/kvm the kernel has none (arch/arm64/kvm/Kconfig)."""


class ModuleTree(StrEnum):
    """What is on disk for the running kernel."""

    HAS_KVM = "has KVM"
    LACKS_KVM = "lacks KVM"
    GONE = "gone"
    """Modules of other kernels are there, those of the running one are not."""
    NONE = "none"
    """There are no modules at all: a container, or a system that runs from its initrd."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class KernelModules:
    """kmod's answer for the vendor's module and the running kernel's `release`.

    Source: `modprobe --show-depends`, the folders of `/lib/modules` that have a `modules.dep`, `/sys/module` and
    `/proc/sys/kernel/osrelease`.
    """

    release: str
    answer: Reading
    tree: ModuleTree = ModuleTree.UNKNOWN
    seen: tuple[Evidence, ...] = field(default=())

    @property
    def doubt(self) -> str:
        """That kmod could not be asked, in words for the end of a sentence; empty: it was asked."""
        return (
            "; kmod is not installed, so it is unknown whether the kernel has it"
            if self.answer.status is Status.MISSING
            else ""
        )

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The answer of kmod, and what is on disk."""
        return (self.answer.as_evidence(), *self.seen)


def kernel_modules_of(bundle: Bundle, module: str) -> KernelModules:
    """The answer of `modprobe --show-depends` for the module, beside what is on disk for the running kernel.

    Raises:
        ObservationError: it was not asked.
    """
    answer = bundle.reading(sources.show_depends(module))
    release = bundle.text(sources.KERNEL_RELEASE).strip()
    listing = bundle.readings.get(sources.MODULE_TREES)
    tree = _tree(bundle, answer, listing, release)
    return KernelModules(release, answer, tree, _seen(listing, tree))


def _tree(bundle: Bundle, answer: Reading, listing: Reading | None, release: str) -> ModuleTree:
    if answer.is_ok:
        return ModuleTree.HAS_KVM
    machine = bundle.readings.get(sources.ARCHITECTURE)
    loaded = bundle.readings.get(sources.MODULES)
    if machine is not None and machine.text.strip() in _BUILT_IN_ONLY and loaded is not None and loaded.is_ok:
        return ModuleTree.HAS_KVM if "kvm" in loaded.text.split() else ModuleTree.LACKS_KVM
    if listing is not None and (listing.is_ok or listing.status is Status.ABSENT):
        return _by_listing(answer, listing, release)
    return _by_answer(answer)


def _by_listing(answer: Reading, listing: Reading, release: str) -> ModuleTree:
    if answer.status not in {Status.FAILED, Status.MISSING}:
        return ModuleTree.UNKNOWN
    kernels = listing.text.split("\n") if listing.text.strip() else []
    if not kernels:
        return ModuleTree.NONE
    if release not in kernels:
        return ModuleTree.GONE
    return ModuleTree.LACKS_KVM if _NOT_FOUND.search(answer.text) else ModuleTree.UNKNOWN


def _by_answer(answer: Reading) -> ModuleTree:
    if answer.status is not Status.FAILED or not _NOT_FOUND.search(answer.text):
        return ModuleTree.UNKNOWN
    if _NO_FOLDER.search(answer.text):
        return ModuleTree.NONE
    return ModuleTree.GONE if _NO_TREE.search(answer.text) else ModuleTree.LACKS_KVM


def _seen(listing: Reading | None, tree: ModuleTree) -> tuple[Evidence, ...]:
    if listing is None or tree not in {ModuleTree.GONE, ModuleTree.NONE}:
        return ()
    kernels = ", ".join(listing.text.split()) or "holds no kernel's modules"
    return (Evidence(sources.MODULE_TREES, kernels),)
