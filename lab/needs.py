"""What this machine must have before the lab starts; each error names the fix in one line."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.config import ADDRESS
from lab.errors import NeedsError

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "modprobe": "kmod",
    "modinfo": "kmod",
    "depmod": "kmod",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
BOCHS_PACKAGES = {"bochs-bin": "bochs", "genisoimage": "genisoimage"}
BOCHS_FILES = {
    "/usr/share/bochs/BIOS-bochs-latest": "bochsbios",
    "/usr/share/bochs/VGABIOS-lgpl-latest": "vgabios",
    "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so": "bochs-term",
    "/usr/lib/ISOLINUX/isolinux.bin": "isolinux",
    "/usr/lib/syslinux/modules/bios/ldlinux.c32": "syslinux-common",
}
# An ordinary account's PATH lacks the directories of mke2fs and modprobe.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
GIB = 1024**3


def program(name: str) -> str:
    """Return the full path of a program."""
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise NeedsError(missing([(PACKAGES | BOCHS_PACKAGES)[name]]))
    return found


def require_programs(vendor: str) -> None:
    """Check for every package at once, so that one error names all that are missing."""
    absent = absent_packages(vendor)
    if absent:
        raise NeedsError(missing(absent))


def absent_packages(vendor: str) -> list[str]:
    """The packages whose programs are not installed."""
    programs = PACKAGES | (BOCHS_PACKAGES if vendor == "intel" else {})
    absent = {package for name, package in programs.items() if shutil.which(name, path=SEARCH) is None}
    files = BOCHS_FILES if vendor == "intel" else {}
    return sorted(absent | {package for path, package in files.items() if not Path(path).exists()})


def missing(packages: Iterable[str]) -> str:
    """Return the message for missing packages, with the command that installs them."""
    names = " ".join(packages)
    return f"missing packages: {names}; as root: apt-get install --no-install-recommends -y {names}"


def require_root() -> None:
    """Require root, which setting the owners of an image's files takes."""
    if os.geteuid() != 0:
        raise NeedsError("building the image needs root; run `sudo make lab-up` once: afterwards no root is needed")


def require_room(directory: Path, gib: float) -> None:
    """Require free disk space, before a build fills the disk."""
    free = shutil.disk_usage(directory).free / GIB
    if free < gib:
        raise NeedsError(f"the lab needs {gib:.1f} GiB free in {directory}, there are {free:.1f}")


def require_port(port: int) -> None:
    """Require a free port: QEMU's own message does not say what to do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise NeedsError(f"port {port} of {ADDRESS} is taken; choose another with LAB_PORT=…") from error


def install(vendor: str) -> None:
    """Install the missing packages, or report the command that does."""
    absent = absent_packages(vendor)
    if not absent:
        print("everything the lab needs is installed")
        return
    if os.geteuid() != 0:
        raise NeedsError(missing(absent))
    subprocess.run(["apt-get", "update", "-q"], check=True)
    subprocess.run(["apt-get", "install", "--no-install-recommends", "-y", "-q", *absent], check=True)
