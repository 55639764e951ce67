"""The AMD host's QEMU: its TCG emulates SVM with nested paging."""

import subprocess

from lab.config import ADDRESS, HOST, LabConfig
from lab.emulator_package import EmulatorPackage
from lab.heartbeat import BEATS
from lab.software import Software, command_line

MEMORY_MIB = 4096
MONITOR = "monitor.sock"
DISK = "host.qcow2"


def software(config: LabConfig) -> Software:
    """Return the QEMU of one lab."""
    mark = f"{HOST}-{config.suite.name},debug-threads=on"
    package = EmulatorPackage.of(config)
    command = [*package.program("qemu-system-x86_64"), *package.firmware, "-name", mark, *_arguments(config)]
    return Software(command, mark, _prepare, package.environment)


def _prepare(config: LabConfig) -> None:
    """Create a fresh disk over the read-only image."""
    command = [*EmulatorPackage.of(config).program("qemu-img"), "create", "-q", "-f", "qcow2", "-F", "raw"]
    command += ["-b", str(config.image / "base.raw"), str(config.run / DISK)]
    subprocess.run(command, check=True)


def _arguments(config: LabConfig) -> list[str]:
    machine = "-nodefaults -no-user-config -machine q35 -accel tcg,thread=multi,tb-size=1024 -cpu EPYC,+svm,+npt"
    image = config.image
    return [
        *machine.split(),
        *f"-smp 1 -m {MEMORY_MIB} -display none -no-reboot -serial file:console.log".split(),
        *("-serial", f"file:{BEATS}"),
        *("-qmp", f"unix:{MONITOR},server=on,wait=off"),
        *("-kernel", str(image / f"vmlinuz-{config.kernel}"), "-initrd", str(image / f"initrd-{config.kernel}")),
        *("-append", f"{command_line(config.suite)} {config.arguments}".rstrip()),
        *("-drive", f"file={DISK},if=none,id=root,format=qcow2,cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=root,addr=4"),
        *("-drive", f"file={image / 'base.raw'},if=none,id=base,format=raw,readonly=on"),
        *("-device", "virtio-blk-pci,drive=base,addr=5"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:{ADDRESS}:{config.port}-:22"),
        *("-device", "virtio-net-pci,netdev=net,addr=6,romfile="),
        *("-device", "virtio-rng-pci,addr=7"),
    ]
