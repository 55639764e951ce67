"""A kernel asked what it makes of module options: booted with nothing but its KVM modules, in seconds.

Each text is given to the module as its parameters; what the module then shows, or that it does not load, is the answer.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab import bochs, cpio, mirrors, needs
from lab.emulator_package import EmulatorPackage
from lab.errors import HostLostError
from lab.progress import say
from lab.unpacked import unpack

NESTED = "nested"
OTHER = {"amd": "dump_invalid_vmcb", "intel": "dump_invalid_vmcs"}
"""One more parameter of each module: boolean, and off by default. kvm_intel's nested is boolean, too, kvm_amd's not."""
PACKAGES = ("linux-image-cloud-amd64", "busybox-static")
BOOT_LIMIT = 300
"""Seconds for one kernel and all it is asked, of QEMU; a load takes a tenth of one."""
ANSWER_LIMIT = 600
"""Seconds for the boot in Bochs, or from one answer to the next: usually 60, and 5."""
MEMORY_MIB = 256
CONSOLE = (5, 1)
ANSWERS = "answers"
DONE = "done"
COMMAND_LINE = "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module"; done
for text in /texts/*; do
    if /bin/busybox insmod /asked.ko "$(/bin/busybox cat "$text")" 2>/dev/null; then
        cd /sys/module/@module@/parameters
        echo "${text##*/} $(/bin/busybox cat @nested@) $(/bin/busybox cat @other@)"
        cd /
        /bin/busybox rmmod @module@
    else
        echo "${text##*/} refused refused"
    fi
done >/dev/ttyS1
echo done >/dev/ttyS1
/bin/busybox poweroff -f
"""


@dataclass(frozen=True)
class Loaded:
    """What the parameters of a loaded module show."""

    nested: str
    other: str


@dataclass(frozen=True)
class Kernel:
    """One kernel's unpacked package, and which vendor's module it is asked about."""

    root: Path
    release: str
    vendor: Literal["amd", "intel"]

    @property
    def module(self) -> str:
        """The vendor's KVM module."""
        return f"kvm-{self.vendor}"

    @property
    def parameters(self) -> str:
        """What `modinfo --parameters` prints of the module."""
        command = [needs.program("modinfo"), "-b", str(self.root), "-k", self.release, "--parameters", self.module]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def ask(self, emulator: EmulatorPackage, texts: Sequence[str]) -> list[Loaded | None]:
        """Return what the module shows after a load with each text; None: it did not load.

        Args:
            emulator: the QEMU that an AMD's kernel runs in; an Intel's runs in Bochs.
            texts: each a string of parameters, as in modprobe.d.

        Raises:
            HostLostError: the kernel ended before the last question, or took too long.
        """
        with tempfile.TemporaryDirectory() as place:
            work = Path(place)
            (work / "initrd").write_bytes(cpio.archive(self._entries(texts)))
            if self.vendor == "amd":
                self._boot_in_qemu(work, emulator)
            else:
                self._boot_in_bochs(work)
            lines = (work / ANSWERS).read_text(errors="replace").splitlines()
        answers = [line.split()[1:] for line in lines if line != DONE]
        if len(answers) != len(texts):
            raise HostLostError(f"Linux {self.release} answered {len(answers)} of {len(texts)} questions")
        return [None if shown[0] == "refused" else Loaded(*shown) for shown in answers]

    def _boot_in_qemu(self, work: Path, emulator: EmulatorPackage) -> None:
        command = [*emulator.program("qemu-system-x86_64"), *emulator.firmware, *self._arguments(work)]
        environment = {**os.environ, **emulator.environment}
        try:
            subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, timeout=BOOT_LIMIT)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            raise HostLostError(f"Linux {self.release} did not answer: {error}") from error

    def _boot_in_bochs(self, work: Path) -> None:
        """Boot, and end it once all is answered: it does not end when its machine is switched off."""
        answers = work / ANSWERS
        answers.touch()
        machine = bochs.start_small(work, self._kernel, work / "initrd", COMMAND_LINE)
        try:
            while DONE not in answers.read_text(errors="replace").splitlines():
                if machine.poll() is not None or time.time() - answers.stat().st_mtime > ANSWER_LIMIT:
                    raise HostLostError(f"Linux {self.release} did not answer in Bochs within {ANSWER_LIMIT} s")
                time.sleep(1)
        finally:
            machine.kill()
            machine.wait()

    @property
    def _kernel(self) -> Path:
        return next(self.root.rglob("vmlinuz*"))

    def _arguments(self, work: Path) -> list[str]:
        return [
            *("-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg", "-cpu", "EPYC,+svm,+npt"),
            *("-display", "none", "-no-reboot", "-m", str(MEMORY_MIB)),
            *("-serial", "file:console", "-serial", f"file:{ANSWERS}"),
            *("-kernel", str(self._kernel), "-initrd", str(work / "initrd")),
            *("-append", COMMAND_LINE),
        ]

    def _entries(self, texts: Sequence[str]) -> Iterator[bytes]:
        for directory in ("bin", "dev", "modules", "texts"):
            yield cpio.entry(directory, cpio.DIRECTORY)
        yield cpio.entry("dev/console", cpio.DEVICE, device=CONSOLE)
        yield cpio.entry("bin/busybox", cpio.FILE, next(self.root.glob("**/bin/busybox")).read_bytes())
        yield cpio.entry("init", cpio.FILE, self._init.encode())
        *first, asked = self._modules()
        for number, module in enumerate(first):
            yield cpio.entry(f"modules/{number:02}.ko", cpio.FILE, cpio.unpacked(module))
        yield cpio.entry("asked.ko", cpio.FILE, cpio.unpacked(asked))
        for number, text in enumerate(texts):
            yield cpio.entry(f"texts/{number:05}", cpio.FILE, text.encode())

    @property
    def _init(self) -> str:
        named = {"@module@": self.module.replace("-", "_"), "@nested@": NESTED, "@other@": OTHER[self.vendor]}
        text = INIT
        for mark, name in named.items():
            text = text.replace(mark, name)
        return text

    def _modules(self) -> list[Path]:
        """The module and before it what it needs, in the order of loading."""
        command = [needs.program("modprobe"), "-d", str(self.root), "-S", self.release, "-C", "/dev/null"]
        listing = subprocess.run([*command, "--show-depends", self.module], check=True, capture_output=True, text=True)
        return [Path(line.split()[1]) for line in listing.stdout.splitlines() if line.startswith("insmod ")]


def unpacked_kernel(release: str, directory: Path, vendor: Literal["amd", "intel"]) -> Kernel:
    """Unpack the newest kernel of a release of Debian; no root is needed, and nothing of it is configured.

    Raises:
        BuildError: it cannot be had.
    """
    root = directory / f"kernel-{release}"
    if not root.exists():
        say(f"unpacking the kernel of Debian {release}")
        # The security updates of a release that is no longer supported leave the mirrors before their index does.
        sources = mirrors.sources(release, with_security=False)
        unpack(release, PACKAGES, root, sources=sources, finish=_configure)
    return Kernel(root, next((root / "lib/modules").iterdir()).name, vendor)


def _configure(root: Path) -> None:
    """Make what configuring the packages would make: the merged directory, and the modules' dependencies."""
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    (kernel,) = (each.name for each in (root / "lib/modules").iterdir())
    subprocess.run([needs.program("depmod"), "-b", str(root), kernel], check=True)
