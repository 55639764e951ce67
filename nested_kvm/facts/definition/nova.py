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
from configparser import ConfigParser, Error
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
_OTHERS: Final = {"qemu": "qemu", "kvm": "kvm", "lxc": "lxc", "parallels": "parallels"}


def is_nova_conf(text: str) -> bool:
    """Whether a text is a nova.conf."""
    return _HEADER.search(text) is not None


def nova_domain(text: str) -> Domain:
    """Any instance that Nova defines on the host of this nova.conf.

    Raises:
        NotObserved: it is not a file of oslo.config's, or names a mode that Nova does not know.
    """
    given = _settings(text)
    kind = _OTHERS.get(given.get("virt_type", "kvm").strip(), "kvm")
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
    """The settings of the section libvirt; in others oslo.config allows a key to be repeated."""
    parts = re.split(r"^(\[[^\]\n]*\])[ \t]*$", text, flags=re.MULTILINE)
    own = [body for header, body in zip(parts[1::2], parts[2::2], strict=True) if header == f"[{_SECTION}]"]
    if len(own) > 1:
        raise NotObserved(f"the section {_SECTION} is there {len(own)} times")
    parser = ConfigParser(interpolation=None, strict=True)
    try:
        parser.read_string(f"[{_SECTION}]\n{''.join(own)}")
    except Error as error:
        raise NotObserved(f"is not a nova.conf: {printable(error)}") from None
    return dict(parser[_SECTION])


def _line(text: str) -> int:
    """The line that decides first; that of the section, or 1, where there is none."""
    found = {key: number for number, line in enumerate(text.splitlines(), 1) if (key := _key(line)) is not None}
    order = ("cpu_mode", "cpu_model_extra_flags", "virt_type", f"[{_SECTION}]")
    return next((found[key] for key in order if key in found), 1)


def _key(line: str) -> str | None:
    if line.strip() == f"[{_SECTION}]":
        return line.strip()
    key, separator, _ = line.partition("=")
    return key.strip() if separator and not line.startswith(("#", ";")) else None
