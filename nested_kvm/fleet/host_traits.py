"""What must be the same on all hosts that guests may migrate between: CPU vendor, nested, the KVM module's options."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved, ObservationError
from nested_kvm.evidence import sources
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kernel.parameter import words
from nested_kvm.facts.modprobe.load_outcome import LoadOutcome
from nested_kvm.facts.modprobe.show_depends import ShowDepends
from nested_kvm.fleet.machine import Machine

_COMPANIONS: Final = {
    Vendor.INTEL: ("ept", "unrestricted_guest", "vpid", "enable_shadow_vmcs", "enable_apicv"),
    Vendor.AMD: ("npt", "vgif", "vls", "nrips", "avic"),
}
"""The running parameters that change the CPU which guests see, or how fast their own guests are."""
_SAME: Final = {"Y": "1", "y": "1", "N": "0", "n": "0"}
"""A parameter's type changes from kernel to kernel, and with it how the same value reads."""


@dataclass(frozen=True, slots=True)
class HostTraits:
    """Each trait of one host by its name; of what could not be seen, `unseen` says why."""

    seen: Mapping[str, str]
    unseen: Mapping[str, str]


def host_traits_of(machine: Machine) -> HostTraits:
    """The traits that can be seen. A parameter that its kernel does not have is not a trait."""
    if machine.bundle.failure is not None:
        return HostTraits({}, {"": machine.bundle.failure.message})
    seen: dict[str, str] = {}
    unseen: dict[str, str] = {}
    for name, look in _LOOKS.items():
        try:
            seen.update(look(machine))
        except ObservationError as reason:
            unseen[name] = str(reason)
    return HostTraits(seen, unseen)


def _vendor(machine: Machine) -> Iterator[tuple[str, str]]:
    yield "CPU vendor", machine.cpu.vendor_id or machine.cpu.architecture


def _nested(machine: Machine) -> Iterator[tuple[str, str]]:
    module = machine.kvm_module
    yield "nested", "not loaded" if not module.is_loaded else "on" if module.nested else "off"


def _next_nested(machine: Machine) -> Iterator[tuple[str, str]]:
    next_load = machine.next_load
    if next_load.outcome is LoadOutcome.UNKNOWN:
        raise NotObserved(f"cannot determine the next load: {next_load.reason}")
    value = next_load.value or "" if next_load.outcome is LoadOutcome.COMMAND else next_load.outcome.value
    yield "nested after the next load", value


def _options(machine: Machine) -> Iterator[tuple[str, str]]:
    """The options beside nested; a later one overrides an earlier."""
    module = machine.kvm_module.name
    answer = ShowDepends.parse(module, machine.bundle.text(sources.show_depends(module)))
    if answer.is_built_in:
        own = re.compile(rf"{module.replace('_', '[_-]')}\.")
        text = " ".join(own.sub("", word) for word in machine.bundle.text(sources.CMDLINE).split() if own.match(word))
    else:
        text = answer.options or ""
    given = {word.name.replace("-", "_"): _SAME.get(word.value or "1", word.value or "1") for word in words(text)}
    options = " ".join(f"{name}={value}" for name, value in sorted(given.items()) if name != "nested")
    yield "module options of the next load", options or "none"


def _companions(machine: Machine) -> Iterator[tuple[str, str]]:
    module = machine.kvm_module
    names = _COMPANIONS[machine.cpu.require_vendor()]
    for name in names:
        if name in module.parameters:
            value = module.parameters[name].strip()
            yield f"{module.name} {name}", _SAME.get(value, value)
    unreadable = [name for name in names if name in module.unreadable]
    if unreadable:
        raise NotObserved(f"{module.directory}/parameters/{unreadable[0]} cannot be read")


_LOOKS: Final[Mapping[str, Callable[[Machine], Iterator[tuple[str, str]]]]] = {
    "CPU vendor": _vendor,
    "nested": _nested,
    "nested after the next load": _next_nested,
    "module options of the next load": _options,
    "running module options": _companions,
}
