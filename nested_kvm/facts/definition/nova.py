"""The nova.conf of a compute host of OpenStack: the CPU of every instance that Nova defines there.

Sample::

    [libvirt]
    virt_type = kvm
    cpu_mode = custom
    cpu_models = Cascadelake-Server
    cpu_model_extra_flags = +vmx, PCID

Source: nova/conf/libvirt.py and `_get_guest_cpu_model_config` of nova/virt/libvirt/driver.py: without `cpu_mode` it is
host-model under KVM; `none` leaves the CPU to the hypervisor; `custom` takes of `cpu_models` the first that has what a
flavor asks for; each extra flag is required, or with `-` disabled.
"""

import re
from collections import Counter
from dataclasses import replace
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.facts.definition.candidate_domain import candidate_domain, cpu_by_libvirt, shown
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.model.form import Form
from nested_kvm.util.text import printable

_SECTION: Final = "libvirt"
_HEADER: Final = re.compile(r"^\[(libvirt|compute|api_database|keystone_authtoken)\]\s*$", re.MULTILINE)
_MODES: Final = frozenset({"host-model", "host-passthrough", "custom", "none"})
_TYPES: Final = frozenset({"kvm", "qemu", "lxc", "parallels", "uml", "xen"})
"""The values of virt_type, which are libvirt's types of domains."""
_READ: Final = (
    "virt_type", "cpu_mode", "cpu_models", "cpu_model", "cpu_model_extra_flags", "hw_machine_type",
)  # fmt: skip


def is_nova_conf(text: str) -> bool:
    """Whether a text is a nova.conf."""
    return _HEADER.search(text) is not None


def nova_domain(text: str) -> Domain:
    """Any instance that Nova defines on the host of this nova.conf.

    Raises:
        NotObserved: it is not a file of oslo.config's, or names a mode that Nova does not know.
    """
    given = _settings(text)
    open_key = next((key for key in _READ if "$" in given.get(key, "")), None)
    if open_key is not None:
        raise NotObserved(f"{open_key} takes the value of another option: {printable(given[open_key], 40)!r}")
    kind = given.get("virt_type", "kvm").strip()
    if kind not in _TYPES:
        raise NotObserved(f"virt_type is {printable(kind, 40)!r}: Nova knows {', '.join(sorted(_TYPES))}")
    mode = given.get("cpu_mode", "").strip() or "host-model"
    if mode not in _MODES:
        raise NotObserved(f"cpu_mode is {printable(mode, 40)!r}: Nova knows {', '.join(sorted(_MODES))}")
    models = [word.strip() for word in given.get("cpu_models", given.get("cpu_model", "")).split(",") if word.strip()]
    flags = [word.strip().lower() for word in given.get("cpu_model_extra_flags", "").split(",") if word.strip()]
    written = [f"cpu_mode={mode}" if "cpu_mode" in given else "no cpu_mode, so host-model"]
    written += [f"cpu_models={','.join(models)}"] if models else []
    written += [f"cpu_model_extra_flags={','.join(flags)}"] if flags else []
    model = None if mode == "none" else mode if mode != "custom" else next(iter(models), None)
    features = (
        [] if mode == "none" else [(flag.lstrip("+-"), "disable" if flag[0] == "-" else "require") for flag in flags]
    )
    machine = _machines(given.get("hw_machine_type", "")).get("x86_64")
    definition = cpu_by_libvirt(model, features, kind=kind, machine=machine)
    definition = replace(definition, written=shown(", ".join(written)))
    if mode == "custom" and not models:
        definition = replace(definition, undecided="cpu_mode is custom, and cpu_models names no model")
    inexact = "a flavor decides which of cpu_models its instance gets" if mode == "custom" and len(models) > 1 else None
    if "hw_machine_type" in given:
        inexact = "hw_machine_type decides the machine, and is not read here"
    return candidate_domain(Form.NOVA, "any instance", definition, f":{_line(text)}", kind=kind, inexact=inexact)


def _machines(text: str) -> dict[str, str]:
    """The machine type of each architecture in `x86_64=q35,aarch64=virt`."""
    pairs = (word.partition("=") for word in text.split(","))
    return {architecture.strip(): machine.strip() for architecture, _, machine in pairs}


def _settings(text: str) -> dict[str, str]:
    """The settings of the section libvirt, as oslo.config reads a file: see `parse` of oslo_config/iniparser.py.

    A name of a section counts in any case, that of a key as it is written. A value may go on in indented lines.
    """
    sections, given = Counter[str](), list[tuple[str, list[str]]]()
    is_own, is_open = False, False
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip()
        if line.startswith((" ", "\t")):
            if not is_open:
                raise NotObserved(f"is not a nova.conf: line {number} continues nothing: {printable(line, 60)}")
            if is_own:
                given[-1][1].append(line.lstrip())
            continue
        is_open = False
        if line.startswith("["):
            section = _section(line, number)
            sections[section] += 1
            is_own = section == _SECTION
        elif line and not line.startswith(("#", ";")):
            setting, is_open = _assignment(line, number), True
            given += [setting] if is_own else []
    if sections[_SECTION] > 1:
        raise NotObserved(f"the section {_SECTION} is there {sections[_SECTION]} times")
    twice = next((key for key, count in Counter(key for key, _ in given).items() if count > 1), None)
    if twice is not None:
        raise NotObserved(f"option {printable(twice, 40)!r} in section {_SECTION!r} already exists")
    return {key: "\n".join(values) for key, values in given}


def _section(line: str, number: int) -> str:
    if not line.endswith("]"):
        raise NotObserved(f"is not a nova.conf: line {number} is no section: {printable(line, 60)}")
    return line[1:-1].lower()


def _assignment(line: str, number: int) -> tuple[str, list[str]]:
    """The key and the first line of its value, without the quotes around it."""
    key, separator, value = [*re.split("([=:])", line, maxsplit=1), "", ""][:3]
    if not separator or not key.strip():
        raise NotObserved(f"is not a nova.conf: line {number} sets nothing: {printable(line, 60)}")
    value = value.strip()
    if value[:1] in {"'", '"'} and value[0] == value[-1]:
        value = value[1:-1]
    return key.strip(), [value]


def _line(text: str) -> int:
    """The line that decides first; that of the section, or 1, where there is none."""
    found = {key: number for number, line in enumerate(text.split("\n"), 1) if (key := _key(line)) is not None}
    order = ("cpu_mode", "cpu_model_extra_flags", "virt_type", f"[{_SECTION}]")
    return next((found[key] for key in order if key in found), 1)


def _key(line: str) -> str | None:
    if line.strip() == f"[{_SECTION}]":
        return line.strip()
    key, separator, _ = line.partition("=")
    return key.strip() if separator and not line.startswith(("#", ";")) else None
