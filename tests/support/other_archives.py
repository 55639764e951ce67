"""A recorded machine as supportconfig, the Insights client and a must-gather would have packed it.

Constructed from what supportutils, insights-core's default specs and kubevirt/must-gather's scripts collect; the
contents are the recorded machine's own readings.
"""

from collections.abc import Mapping
from pathlib import Path

from nested_kvm.evidence.reading import Reading
from tests.support.sosreports import MADE, VIRSH, is_live, sos_files

_COMMANDS = {
    "sos_commands/kernel/uname_-a": "uname_-a",
    "sos_commands/host/hostname": "hostname_-f",
    "sos_commands/date/date_--utc": "date_--utc",
    "sos_commands/kernel/dmesg": "dmesg",
    "sos_commands/block/ls_-lanR_.dev": "ls_-lanR_.dev",
    "sos_commands/process/ps_auxwww": "ps_auxww",
    "sos_commands/filesys/mount_-l": "mount",
    "sos_commands/virsh/virsh_-r_list_--all": "virsh_--readonly_list_--all",
    "sos_commands/systemd/systemctl_list-unit-files": "systemctl_list-unit-files",
}
_COPIED = (
    "etc/modprobe.d/", "proc/cmdline", "proc/cpuinfo", "etc/os-release", "boot/grub2/grub.cfg", "etc/libvirt/qemu.conf",
    "sys/devices/system/cpu/vulnerabilities/", "etc/libvirt/qemu/",
)  # fmt: skip


def insights_files(name: str, readings: Mapping[str, Reading]) -> dict[str, bytes | str | Path]:
    """The files of an archive of the Insights client, of a machine that answered like this."""
    files: dict[str, bytes | str | Path] = {}
    top = f"insights-{name}-20261128211507"
    for path, content in sos_files(name, readings).items():
        inside = path.partition("/")[2]
        if inside in _COMMANDS:
            files[f"{top}/data/insights_commands/{_COMMANDS[inside]}"] = content
        elif inside.startswith(_COPIED):
            files[f"{top}/data/{inside}"] = content
    modules = readings.get("/sys/module")
    rows = ["Module                  Size  Used by"]
    for module in modules.text.split() if modules is not None and modules.is_ok else ():
        state = readings.get(f"/sys/module/{module}")
        values = dict(line.partition("=")[::2] for line in state.text.split("\n")) if state is not None else {}
        if "initstate" in values or not module.startswith("kvm"):
            count = "-1" if values.get("initstate") == "going" else values.get("refcnt", "0")
            rows.append(f"{module} 99999 {count}")
    files[f"{top}/data/insights_commands/lsmod"] = "\n".join(rows) + "\n"
    names = {"sys_vendor": "Manufacturer", "product_name": "Product Name", "product_uuid": "UUID"}
    shown = {key: readings.get(f"/sys/class/dmi/id/{key}") for key in names}
    lines = [f"\t{names[key]}: {each.text.strip()}" for key, each in shown.items() if each is not None and each.is_ok]
    files[f"{top}/data/insights_commands/dmidecode"] = "\n".join(["System Information", *lines, ""])
    return files


def must_gather_files(name: str, readings: Mapping[str, Reading]) -> dict[str, bytes | str | Path]:
    """The files of a must-gather of a cluster with this machine as its only node."""
    top = "must-gather.local.1/quay-io-kubevirt-must-gather-sha256-0123"
    texts = {source: each.text.strip() for source, each in readings.items() if each.is_ok}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(texts.get("uname -m", ""), texts.get("uname -m", ""))
    release = texts.get("/proc/sys/kernel/osrelease", "")
    files: dict[str, bytes | str | Path] = {
        "must-gather.local.1/timestamp": MADE.strftime("%Y-%m-%d %H:%M:%S.123456 +0000 UTC m=+0.1\n"),
        f"{top}/cluster-scoped-resources/core/nodes/{name}.yaml": (
            f"kind: Node\nmetadata: {{name: {name}}}\n"
            f"status: {{nodeInfo: {{architecture: {machine}, kernelVersion: {release}}}}}\n"
        ),
        f"{top}/nodes/{name}/proc_cmdline": texts.get("/proc/cmdline", "") + "\r\n",
    }
    if "dmesg" in texts:
        files[f"{top}/nodes/{name}/dmesg"] = texts["dmesg"] + "\n"
    for uuid in texts.get(f"{VIRSH} list --all --uuid", "").split():
        xml = texts.get(f"{VIRSH} dumpxml {uuid}", "")
        if is_live(xml):
            files[f"{top}/namespaces/prod/vms/{uuid}/virt-launcher-1.dumpxml.xml"] = xml
            files[f"{top}/namespaces/prod/kubevirt.io/virtualmachineinstances/{uuid}.yaml"] = (
                f"kind: VirtualMachineInstance\nstatus: {{nodeName: {name}}}\n"
            )
    return files


def supportconfig_files(name: str, readings: Mapping[str, Reading]) -> dict[str, bytes | str | Path]:
    """The files of a supportconfig of a machine that answered like this."""
    texts = {source: each.text for source, each in readings.items() if each.is_ok}
    sos = {path.partition("/")[2]: str(content) for path, content in sos_files(name, readings).items()}
    top = f"scc_{name}_261128_2115"
    ps = [line.split(None, 10) for line in sos["sos_commands/process/ps_auxwww"].split("\n")[1:] if line]
    rows = [f"{row[0]} {row[1]} 1 0.0 0.0 {row[4]} {row[5]} {row[7]} {row[9]} {row[10]}" for row in ps]
    bugs = "".join(
        f"{path}:{text.strip()}\n" for path, text in texts.items() if path.startswith("/sys/devices/system/cpu/vuln")
    )
    insights = insights_files(name, readings)
    lsmod = str(insights[f"insights-{name}-20261128211507/data/insights_commands/lsmod"])
    parameters = "".join(
        f"{source}/{name}={value}\n"
        for source, text in texts.items()
        if source.startswith("/sys/module/") and source.endswith("/parameters")
        for name, equals, value in (line.partition("=") for line in text.split("\n"))
        if equals
    )
    modinfo = {
        module: f"filename:       /lib/modules/1/kernel/{module}.ko\n"
        + "".join(f"parm:           {line}\n" for line in text.split("\n") if line)
        for source, text in texts.items()
        if (module := source.removeprefix("modinfo --parameters ")) != source
    }
    dmidecode = str(insights[f"insights-{name}-20261128211507/data/insights_commands/dmidecode"])
    date = sos["sos_commands/date/date_--utc"]
    return {
        f"{top}/basic-environment.txt": _command("/usr/bin/date", date)
        + _command("/usr/bin/uname -a", sos["sos_commands/kernel/uname_-a"])
        + _file("/etc/os-release", texts),
        f"{top}/basic-health-check.txt": _command("/usr/bin/grep -H . /sys/devices/system/cpu/vulnerabilities/*", bugs)
        + _command(
            "/usr/bin/ps axwwo user,pid,ppid,%cpu,%mem,vsz,rss,stat,time,cmd",
            "\n".join(["USER PID PPID %CPU %MEM VSZ RSS STAT TIME CMD", *rows, ""]),
        ),
        f"{top}/modules.txt": _command("/sbin/lsmod | sort", lsmod)
        + "".join(_command(f"/sbin/modinfo {module}", text) for module, text in modinfo.items())
        + _command("/sbin/modinfo zlib", f"# Known Module Parameter Values\n{parameters}"),
        f"{top}/hardware.txt": _file("/proc/cpuinfo", texts)
        + _file("/proc/cmdline", texts)
        + _command("/usr/sbin/dmidecode", dmidecode),
        f"{top}/boot.txt": _command("/usr/bin/dmesg -T", texts["dmesg"]) if "dmesg" in texts else "",
        f"{top}/fs-diskio.txt": _file("/proc/mounts", {"/proc/mounts": texts.get("/proc/self/mounts", "")}),
    }


def _command(command: str, output: str) -> str:
    return f"#==[ Command ]======================================#\n# {command}\n{output}\n\n"


def _file(path: str, texts: Mapping[str, str]) -> str:
    """A configuration file, without its comments and empty lines."""
    head = "#==[ Configuration File ]===========================#\n"
    if path not in texts:
        return f"{head}# {path} - File not found\n\n"
    kept = [line for line in texts[path].split("\n") if line.strip() and not line.lstrip().startswith(("#", ";"))]
    return f"{head}# {path}\n" + "".join(f"{line}\n" for line in kept) + "\n\n"
