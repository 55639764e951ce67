"""Readings from the outputs that several support tools store: `uname -a`, `ps`, `ls` of /dev, dmidecode, modinfo."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.util.text import decimal

CPU_LINES: Final = (
    r"^(processor|vendor_id|cpu family|model|model name|flags|vmx flags|features|Features|cpu|platform|MMU)"
    r"[ \t0-9]*[:=]"
)
LOG_LINES: Final = r"kvm|svm|vmx|vboxdrv|vmmon|encryption f"
LOG_LAST: Final = 400
GRUB_LINES: Final = r"^[^#]*GRUB_CMDLINE|^([^#=]*[;&|!({ \t])?(\.|source|if|case|for|while|\[|test|eval)[ \t]"
GRUB_CFG_LINES: Final = r"^[ \t]*(linux|set (kernelopts|tuned_params|extra_cmdline)=)"
BOOT_ENTRY_LINES: Final = r"^[ \t]*options[ \t]"
GRUBENV_LINES: Final = r"^(kernelopts|tuned_params)="
OS_RELEASE_LINES: Final = r"^(VARIANT_|IMAGE_)?ID="
MOUNT_LINES: Final = r"^[^# ]+ /(etc[^ ]*)? "
SHUTDOWN_LINES: Final = r"ON_SHUTDOWN="
QEMU_CONF_LINES: Final = r"^[ \t]*(auto_shutdown_|(user|group)[ \t]*=)"
"""Which lines the probe prints of each file."""

_UNAME: Final = re.compile(
    r"Linux (?P<node>\S{1,255}) (?P<release>\S{1,100}) (?P<version>#[^\n]{1,200}?) "
    r"(?P<machine>x86_64|i[3-6]86|aarch64|s390x|ppc64|ppc64le|riscv64)(?: |$)",
    re.ASCII | re.MULTILINE,
)
_VMM: Final = re.compile(
    r"qemu-system-[\w.+-]{1,40}|qemu-kvm|kvm|kvm-spice|lkvm|cloud-hyp|firecr|crosvm|strato|openvmm|krun"
)
_WITH_VALUE: Final = frozenset({"name", "uuid", "cpu", "cpus", "platform", "api-socket", "accel", "machine", "M"})
_ONCE: Final = frozenset({"name", "uuid", "cpu", "machine", "M", "cpus"})
_CPU_TYPE: Final = re.compile(r"(?:[^.,]*-)?cpu(?:[.,]|$)")
_LS_LINE: Final = re.compile(r"^(\S{10}\S? +\d+ +\d+ +\d+ .*[ ])kvm$", re.MULTILINE)


def of_uname(text: str) -> Iterator[Reading]:
    """The kernel's release, version and architecture in `uname -a`."""
    found = _UNAME.search(text)
    if found is not None:
        yield Reading(sources.KERNEL_RELEASE, Status.OK, found["release"])
        yield Reading(sources.KERNEL_VERSION, Status.OK, found["version"])
        yield Reading(sources.ARCHITECTURE, Status.OK, found["machine"], 0)


def node_of_uname(text: str) -> str | None:
    """The machine's own name in `uname -a`."""
    found = _UNAME.search(text)
    return None if found is None else found["node"]


def of_lsmod(text: str) -> Iterator[Reading]:
    """The modules of KVM that `lsmod` lists, with their use counts; it lists none that is built in.

    Sample: `kvm_amd               155648  0`
    """
    if not text.startswith("Module"):
        return
    rows = [row for line in text.split("\n")[1:] if len(row := line.split()) > 2]  # noqa: PLR2004 - name, size, use count
    found = [row for row in rows if re.fullmatch(r"kvm\w*|vbox\w*|vmmon", row[0])]
    # A module that is being removed has the use count -1 (module_refcount in the kernel's kernel/module/main.c).
    if not any(row[0].startswith("kvm_") for row in found) or any(decimal(row[2]) is None for row in found):
        return
    yield Reading(sources.MODULES, Status.OK, "\n".join(row[0] for row in found))
    for name, _, count in (row[:3] for row in found):
        yield Reading(f"{sources.MODULES}/{name}", Status.OK, f"initstate=live\nrefcnt={count}")
    counts = [row[2] for row in found if row[0].startswith("kvm_")]
    unused = unused_kvm(Reading(sources.MODULES, Status.OK), counts)
    if unused is not None:
        yield unused


def unknown_live_patches(tool: str) -> Reading:
    """That a live patch may be loaded, which a tool that copies nothing of sysfs does not show."""
    source = f"{sources.LIVE_PATCHES}/any that is loaded"
    return Reading(source, Status.NOT_COLLECTED, f"{tool} does not collect {sources.LIVE_PATCHES}")


def utc_time(text: str) -> datetime | None:
    """The time in `date --utc`, in the C locale or one like it; None: it shows none that is valid.

    Sample: `Sat Nov 28 21:15:07 UTC 2026`
    """
    shown = re.fullmatch(r"\w{3} (\w{3} \d{1,2} \d\d:\d\d:\d\d) (?:UTC|GMT) (\d{4})", " ".join(text.split()), re.ASCII)
    try:
        return None if shown is None else datetime.strptime(f"{shown[1]} {shown[2]} +0000", "%b %d %H:%M:%S %Y %z")
    except ValueError:
        return None


def of_ps(text: str, tool: str) -> Iterator[Reading]:
    """The VMM processes in `ps auxwww` of root, as the probe prints them, and whether process 2 is the kernel's.

    ps separates arguments by blanks, so an argument with a blank in it looks like two. Where that may matter, because
    an option that decides occurs twice, the processes are not known.
    """
    lines: list[str] = []
    problem = ""
    rows = [row for line in text.split("\n")[1:] if len(row := line.split(None, 10)) > 10]  # noqa: PLR2004 - the columns of ps
    if not text.startswith("USER") or not rows:
        return
    for row in rows:
        pid, command = decimal(row[1]), row[10]
        if pid == 2 and row[4] == row[5] == "0" and command.strip() == "[kthreadd]":  # noqa: PLR2004 - kthreadd
            yield Reading(sources.FIRST_THREAD, Status.OK, "[kthreadd]")
        if pid is not None and not command.startswith("["):
            found, twice = _vmm(pid, command.split())
            lines += found
            problem = problem or (
                f"process {pid} has {twice} twice in ps, which does not separate arguments" if twice else ""
            )
    if problem:
        yield Reading(sources.VMM_PROCESSES, Status.NOT_COLLECTED, f"{tool} does not show it: {problem}")
    else:
        yield Reading(sources.VMM_PROCESSES, Status.OK, "\n".join(lines))


def _vmm(pid: int, words: Sequence[str]) -> tuple[list[str], str]:
    """The lines of a process, and the option that it has twice; none for what is no VMM."""
    program = words[0].rpartition("/")[2]
    if not _VMM.match(program) or not re.fullmatch(r"[A-Za-z0-9_.+-]+", program):
        return [], ""
    lines, seen = [f"{pid} program={program}"], list[str]()
    for word, value in zip(words[1:], [*words[2:], ""], strict=True):
        option = word.lstrip("-") if word.startswith("-") else ""
        if option == "enable-kvm":
            lines.append(f"{pid} enable-kvm=on")
        elif option in _WITH_VALUE:
            seen.append(option)
            lines.append(f"{pid} {option}={value}")
        elif option == "global" and _is_of_cpu(value):
            lines.append(f"{pid} global={value}")
        elif option == "readconfig":
            known = value.startswith("/usr/share/qemu-server/")
            lines.append(f"{pid} readconfig={value if known else ''}")
    return lines, next((each for each in seen if each in _ONCE and seen.count(each) > 1), "")


def _is_of_cpu(value: str) -> bool:
    """Whether a `-global` is of a CPU type: it begins with one, or has `driver=` and one, whatever its keys' order."""
    return any(_CPU_TYPE.match(each) for each in value.split("driver="))


def of_dev_listing(text: str) -> Reading | None:
    """`/dev/kvm` in `ls -lanR /dev`; None: the listing does not begin with that folder, or has no numbers."""
    section = re.search(r"(?:\A|\n)/dev:\n(.*?)(?:\n\n|\Z)", text, re.DOTALL)
    if section is None or len(section[1]) < 100:  # noqa: PLR2004 - a real one has hundreds of lines
        return None
    found = _LS_LINE.search(section[1])
    if found is not None:
        return Reading(sources.DEV_KVM, Status.OK, f"{found[1]}/dev/kvm")
    return None if re.search(r" kvm( ->.*)?$", section[1], re.MULTILINE) else Reading(sources.DEV_KVM, Status.ABSENT)


def of_dmesg(text: str) -> Iterator[Reading]:
    """The lines of the kernel's log about virtualization; nothing where dmesg was not allowed to read it."""
    if text.strip() and "not permitted" not in text[:300] and "read kernel buffer failed" not in text[:300]:
        lines = [line for line in text.split("\n") if re.search(LOG_LINES, line, re.IGNORECASE)]
        yield Reading(sources.KERNEL_LOG, Status.OK, "\n".join(lines[-LOG_LAST:]), 0)


def of_mount(text: str) -> Iterator[Reading]:
    """What is mounted at / and /etc in `mount -l`, as `/proc/self/mounts` has it.

    Sample: `/dev/vda1 on / type ext4 (rw,relatime)`
    """
    rows = re.findall(r"^(\S+) on (/(?:etc\S*)?) type (\S+) \((\S+)\)", text, re.MULTILINE)
    if rows:
        lines = (f"{device} {place} {kind} {options} 0 0" for device, place, kind, options in rows)
        yield Reading(sources.MOUNTS, Status.OK, "\n".join(lines))


def is_root_of_machine(mounts: str) -> bool:
    """Whether what is mounted at / is no layer of an image, as it is in a container that sees the host's processes."""
    kinds = [parts[2] for line in mounts.split("\n") if len(parts := line.split()) > 3 and parts[1] == "/"]  # noqa: PLR2004 - device, place, type, options
    return bool(kinds) and not set(kinds) & {"overlay", "aufs", "fuse-overlayfs", "fuse.fuse-overlayfs"}


def of_dmidecode(text: str) -> Iterator[Reading]:
    """The machine's manufacturer, product and uuid in dmidecode."""
    block = re.search(r"^System Information\n((?:[ \t]+.*\n?)*)", text, re.MULTILINE)
    keys = {"Manufacturer": "sys_vendor", "Product Name": "product_name", "UUID": "product_uuid"}
    for line in block[1].split("\n") if block is not None else ():
        key, colon, value = line.strip().partition(":")
        if colon and key in keys:
            yield Reading(f"{sources.DMI}/{keys[key]}", Status.OK, value.strip())


def of_modinfo(text: str, modules: Sequence[str]) -> Iterator[Reading]:
    """The parameters of the modules in `modinfo` of many, as `modinfo --parameters` prints them."""
    kept: list[str] = []
    name = ""
    parameters: dict[str, list[str]] = {}
    for line in text.split("\n"):
        key, _, value = line.partition(":")
        if key == "filename":
            file = value.strip().rpartition("/")[2]
            name = re.sub(r"\.ko(\.\w+)?$", "", file).replace("-", "_")
        elif key == "name" and name in {"", "(builtin)"}:
            name = value.strip()
        if name in modules:
            kept.append(line)
            if key == "parm":
                parameters.setdefault(name, []).append(value.strip())
            else:
                parameters.setdefault(name, [])
    if kept:
        yield Reading(sources.EVERY_MODULE, Status.OK, "\n".join(kept), 0)
    for module, lines in parameters.items():
        yield Reading(sources.module_parameters(module), Status.OK, "\n".join(lines), 0)


def of_unit_files(text: str) -> Reading | None:
    """Whether libvirt-guests is enabled, in `systemctl list-unit-files`; None: that is no such list."""
    if "UNIT FILE" not in text:
        return None
    found = re.search(r"^libvirt-guests\.service\s+(\S+)", text, re.MULTILINE)
    state = "not-found" if found is None else found[1]
    status = Status.OK if state.startswith("enabled") else Status.FAILED
    return Reading(sources.LIBVIRT_GUESTS, status, state, 0 if status is Status.OK else 1)


def unused_kvm(modules: Reading, use_counts: Sequence[str | None]) -> Reading | None:
    """That no process holds a VM, where no module of KVM is in use; None: one may be."""
    if not modules.is_ok or not use_counts or any(count != "0" for count in use_counts):
        return None
    return Reading(sources.VM_HOLDERS, Status.OK, "no module of KVM is in use")
