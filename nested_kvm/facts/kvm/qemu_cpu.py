"""QEMU's `-cpu`, converted to a CPU definition: `EPYC,+svm,npt=on` is the model EPYC with `require svm`."""

import re
from collections.abc import Iterable
from typing import Final

from nested_kvm.facts.libvirt.cpu_definition import FLAGS, UNDECIDED, CpuDefinition

_MODES: Final = {"host": "host-passthrough", "max": "maximum"}
_ON: Final = frozenset({"on", "yes", "true", "y"})
_OFF: Final = frozenset({"off", "no", "false", "n"})
_KEEPS_SVM: Final = re.compile(r"(type=)?pc(-i440fx|-q35)?-([01]\.\d+|2\.[01])(,.*)?")
"""Machines of QEMU 2.1 and before: with them KVM does not turn a model's svm off (hw/i386/pc_piix.c, until QEMU 9)."""


def qemu_cpu_definition(argument: str | None, machine: str | None = None) -> CpuDefinition:
    """The definition for `-cpu ARGUMENT`; None: there is no `-cpu`, and QEMU uses the machine's default model."""
    model, *words = (argument or "").split(",")
    mode = "none" if argument is None else _MODES.get(model, "custom")
    policies = {flag: _policy(flag, words) for flag in FLAGS}
    if mode in {"none", "custom"} and machine is not None and _KEEPS_SVM.fullmatch(machine):
        policies["svm"] = policies["svm"] or UNDECIDED
    return CpuDefinition(
        mode=mode,
        model=model if mode == "custom" else None,
        features={flag: policy for flag, policy in policies.items() if policy is not None},
        written="no -cpu" if argument is None else f"-cpu {argument}",
    )


def _policy(flag: str, words: Iterable[str]) -> str | None:
    """The flag's policy in libvirt's words; None where the flag is not named.

    QEMU lets `-flag` win over `+flag`, both over `flag=on|off`, and else the last (x86_cpu_parse_featurestr in
    target/i386/cpu.c). It calls a mixture ambiguous and warns that it will become "the last wins": where the two
    rules differ, the version decides.
    """
    named = [(word[:1], _value(flag, word)) for word in words if _names(flag, word)]
    if not named:
        return None
    signed = [value for sign, value in named if sign in {"+", "-"}]
    last = named[-1][1]
    first_rule = "disable" if "disable" in signed else (signed or [last])[0]
    return last if last == first_rule else UNDECIDED


def _names(flag: str, word: str) -> bool:
    return word in {f"+{flag}", f"-{flag}", flag} or word.startswith(f"{flag}=")


def _value(flag: str, word: str) -> str:
    value = word.removeprefix(f"{flag}=")
    if word == f"-{flag}" or value in _OFF:
        return "disable"
    return "require" if word in {flag, f"+{flag}"} or value in _ON else UNDECIDED
