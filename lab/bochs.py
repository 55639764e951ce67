"""The Intel host's Bochs: it emulates VMX, which QEMU does not, at a fraction of the speed."""

import subprocess
from pathlib import Path
from signal import SIGKILL

from lab import needs
from lab.config import ADDRESS, LabConfig, Suite
from lab.software import Software, command_line

DISC = "boot.iso"
CONFIGURATION = """
display_library: term
cpu: model=corei7_haswell_4770, count=1, ips=100000000, reset_on_triple_fault=0
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
        # It draws on a terminal that it does not have, and ignores SIGTERM once its guest runs.
        {"TERM": "vt100"},
        (SIGKILL,),
    )


def _prepare(config: LabConfig) -> None:
    run, image = config.run, config.image
    for name in ("root.raw", "base.raw"):
        # Bochs locks a disk by its name; both links lead to one image, and writes go to journals.
        (run / name).symlink_to(image / "base.raw")
    (run / "bochsrc").write_text(CONFIGURATION.format(image=image))
    (run / "slirp.conf").write_text(NETWORK.format(address=ADDRESS, port=config.port))
    # Debian's Bochs is built with its debugger, which waits for a command to continue.
    (run / "commands").write_text("c\n")


def make_disc(work: Path, suite: Suite) -> None:
    """Make a boot disc with kernel and initramfs: Bochs cannot boot a kernel directly."""
    disc = work / "disc"
    disc.mkdir()
    files = [work / "vmlinuz", work / "initrd", Path("/usr/lib/ISOLINUX/isolinux.bin")]
    for path in [*files, Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")]:
        (disc / path.name).write_bytes(path.read_bytes())
    (disc / "isolinux.cfg").write_text(MENU.format(command_line=command_line(suite)))
    command = [needs.program("genisoimage"), "-quiet", "-o", str(work / DISC), "-b", "isolinux.bin"]
    command += ["-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(disc)]
    subprocess.run(command, check=True)
