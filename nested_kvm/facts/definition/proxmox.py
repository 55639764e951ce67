"""The conf of a Proxmox VE guest, `/etc/pve/qemu-server/NNN.conf`, and the custom models of `cpu-models.conf`.

Sample::

    name: ci-1
    cpu: host,flags=+aes
    [PENDING]
    cpu: x86-64-v2-AES

Sources: `parse_vm_config` in qemu-server's PVE/QemuServer.pm, and `get_cpu_options` in PVE/QemuServer/CPUConfig.pm:
without `cpu:` it is kvm64; a built-in or custom model is a reported model with flags, and one of a vendor's shows the
guest that vendor on any host; the guest's own flags win over those; `nested-virt` stands for the flag of the host's
vendor; `args:` come last on QEMU's command line. The next start takes what is pending. A section with another name is a
snapshot. With memory it has a `vmstate`, and `runningcpu` is the `-cpu` that QEMU was started with (PVE/QemuConfig.pm);
so it is with a guest that was suspended to disk.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments
from nested_kvm.facts.definition.candidate_domain import candidate_domain, cpu_by_qemu, shown
from nested_kvm.facts.libvirt.cpu_definition import FLAGS, CpuDefinition
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.facts.libvirt.saved_states import SavedCpu
from nested_kvm.model.form import Form
from nested_kvm.util.text import printable

PENDING: Final = "PENDING"
_SAVED: Final = "vmstate"
_SECTION: Final = re.compile(r"\[([^\]]{1,80})\]\s*")
_LINE: Final = re.compile(r"([a-z][a-z_-]*\d*):\s*(.*?)\s*", re.IGNORECASE)
_MODEL: Final = re.compile(r"cpu-model:\s*(\S+)\s*")
_PROPERTY: Final = re.compile(r"\s+([a-z][a-z-]*)\s+(.*?)\s*")
_FLAG: Final = re.compile(r"([+-])([a-zA-Z0-9_.-]+)")
_LIST: Final = re.compile(r"[+-][a-zA-Z0-9_.-]+(;[+-][a-zA-Z0-9_.-]+)*")
"""How flags are listed; a list of another form is dropped."""
_PROPERTIES: Final = frozenset({"cputype", "flags", "guest-phys-bits", "hidden", "hv-vendor-id", "phys-bits"})
"""What `cpu:` of a guest may have (`validate_vm_cpu_conf` of CPUConfig.pm)."""
_OWN_FLAGS: Final = frozenset({
    "aes", "amd-no-ssb", "amd-ssbd", "hv-evmcs", "hv-tlbflush", "ibpb", "md-clear", "nested-virt", "pcid", "pdpe1gb",
    "spec-ctrl", "ssbd", "virt-ssbd",
})  # fmt: skip
"""The flags that a guest may have itself; any is for custom models alone."""
_CONTAINER: Final = frozenset({"rootfs", "ostemplate", "unprivileged"})
_FALSE: Final = frozenset({"0", "off", "no", "false"})
_ENCRYPTION: Final = {"amd-sev": "sev", "amd_sev": "sev", "intel-tdx": "tdx"}
_NESTED: Final = "nested-virt"
_DEFAULT_MODEL: Final = "kvm64"
_HOSTS_VENDOR: Final = re.compile(r"host|max|(kvm|qemu)(32|64)|x86-64-v\d.*")
_OF_AMD: Final = re.compile(r"athlon|phenom|Opteron|EPYC")
_REVISION: Final = re.compile(r"\+pve\d+")


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of one key, and its line."""

    value: str
    line: int


@dataclass(frozen=True, slots=True)
class CustomModel:
    """A model of `cpu-models.conf`."""

    reported: str
    flags: str


@dataclass(frozen=True, slots=True)
class Conf:
    """One guest's conf: the settings of each section; that of what runs has no name."""

    number: str
    """The guest's number, from the name of the file."""
    sections: Mapping[str, Mapping[str, Setting]]

    @property
    def next_start(self) -> Mapping[str, Setting]:
        """The settings of the guest's next start: what is pending is taken then."""
        pending = dict(self.sections.get(PENDING, {}))
        deleted = pending.pop("delete", None)
        gone = {word.removeprefix("!") for word in re.split(r"[,;\s]+", deleted.value)} if deleted else set()
        kept = {key: setting for key, setting in self.sections[""].items() if key not in gone}
        return kept | pending

    @property
    def is_container(self) -> bool:
        """Whether it is the conf of a container (LXC), which shares the CPU of its host."""
        return not _CONTAINER.isdisjoint(self.sections[""])


def parse_conf(text: str, number: str) -> Conf:
    """Parse a conf.

    Raises:
        NotObserved: a line is not of a conf, or a key is given twice; the message names the line.
    """
    sections: dict[str, dict[str, Setting]] = {"": {}}
    current = sections[""]
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip() or raw.startswith("#"):
            continue
        section = _SECTION.fullmatch(raw)
        if section:
            name = PENDING if section[1].upper() == PENDING else section[1]
            if name in sections:
                raise NotObserved(f"line {line}: the section {printable(name)} is there twice")
            current = sections[name] = {}
            continue
        setting = _LINE.fullmatch(raw)
        if setting is None:
            raise NotObserved(f"line {line}: is not a line of a Proxmox VE conf: {printable(raw, 60)}")
        if setting[1] in current:
            raise NotObserved(f"line {line}: the key {setting[1][:40]} is given twice")
        current[setting[1]] = Setting(setting[2], line)
    return Conf(number, sections)


def parse_models(text: str) -> dict[str, CustomModel]:
    """Parse a `cpu-models.conf`.

    Sample::

        cpu-model: nested
            flags +svm;+aes
            reported-model EPYC

    Raises:
        NotObserved: a line is not of such a file, or a model is there twice; the message names the line.
    """
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip() or raw.startswith("#"):
            continue
        header, own = _MODEL.fullmatch(raw), _PROPERTY.fullmatch(raw)
        if header:
            if header[1] in found:
                raise NotObserved(f"line {line}: the model {printable(header[1], 40)} is there twice")
            current = found[header[1]] = {}
        elif own and current is not None and own[1] not in current:
            current[own[1]] = own[2]
        else:
            raise NotObserved(f"line {line}: is not a line of cpu-models.conf: {printable(raw, 60)}")
    return {
        name: CustomModel(given.get("reported-model", _DEFAULT_MODEL), given.get("flags", ""))
        for name, given in found.items()
    }


def is_models_file(text: str) -> bool:
    """Whether a text is a `cpu-models.conf`."""
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    return _MODEL.fullmatch(first) is not None


def proxmox_domains(confs: Sequence[Conf], models: Mapping[str, CustomModel]) -> Iterator[Domain]:
    """The guests of these confs, as their next start gives them; `models` are the custom ones that are known.

    Raises:
        NotObserved: a conf cannot be evaluated; the message names the line.
    """
    yield from (_domain(conf, models) for conf in confs if not conf.is_container)


def saved_cpus(conf: Conf, file: str) -> Iterator[SavedCpu | str]:
    """The CPU of each saved state with memory, or a sentence why it is not known."""
    for name, section in conf.sections.items():
        if _SAVED not in section or name == PENDING:
            continue
        running, args = section.get("runningcpu"), section.get("args")
        place = f"{file}:{(running or section[_SAVED]).line}"
        if running is None:
            what = f"the snapshot {printable(name, 80)}" if name else "the suspended guest"
            yield f"{place}: {what} was saved with its memory and without runningcpu, so that its CPU is not known"
            continue
        machine = _REVISION.sub("", section.get("runningmachine", Setting("", 0)).value) or None
        cpu = cpu_by_qemu(running.value, [] if args is None else _words(args), machine, shown(f"-cpu {running.value}"))
        is_emulated = section.get("kvm", Setting("", 0)).value.lower() in _FALSE
        yield SavedCpu(place, name or None, "qemu" if is_emulated else "kvm", cpu)


def _domain(conf: Conf, models: Mapping[str, CustomModel]) -> Domain:
    given = conf.next_start
    cpu, args = given.get("cpu"), given.get("args")
    machine = given.get("machine", Setting("", 0)).value.split(",")[0].removeprefix("type=") or None
    architecture = given.get("arch", Setting("", 0)).value or None
    decisive = args if args is not None and "cpu" in args.value else cpu or args
    kvm = given.get("kvm")
    # Without `kvm:` Proxmox uses KVM where the guest's architecture is the host's.
    is_emulated = kvm is not None and kvm.value.lower() in _FALSE
    name = given["name"].value if "name" in given else conf.number
    return candidate_domain(
        Form.PROXMOX,
        name,
        _cpu(given, machine, models),
        f":{(kvm if is_emulated and kvm else decisive or Setting('', 1)).line}",
        kind="qemu" if is_emulated else "kvm",
        architecture=architecture,
        machine=machine,
    )


def _cpu(given: Mapping[str, Setting], machine: str | None, models: Mapping[str, CustomModel]) -> CpuDefinition:
    setting, args = given.get("cpu"), given.get("args")
    written = "no cpu:" if setting is None else f"cpu: {setting.value}"
    words = [] if args is None else _words(args)
    deciding = " ".join(deciding_arguments(words))
    written += f", args: {deciding}" if deciding else ""
    options = _options(setting)
    model, flags = _model(options.get("cputype", _DEFAULT_MODEL), models)
    policies = _flags(flags) | _flags(options.get("flags", ""))
    vendor = [] if model is None or _HOSTS_VENDOR.fullmatch(model) else [f"vendor={_vendor(model)}"]
    argument = ",".join([model or "unknown", *(f"{sign}{name}" for name, sign in policies.items()), *vendor])
    definition = cpu_by_qemu(argument, words, _REVISION.sub("", machine or "") or None, shown(written))
    named = {flag for flag in FLAGS[:2] if f"+{flag}" in re.split("[;,]", f"{flags};{options.get('flags', '')}")}
    if len(named) > 1 and definition.mode == "custom":
        refusal = "+vmx and +svm together let QEMU start on no host, as Proxmox VE adds enforce"
        definition = replace(definition, undecided=refusal)
    encryption = next((kind for key, kind in _ENCRYPTION.items() if key in given), None)
    definition = replace(definition, memory_encryption=encryption or definition.memory_encryption)
    ignored = _why_ignored(setting, flags)
    if ignored is not None and "-cpu" not in words:
        return replace(definition, undecided=ignored)
    if model is None and "-cpu" not in words:
        name = shown(options["cputype"])
        return replace(definition, undecided=f"{name} is a model of cpu-models.conf, which does not show it here")
    return definition


def _words(args: Setting) -> list[str]:
    try:
        return shlex.split(args.value)
    except ValueError as error:
        raise NotObserved(f"line {args.line}: args: {error}") from None


def _options(setting: Setting | None) -> dict[str, str]:
    """The properties in `cpu:`, of which the first may have no name."""
    if setting is None:
        return {}
    found: dict[str, str] = {}
    for word in _parts(setting):
        key, equals, value = word.strip().partition("=")
        key, value = (key, value) if equals else ("cputype", key)
        if key in found:
            raise NotObserved(f"line {setting.line}: {printable(key, 40)} is given twice in cpu:")
        found[key] = value
    return found


def _parts(setting: Setting) -> list[str]:
    """The parts of a list of properties; Proxmox VE passes over empty ones (`parse_property_string`)."""
    return [part for part in setting.value.split(",") if part.strip()]


def _why_ignored(setting: Setting | None, of_model: str) -> str | None:
    """Why Proxmox VE starts the guest without what its `cpu:`, or its custom model, says; None: it takes both.

    It warns of a value that is not valid and passes over the whole line: the guest then has kvm64.
    """
    if of_model and _LIST.fullmatch(of_model) is None:
        return f"the flags {shown(of_model)} of its custom model are not such a list, and may be passed over"
    if setting is None:
        return None
    names = [word.partition("=")[0] for word in _parts(setting) if "=" in word]
    own = _options(setting).get("flags", "")
    wrong = [name for name in names if name not in _PROPERTIES]
    wrong += [own] if own and _LIST.fullmatch(own) is None else []
    wrong += [flag for flag in own.split(";") if flag and flag[1:] not in _OWN_FLAGS]
    wrong += [word for word in _parts(setting) if word != word.strip() or word.endswith("=")]
    return f"cpu: has {shown(wrong[0])}, for which Proxmox VE may pass over the line and give kvm64" if wrong else None


def _model(name: str, models: Mapping[str, CustomModel]) -> tuple[str | None, str]:
    """QEMU's model, and the flags that come with it; None: a custom model that is not known."""
    if not name.startswith("custom-"):
        return name, ""
    custom = models.get(name.removeprefix("custom-"))
    return (None, "") if custom is None else (custom.reported, custom.flags)


def _vendor(model: str) -> str:
    """The vendor that a guest with this model is shown, whatever its host's is."""
    return "AuthenticAMD" if _OF_AMD.match(model) else "GenuineIntel"


def _flags(text: str) -> dict[str, str]:
    """The sign of each flag; `nested-virt` is the flag of whichever vendor the host has."""
    found: dict[str, str] = {}
    for word in filter(None, text.split(";")):
        flag = _FLAG.fullmatch(word.strip())
        if flag is None:
            raise NotObserved(f"{printable(word, 40)!r} is not a flag of a CPU")
        found |= dict.fromkeys(FLAGS[:2] if flag[2] == _NESTED else (flag[2],), flag[1])
    return found
