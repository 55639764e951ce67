"""The parameters and dependencies of the modules that a load inserts, by `modinfo`.

Source: `modinfo_do` in kmod's tools/modinfo.c.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.parameter import parameter_types
from nested_kvm.facts.modprobe.show_depends import module_name

_WITHOUT_TEXT: Final = re.compile(
    r"([\w-]+):((?:array of )?(?:bool|invbool|bint|byte|u?short|u?int|hexint|u?long|ullong|charp|string))", re.ASCII
)
"""A parameter without a description: `nested:int`, which `modinfo --parameters` prints as `nested: (int)`."""
_NEEDED_BY_KVM: Final = frozenset({"kvm", "irqbypass"})
"""What every KVM module on x86 depends on where it is not built in."""


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """The types of each module's parameters, and the modules that each depends on.

    Source: `modinfo` of the modules that `modprobe --show-depends` names.
    """

    parameters: Mapping[str, Mapping[str, str]]
    depends: Mapping[str, frozenset[str]]

    def required_by(self, module: str) -> frozenset[str]:
        """The module, and all modules without which it does not load; a `softdep` is not one."""
        found, pending = {module, *_NEEDED_BY_KVM}, [module, *_NEEDED_BY_KVM]
        while pending:
            new = self.depends.get(pending.pop(), frozenset()) - found
            found |= new
            pending += new
        return frozenset(found)


def module_info_of(bundle: Bundle, module: str) -> ModuleInfo:
    """The modules' parameters. Of evidence that earlier probes collected only the KVM module's own are known."""
    every = bundle.readings.get(sources.EVERY_MODULE)
    parameters, depends = _sections(every.text) if every is not None and every.is_ok else ({}, {})
    own = bundle.readings.get(sources.module_parameters(module))
    if own is not None and own.is_ok and own.text.strip():
        parameters = {**parameters, module: _agreed(parameter_types(own.text), parameters.get(module, {}))}
    return ModuleInfo(parameters, depends)


def own_parameters(bundle: Bundle, module: str) -> Reading:
    """What `modinfo --parameters` prints of one module, or else what `modinfo` of every module lists of it.

    The probe asks for it alone only where the other answer does not contain it.

    Raises:
        ObservationError: neither is in the evidence.
    """
    source = sources.module_parameters(module)
    every = bundle.readings.get(sources.EVERY_MODULE)
    if source in bundle.readings or every is None or not every.is_ok:
        return bundle.reading(source)
    lines, _ = _lines_and_depends(every.text)
    own = lines.get(module_name(f"{module}.ko"))
    if own is None:
        return bundle.reading(source)
    return Reading(every.source, Status.OK, "\n".join(own), 0)


def _agreed(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The parameters that either answer lists; empty is the type on which they disagree."""
    kinds = {name: {one.get(name), other.get(name)} - {None, ""} for name in {**one, **other}}
    return {name: (each.pop() or "") if len(each) == 1 else "" for name, each in kinds.items()}


def _sections(text: str) -> tuple[dict[str, dict[str, str]], dict[str, frozenset[str]]]:
    """The types of each module's parameters, and the modules that it depends on."""
    lines, depends = _lines_and_depends(text)
    return {each: parameter_types("\n".join(parms)) for each, parms in lines.items()}, depends


def _lines_and_depends(text: str) -> tuple[dict[str, list[str]], dict[str, frozenset[str]]]:
    """Split the output at each module's `filename:`.

    Sample::

        filename:       /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-amd.ko
        depends:        kvm,ccp
        parm:           avic:Enable AVIC (bool)
        parm:           nested:int
    """
    lines: dict[str, list[str]] = {}
    depends: dict[str, frozenset[str]] = defaultdict(frozenset)
    module = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        value = value.strip()
        if key == "filename":
            module = module_name(value)
            lines.setdefault(module, [])
        elif key == "depends" and module:
            depends[module] = frozenset(each.replace("-", "_") for each in value.split(",") if each)
        elif key == "parm" and module:
            without = _WITHOUT_TEXT.fullmatch(value)
            lines[module].append(value if without is None else f"{without[1]}: ({without[2]})")
    return lines, dict(depends)
