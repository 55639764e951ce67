"""The Intel host's Bochs: it emulates VMX, which QEMU does not, at a fraction of the speed."""

import os
import shutil
import subprocess
from pathlib import Path
from signal import SIGKILL

from lab import needs
from lab.config import ADDRESS, LabConfig, Suite
from lab.software import Software, command_line

DISC = "boot.iso"
TERMINAL = {"TERM": "vt100"}
"""It draws on a terminal that it does not have."""
CONFIGURATION = """
display_library: term
cpu: model={cpu}, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest=1536, host=1536
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx, slot1=e1000
e1000: mac=52:54:00:12:34:56, ethmod=slirp, script=slirp.conf
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata0-master: type=disk, mode=volatile, path=root.raw, journal=root.journal
ata0-slave: type=disk, mode=volatile, path=base.raw, journal=base.journal
ata1-master: type=cdrom, path={image}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=console.log
clock: sync=slowdown, time0=utc
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
CPU = "corei7_haswell_4770"
SMALL_CONFIGURATION = f"""
display_library: term
cpu: model={CPU}, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest=512, host=512
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={DISC}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=console
com2: enabled=1, mode=file, dev=answers
clock: sync=slowdown, time0=utc
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
"""Of a machine that needs no disk: what it is asked is in its initramfs, what it answers goes to its second port."""
NETWORK = """# slirp config
net = 10.0.2.0
mask = 255.255.255.0
host = 10.0.2.2
restricted = 1
hostfwd = tcp:{address}:{port}-:22
"""
MENU = """DEFAULT lab
LABEL lab
 KERNEL vmlinuz
 INITRD initrd
 APPEND {command_line}
"""


def software(config: LabConfig) -> Software:
    """Return the Bochs of one lab."""
    configuration = str(config.run / "bochsrc")
    return Software(
        # Not the wrapper script, which would be waited for and signalled instead.
        [needs.program("bochs-bin"), "-q", "-f", configuration, "-rc", "commands"],
        configuration,
        _prepare,
        TERMINAL,
        # It ignores SIGTERM once its guest runs.
        (SIGKILL,),
    )


def _prepare(config: LabConfig) -> None:
    run, image = config.run, config.image
    for name in ("root.raw", "base.raw"):
        # Bochs locks a disk by its name; both links lead to one image, and writes go to journals.
        (run / name).symlink_to(image / "base.raw")
    (run / "bochsrc").write_text(CONFIGURATION.format(image=image, cpu=CPU))
    (run / "slirp.conf").write_text(NETWORK.format(address=ADDRESS, port=config.port))
    # Debian's Bochs is built with its debugger, which waits for a command to continue.
    (run / "commands").write_text("c\n")


def make_disc(work: Path, suite: Suite) -> None:
    """Make the boot disc of an image, with its newest kernel and initramfs."""
    _make_disc(work, work / "vmlinuz-newest", work / "initrd-newest", command_line(suite))


def start_small(work: Path, kernel: Path, initrd: Path, arguments: str) -> "subprocess.Popen[bytes]":
    """Start a machine without a disk in a folder that is its own: its second serial port writes to `answers` there."""
    _make_disc(work, kernel, initrd, arguments)
    (work / "bochsrc").write_text(SMALL_CONFIGURATION)
    (work / "commands").write_text("c\n")
    return subprocess.Popen(
        [needs.program("bochs-bin"), "-q", "-f", "bochsrc", "-rc", "commands"],
        cwd=work,
        env={**os.environ, **TERMINAL},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _make_disc(work: Path, kernel: Path, initrd: Path, arguments: str) -> None:
    """Make a disc from which a kernel boots: Bochs cannot boot one directly."""
    disc = work / "disc"
    disc.mkdir()
    # The disc's file system has short names only.
    shutil.copy(kernel, disc / "vmlinuz")
    shutil.copy(initrd, disc / "initrd")
    for path in ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"):
        shutil.copy(path, disc)
    (disc / "isolinux.cfg").write_text(MENU.format(command_line=arguments))
    command = [needs.program("genisoimage"), "-quiet", "-o", str(work / DISC), "-b", "isolinux.bin"]
    command += ["-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(disc)]
    subprocess.run(command, check=True)
