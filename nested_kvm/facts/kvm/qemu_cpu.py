"""QEMU's `-cpu`, converted to a CPU definition: `EPYC,+svm,npt=on` is the model EPYC with `require svm`."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from nested_kvm.evidence.libvirt.qemu_arguments import cpu_of_global
from nested_kvm.facts.libvirt.cpu_definition import FLAGS, UNDECIDED, CpuDefinition, kept_svm

_MODES: Final = {"host": "host-passthrough", "max": "maximum"}
_ON: Final = frozenset({"on", "yes", "true", "y"})
_HARMLESS_CONFIG: Final = re.compile(r"/usr/share/qemu-server/pve[\w.-]*\.cfg")
"""Proxmox's own files, which add devices to the machine."""
_ENCRYPTION: Final = re.compile(r"(^|,)(confidential-guest-support|memory-encryption)=")
_PROPERTY: Final = re.compile(
    r"[\w+-]+\.(?P<name>[\w-]+)=(?P<setting>[^,]*)|driver=[\w+-]+,property=(?P<property>[\w-]+),value=(?P<value>[^,]*)"
)
_CONTROL: Final = re.compile(r"\+vmx-[\w-]+|vmx-[\w-]+(=(on|yes|true|y))?")
_OFF: Final = frozenset({"off", "no", "false", "n"})


def qemu_cpu_definition(
    argument: str | None, machine: str | None = None, properties: Sequence[str] = (), config: str | None = None
) -> CpuDefinition:
    """The definition for `-cpu ARGUMENT`; None: there is no `-cpu`, and QEMU uses the machine's default model.

    Args:
        argument: what follows `-cpu`.
        machine: what follows `-machine`.
        properties: what follows each `-global` of a CPU type.
        config: what follows `-readconfig`; empty where that was not kept.
    """
    model, *words = (argument or "").split(",")
    mode = "none" if argument is None else _MODES.get(model, "custom")
    policies = {flag: _policy_of_both(flag, words, model, properties) for flag in FLAGS}
    given = [f"-global {each}" for each in properties]
    given += [] if config is None or _HARMLESS_CONFIG.fullmatch(config) else ["-readconfig"]
    encryption = _ENCRYPTION.search(machine or "")
    vendors = [word.removeprefix("vendor=") for word in words if word.startswith("vendor=")]
    vendors += [value for each in properties if (value := _property_in(each, "vendor")) is not None]
    return CpuDefinition(
        mode=mode,
        model=model if mode == "custom" else None,
        features=kept_svm(mode, machine) | {flag: policy for flag, policy in policies.items() if policy is not None},
        shown_vendor=vendors[-1] if vendors else None,
        has_vmx_controls=any(_CONTROL.fullmatch(word) for word in words),
        written=" ".join(["no -cpu" if argument is None else f"-cpu {argument}", *given]),
        reads_config="-readconfig" in given,
        memory_encryption="confidential-guest-support" if encryption else None,
    )


def _policy_of_both(flag: str, words: Sequence[str], model: str, properties: Sequence[str]) -> str | None:
    """The flag's policy by `-cpu` and by `-global`; where both name it, or another CPU type's does, it is undecided."""
    by_cpu = _policy(flag, words)
    set_by = [(cpu_of_global(each), value) for each in properties if (value := _set_to(flag, each)) is not None]
    if not set_by:
        return by_cpu
    own = {"cpu", f"{model}-x86_64-cpu", f"{model}-i386-cpu", f"{model}-s390x-cpu"}
    values = {value for cpu, value in set_by}
    is_certain = by_cpu is None and len(values) == 1 and all(cpu in own for cpu, _ in set_by)
    return values.pop() if is_certain else UNDECIDED


def _set_to(flag: str, value: str) -> str | None:
    """The policy that the value of a `-global` gives the flag: `cpu.svm=on`, or `driver=cpu,property=svm,value=on`."""
    if _PROPERTY.fullmatch(value) is None:
        return UNDECIDED if flag in value else None
    setting = _property_in(value, flag)
    return None if setting is None else _value(flag, f"{flag}={setting}")


def _property_in(value: str, name: str) -> str | None:
    """What the value of a `-global` gives the property of that name; None: it is another property's."""
    found = _PROPERTY.fullmatch(value)
    if found is not None and found["name"] is not None:
        return found["setting"] if found["name"] == name else None
    keys = dict(part.partition("=")[::2] for part in value.split(","))  # in any order
    return keys.get("value", "") if keys.get("property") == name else None


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
