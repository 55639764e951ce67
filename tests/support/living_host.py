"""A real SSH host whose every file, parameter and process a test can change while it answers."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.machine import PROGRAMS, write_machine
from tests.support.sshd import Sshd

PLACES = (
    "/etc/modprobe.d",
    "/etc/default",
    "/etc/udev/rules.d",
    "/etc/modules-load.d",
    "/etc/kernel",
    "/etc/libvirt",
    "/etc/systemd/system",
    "/boot",
    "/run/libvirt",
    "/run/incus",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/lib/libvirt/qemu",
    "/var/cache/libvirt",
    "/usr/share/doc",
)
"""Folders of the host that are the test's own, and nothing else's."""
_PASSWD = "".join(
    line for line in Path("/etc/passwd").read_text().splitlines(keepends=True) if not line.startswith("libvirt-qemu:")
)
FILES = {
    "/boot_id": "792e8b6b-9335-4ce6-a871-ad90dfacf56a\n",
    "/etc/udev/rules.d/99-kvm.rules": 'KERNEL=="kvm", GROUP="kvm", MODE="0660"\n',
    "/etc/modules-load.d/kvm.conf": "kvm_amd\n",
    "/etc/libvirt/qemu.conf": 'user = "root"\n#group = "kvm"\n',
    "/etc/libvirt/qemu/ci-1.xml": "<domain/>\n",
    "/etc/kernel/cmdline": "quiet\n",
    "/etc/default/grub.d/kvm.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX iommu=pt"\n',
    "/boot/grub/grub.cfg": "linux /vmlinuz quiet\n",
    "/boot/loader/entries/1.conf": "options quiet\n",
    "/run/libvirt/qemu/ci-1.xml": "<domstatus/>\n",
    "/run/incus/one/qemu.conf": "# empty\n",
    "/var/lib/dpkg/status": "Package: linux-image-6\n",
    "/var/lib/libvirt/qemu/save/ci-1.save": "saved\n",
    "/var/lib/libvirt/qemu/snapshot/ci-1/one.xml": "<domainsnapshot/>\n",
    "/var/cache/libvirt/qemu/capabilities/one.xml": "<qemuCaps>\n<emulator>/boot/qemu</emulator>\n</qemuCaps>\n",
    "/boot/qemu": "an emulator\n",
    "/etc/passwd": f"{_PASSWD}plain:*:61000:61000::/:/bin/sh\n",
    "/etc/group": f"{Path('/etc/group').read_text()}plain:x:61000:\n",
}
_LS = """\
#!/bin/sh
case "$*" in
    "-l /proc/self/ns") echo "lrwxrwxrwx 1 0 0 0 Jan 1 00:00 pid -> pid:[4026531836]" ;;
    "-nlq "*)
        for path in /proc/[0-9]*; do
            echo "$path/fd:"
            if tr '\\0' ' ' <"$path/cmdline" | grep -q '^/run/qemu-system'; then
                echo 'lrwx------ 1 0 0 64 Jan 1 00:00 12 -> anon_inode:kvm-vm'
            fi
        done ;;
    *) exec /bin/ls "$@" ;;
esac
"""
"""Prints the first namespace of processes, as a login on a machine that is no container finds it, and the VMs that are
run by `run_guest`."""


@dataclass
class LivingHost:
    """The host, and the folder whose files it shows."""

    sshd: Sshd
    root: Path

    def path(self, name: str) -> Path:
        """Return where a file of the host lies."""
        return self.root / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def within(self, script: str) -> None:
        """Run a script in the host's namespaces; what it leaves running ends with the host."""
        inside = Path(f"/proc/{self.sshd.pid}/task/{self.sshd.pid}/children").read_text().split()[0]
        command = ["nsenter", "-t", inside, "-m", "-p", "sh", "-ec", script]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def run_guest(self, domain: str) -> None:
        """Run a process that seems to be the QEMU of a guest of this host, and holds its VM."""
        self.write("/sys/module/kvm_amd/refcnt", "1\n")
        self.path("/sys/kernel/debug/kvm").mkdir(parents=True, exist_ok=True)
        uuid = self.path("/sys/class/dmi/id/product_uuid").read_text().strip()
        options = f"-name guest={domain} -uuid {uuid} -cpu host -accel kvm -machine q35"
        self.within(
            "cp /bin/sh /run/qemu-system-x86_64; "
            f"/run/qemu-system-x86_64 -c 'sleep 600; :' {options} </dev/null >/dev/null 2>&1 &"
        )

    def become_guest(self) -> None:
        """Be a guest under KVM."""
        cpuinfo = self.path("/proc/cpuinfo")
        cpuinfo.write_text(cpuinfo.read_text().replace("fpu vme", "fpu hypervisor vme"))
        self.write("/sys/class/dmi/id/sys_vendor", "QEMU\n")


def start_host(start_sshd: Callable[..., Sshd], root: Path) -> LivingHost:
    """Start one: an AMD server that complies, with files of everything that an audit reads."""
    prelude = write_machine(root)
    for name, text in FILES.items():
        (root / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / name.lstrip("/")).write_text(text)
    for place in PLACES:
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    (root / "usr/share/doc" / f"linux-image-{os.uname().release}").mkdir(exist_ok=True)
    overlays = [f"mount -t overlay -o lowerdir={root}{place}:{place} none {place}" for place in ("/var", "/usr/share")]
    shown = [f"mkdir -p {place} 2>/dev/null; mount --bind {root}{place} {place}" for place in PLACES]
    single = {"/boot_id": "/proc/sys/kernel/random/boot_id", "/etc/passwd": "/etc/passwd", "/etc/group": "/etc/group"}
    files = [f"mount --bind {root}{source} {place}" for source, place in single.items()]
    sshd = start_sshd(prelude="\n".join([prelude, *overlays, *shown, *files]))
    for name, script in {**PROGRAMS, "ls": _LS}.items():
        sshd.add_program(name, script)
    return LivingHost(sshd, root)
