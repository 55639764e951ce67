"""A recorded machine as `sos report` would have packed it, so that both can be evaluated and compared.

Constructed from what the plugins of sos 4.8 copy; the contents are the recorded machine's own readings.
"""

import io
import json
import lzma
import re
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.show_depends import ShowDepends

Files: TypeAlias = Mapping[str, bytes | str | Path]
"""By path: the content, or where a link points, as a `Path`."""
MADE = datetime(2026, 11, 28, 21, 15, 7, tzinfo=UTC)
PLUGINS = (
    "kernel",
    "processor",
    "hardware",
    "grub2",
    "libvirt",
    "virsh",
    "process",
    "block",
    "host",
    "date",
    "systemd",
)
VIRSH = "virsh -r -c qemu:///system"
_COPIED = (
    "/proc/cmdline", "/proc/cpuinfo", "/etc/os-release", "/etc/default/grub", "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg", "/boot/grub2/grubenv", "/etc/libvirt/qemu.conf",
)  # fmt: skip
_FOLDERS = (
    "/sys/class/dmi/id/", "/sys/devices/system/cpu/vulnerabilities/", "/boot/loader/entries/", "/etc/modprobe.d/",
    "/run/modprobe.d/", "/lib/modprobe.d/", "/usr/local/lib/modprobe.d/",
)  # fmt: skip


def sos_files(name: str, readings: Mapping[str, Reading], version: str = "4.8.1") -> dict[str, bytes | str | Path]:
    """The files of a sosreport of a machine that answered like this."""
    top = f"sosreport-{name}-2026-11-28-abcdefg"
    manifest = {
        "version": version,
        "cmdline": "report --batch",
        "components": {"report": {"plugins": {key: {} for key in PLUGINS}}},
    }
    files: dict[str, bytes | str | Path] = {
        "version.txt": f"sosreport: {version}\n",
        "sos_reports/manifest.json": json.dumps(manifest),
        "sos_commands/host/hostname": f"{name}\n",
        "sos_commands/date/date_--utc": MADE.strftime("%a %b %d %H:%M:%S UTC %Y\n"),
        "sys/module/printk/parameters/time": "Y\n",
        "sys/module/kernel/parameters/panic": "0\n",
        "lib/modprobe.d/aliases.conf": "alias char-major-10-224 nosuch\n",
        "etc/libvirt/libvirtd.conf": "",
    }
    files |= (
        dict(_copied(readings)) | dict(_outputs(name, readings)) | dict(_modules(readings)) | dict(_libvirt(readings))
    )
    merged = {re.sub("^lib/", "usr/lib/", path): content for path, content in files.items()}
    return {f"{top}/{path}": content for path, content in {**merged, "lib": Path("usr/lib")}.items()}


def _text(readings: Mapping[str, Reading], source: str) -> str:
    reading = readings.get(source)
    return reading.text if reading is not None and reading.is_ok else ""


def _copied(readings: Mapping[str, Reading]) -> Iterator[tuple[str, str | Path]]:
    for source, reading in readings.items():
        if source not in _COPIED and not source.startswith(_FOLDERS):
            continue
        if reading.link is not None:
            up = "../" * (source.count("/") - 1)
            yield source[1:], Path(f"{up}{reading.link[1:]}" if reading.link.startswith("/") else reading.link)
        elif reading.status is Status.DEVICE:
            yield source[1:], Path("../../dev/null")
        elif reading.is_ok:
            yield source[1:], reading.text


def _outputs(name: str, readings: Mapping[str, Reading]) -> Iterator[tuple[str, str]]:
    release, version, machine = (
        _text(readings, source).strip()
        for source in ("/proc/sys/kernel/osrelease", "/proc/sys/kernel/version", "uname -m")
    )
    yield "sos_commands/kernel/uname_-a", f"Linux {name} {release} {version or '#1 SMP'} {machine} GNU/Linux\n"
    if "dmesg" in readings and readings["dmesg"].is_ok:
        yield "sos_commands/kernel/dmesg", _text(readings, "dmesg") + "\n"
    yield (
        "sos_commands/process/ps_auxwww",
        _ps(_text(readings, "/proc/[0-9]*/cmdline"), _text(readings, "ls -l /proc/self/ns")),
    )
    device = readings.get("/dev/kvm")
    filler = "".join(f"crw--w---- 1 0 5 4, {number:2} Nov 28 21:00 tty{number}\n" for number in range(9))
    if device is not None and device.status in {Status.OK, Status.ABSENT}:
        line = device.text.strip().removesuffix("/dev/kvm") + "kvm\n" if device.is_ok else ""
        yield "sos_commands/block/ls_-lanR_.dev", f"/dev:\ntotal 0\n{line}{filler}\n/dev/block:\ntotal 0\n"
    guests = readings.get("systemctl is-enabled libvirt-guests")
    unit = f"libvirt-guests.service {guests.text.strip()} enabled\n" if guests is not None and guests.text else ""
    if guests is not None and guests.status in {Status.OK, Status.FAILED}:
        yield "sos_commands/systemd/systemctl_list-unit-files", f"UNIT FILE STATE PRESET\n{unit}"
    rows = [line.split() for line in _text(readings, "/proc/self/mounts").split("\n") if line.count(" ") > 2]
    yield "sos_commands/filesys/mount_-l", "".join(f"{row[0]} on {row[1]} type {row[2]} ({row[3]})\n" for row in rows)


def _ps(processes: str, namespaces: str) -> str:
    head = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND\n"
    thread = "[kthreadd]" if "pid:[4026531836]" in namespaces else "/sbin/agent"
    rows = ["root 1 0.0 0.0 9 9 ? Ss 10:45 0:00 /sbin/init", f"root 2 0.0 0.0 0 0 ? S 10:45 0:00 {thread}"]
    commands: dict[str, list[str]] = {}
    for line in processes.split("\n"):
        pid, _, rest = line.partition(" ")
        key, _, value = rest.partition("=")
        words = {"program": [f"/usr/bin/{value}"], "enable-kvm": ["-enable-kvm"]}.get(key, [f"-{key}", value])
        if rest:
            commands.setdefault(pid, []).extend(words)
    rows += [f"qemu {pid} 1.0 1.0 9 9 ? Sl 10:45 0:00 {' '.join(words)}" for pid, words in commands.items()]
    return head + "".join(f"{row}\n" for row in rows)


def _modules(readings: Mapping[str, Reading]) -> Iterator[tuple[str, str]]:
    for source, reading in readings.items():
        if source.startswith(("/sys/module/", "/sys/kernel/livepatch/")) and reading.is_ok:
            for name, equals, value in (line.partition("=") for line in reading.text.split("\n")):
                if equals:
                    yield f"{source[1:]}/{name}", f"{value}\n"
    for name in _text(readings, "/sys/module").split():
        yield f"sys/module/{name}/parameters/exists", "Y\n"
    release = _text(readings, "/proc/sys/kernel/osrelease").strip()
    lines: dict[str, str] = {}
    for source, reading in readings.items():
        module = source.removeprefix("modprobe --show-depends ")
        if module == source or not reading.is_ok or ShowDepends.parse(module, reading.text).is_built_in:
            continue
        paths = [
            word.rpartition("/")[2] for line in reading.text.split("\n") for word in line.split()[1:2] if ".ko" in word
        ]
        known = [each for each in ("irqbypass.ko", "kvm.ko", f"{module.replace('_', '-')}.ko") if each not in paths]
        own = f"{module.replace('_', '-')}.ko"
        others = [path for path in [*paths, *known] if path.replace("_", "-") != own]
        lines[own] = " ".join(f"kernel/{path}" for path in reversed(others))
        lines |= dict.fromkeys(others, "")
    if lines:
        yield (
            f"lib/modules/{release}/modules.dep",
            "".join(f"kernel/{path}: {needed}\n" for path, needed in lines.items()),
        )
    every = _of_loaded(_text(readings, "modinfo of every module"), readings)
    own_parameters = [
        f"filename:       /lib/modules/{release}/kernel/{module.replace('_', '-')}.ko\n"
        + "".join(f"parm:           {line}\n" for line in reading.text.split("\n") if line)
        for source, reading in readings.items()
        if (module := source.removeprefix("modinfo --parameters ")) != source
        and reading.is_ok
        and _is_loaded(module, readings)
    ]
    yield "sos_commands/kernel/modinfo_ALL_MODULES", "\n".join([every, *own_parameters])


def _is_loaded(module: str, readings: Mapping[str, Reading]) -> bool:
    return "initstate=" in _text(readings, f"/sys/module/{module}")


def _of_loaded(modinfo: str, readings: Mapping[str, Reading]) -> str:
    """Of modinfo the modules that are loaded: sos asks about no others."""
    kept, is_loaded = list[str](), False
    for line in modinfo.split("\n"):
        if line.startswith("filename:"):
            is_loaded = _is_loaded(line.rpartition("/")[2].partition(".")[0].replace("-", "_"), readings)
        if is_loaded:
            kept.append(line)
    return "\n".join(kept)


def _libvirt(readings: Mapping[str, Reading]) -> Iterator[tuple[str, str]]:
    listing = readings.get(f"{VIRSH} list --all --uuid")
    if listing is None:
        return
    if not listing.is_ok:
        yield "sos_commands/virsh/virsh_-r_list_--all", listing.text or "error: failed to connect"
        return
    rows, saves, folders = [" Id   Name   State", "---------------------"], [""], list[str]()
    for uuid in listing.text.split():
        info = _text(readings, f"{VIRSH} dominfo {uuid}")
        keys = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in info.split("\n"))}
        name = keys.get("Name", uuid)
        rows.append(f" -    {name}   {keys.get('State', 'unknown')}")
        yield f"sos_commands/virsh/virsh_-r_dominfo_{uuid}", f"{info}\nUUID: {uuid}\n"
        if keys.get("Persistent") == "yes":
            yield f"etc/libvirt/qemu/{uuid}.xml", _text(readings, f"{VIRSH} dumpxml --inactive {uuid}")
        live = _text(readings, f"{VIRSH} dumpxml {uuid}")
        if is_live(live):
            yield f"run/libvirt/qemu/{uuid}.xml", f"<domstatus state='running' pid='7'>{live}</domstatus>"
        if keys.get("Managed save") == "yes":
            saves.append(f"-rw------- 1 root root 9 Nov 28 21:00 {name}.save")
        snapshots = _text(readings, f"{VIRSH} snapshot-list --active --name {uuid}").split("\n")
        lines = "".join(f"-rw------- 1 root root 9 Nov 28 21:00 {each}.xml\n" for each in snapshots if each)
        if lines:
            folders.append(f"/var/lib/libvirt/qemu/snapshot/{name}:\n{lines}")
    yield "sos_commands/virsh/virsh_-r_list_--all", "\n".join(rows) + "\n"
    yield "sos_commands/virsh/virsh_-r_capabilities", _text(readings, f"{VIRSH} capabilities")
    yield (
        "sos_commands/libvirt/ls_-lR_.var.lib.libvirt.qemu",
        "\n".join(["/var/lib/libvirt/qemu:", "", "/var/lib/libvirt/qemu/save:", *saves[1:], "", *folders]),
    )


def is_live(xml: str) -> bool:
    """Whether it is the XML of a running domain."""
    try:
        return parse_domain_xml(xml).get("id") is not None
    except NotObserved:
        return False


def tar_of(files: Files) -> bytes:
    """A tar of the files, the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.mtime, member.mode = int(MADE.timestamp()), 0o600
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
                tar.addfile(member)
                continue
            data = content if isinstance(content, bytes) else content.encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def xz_of(files: Files) -> bytes:
    """The same, compressed as sos does."""
    return lzma.compress(tar_of(files), preset=6)


def unpack(files: Files, folder: Path) -> Path:
    """Write the files as a folder."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            place.symlink_to(content)
        else:
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / next(iter(files)).partition("/")[0]
