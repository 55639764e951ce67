"""The image that the host and every guest boot from: built once, and again when its inputs change."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab import bochs, initramfs, keys, mirrors, needs
from lab.config import HOST, SOURCE, LabConfig, Suite
from lab.errors import BuildError
from lab.guests import GUESTS
from lab.progress import say

PACKAGES = (
    "systemd-sysv",
    "udev",
    "dbus",
    "iproute2",
    "kmod",
    "procps",
    "openssh-server",
    "busybox-static",
    "qemu-system-x86",
    "qemu-utils",
    "libvirt-daemon-system",
    "libvirt-clients",
    "virtinst",
    "qemu-guest-agent",
    "sosreport",
)
LEFT_OUT = (
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/sound/*",
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/qemu/*.fd",
)
CHANGELOGS = "/usr/share/doc/linux-image-*"
# The cloud kernel is smaller and faster to boot, and lacks the drivers of the machine that Bochs emulates.
KERNELS = {"amd": "linux-image-cloud-amd64", "intel": "linux-image-amd64"}
# A host whose kernel lacks the fixes of the newest: the release's archive keeps some for a while.
ADD_OLDEST_KERNEL = r"""
all=$(chroot "$1" apt-cache pkgnames linux-image- | grep -E '^linux-image-([0-9]+[.]){2}[^ ]*-cloud-amd64$' | sort -V)
oldest=$(echo "$all" | head -1)
chroot "$1" apt-get install --no-install-recommends -y -q "$oldest"
"""
# Not needed by a lab that runs for minutes; without these the host boots in half the time.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "logrotate.timer",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "systemd-hwdb-update.service",
    "systemd-pstore.service",
    "systemd-timesyncd.service",
    "systemd-networkd-wait-online.service",
    "systemd-update-utmp.service",
    "systemd-random-seed.service",
    "systemd-binfmt.service",
    "tmp.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
)
# mmdebstrap mounts /proc and more; in its own namespaces nothing outlives it, however it ends.
ISOLATED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
ENABLED = ("lab-network.service", "ssh.service")
DISK_GIB = 4
ROOM_GIB = 2.5


def ready(config: LabConfig) -> bool:
    """Whether there is an image and it was built from the present inputs."""
    stamp = config.image / "stamp"
    return stamp.exists() and stamp.read_text() == _stamp(config.suite)


def build(config: LabConfig) -> None:
    """Build under a temporary name and rename at the end, so that a partial image is never used."""
    needs.require_root()
    config.directory.mkdir(parents=True, exist_ok=True)
    needs.require_room(config.directory, ROOM_GIB)
    work = config.directory / "image.tmp"
    if work.exists():
        say("found a partly built image: building it again")
    for stale in (work, config.image):
        shutil.rmtree(stale, ignore_errors=True)
    work.mkdir()
    _fill(config.suite, work)
    work.rename(config.image)
    _give_to_caller(config)


def _give_to_caller(config: LabConfig) -> None:
    """Under sudo, give the files to the calling user: only the build needs root."""
    if "SUDO_UID" in os.environ:
        owner = f"{os.environ['SUDO_UID']}:{os.environ['SUDO_GID']}"
        subprocess.run(["chown", "-R", owner, str(config.directory.parent)], check=True)


def _fill(suite: Suite, work: Path) -> None:
    root = work / "root"
    _bootstrap(suite, root, work / "build.log")
    keys.make_all(work)
    _customize(suite, root, work)
    kernels = sorted((each.name for each in (root / "lib/modules").iterdir()), key=_numbers)
    for age, kernel in (("oldest", kernels[0]), ("newest", kernels[-1])):
        shutil.copy(root / f"boot/vmlinuz-{kernel}", work / f"vmlinuz-{age}")
        (work / f"initrd-{age}").write_bytes(initramfs.build(root, kernel, suite.vendor))
    for name in ("vmlinuz", "initrd"):
        shutil.copy(work / f"{name}-newest", root / f"boot/lab-{name}")
    if suite.vendor == "intel":
        bochs.make_disc(work, suite)
    _disk(root, work / "base.raw")
    shutil.rmtree(root)
    (work / "stamp").write_text(_stamp(suite))


def _numbers(kernel: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", kernel)]


def _bootstrap(suite: Suite, root: Path, log: Path) -> None:
    command = [
        *ISOLATED,
        needs.program("mmdebstrap"),
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
    ]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command += [f"--dpkgopt=path-include={CHANGELOGS}"]
    if suite.vendor == "amd":
        command += [f"--customize-hook={ADD_OLDEST_KERNEL}"]
    command += ['--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"']
    packages = ",".join([*PACKAGES, *suite.packages, KERNELS[suite.vendor]])
    command += [f"--include={packages}", suite.release, str(root), "-"]
    # The lab builds its own initramfs: Debian's takes half a minute to build and seconds to boot.
    environment = {**os.environ, "INITRD": "No", "LC_ALL": "C"}
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            input=mirrors.sources(suite.release).encode(),
            stdout=output,
            stderr=output,
            env=environment,
            check=False,
        )
    if done.returncode:
        raise BuildError(f"mmdebstrap failed: {_last_line(log)} (full log: {log})")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("E:")]
    return lines[-1] if lines else "no reason given"


def _customize(suite: Suite, root: Path, work: Path) -> None:
    shutil.copytree(SOURCE / "rootfs", root, symlinks=True, dirs_exist_ok=True)
    for name in ("resolv.conf", "hostname"):
        (root / "etc" / name).unlink(missing_ok=True)
    (root / "etc/hostname").write_text(f"{HOST}\n")
    # libvirt writes its networks' leases there even without dnsmasq, and only dnsmasq's package creates it.
    (root / "var/lib/libvirt/dnsmasq").mkdir(exist_ok=True)
    (root / "etc/modprobe.d/kvm-nested.conf").write_text(f"options {suite.module} nested=1\n")
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    command = ["chroot", str(root), "systemctl", "-q", "enable", *ENABLED]
    subprocess.run(command, check=True, capture_output=True)
    _install_keys(root, work)


def _install_keys(root: Path, work: Path) -> None:
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    host_keys = work / keys.HOST_KEYS
    shutil.copy(host_keys / HOST, root / "etc/ssh/ssh_host_ed25519_key")
    shutil.copy(host_keys / f"{HOST}.pub", root / "etc/ssh/ssh_host_ed25519_key.pub")
    shutil.copytree(host_keys, root / "etc/ssh/lab")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(work / f"{keys.CLIENT}.pub", root / "root/.ssh/authorized_keys")


def _disk(root: Path, disk: Path) -> None:
    """Make a file system from a directory, without loop device or mount."""
    command = [
        needs.program("mke2fs"),
        "-q",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-d",
        str(root),
        str(disk),
        f"{DISK_GIB}G",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"mke2fs failed: {done.stderr.strip()}")


def _stamp(suite: Suite) -> str:
    """Return a digest of everything that the image is built from."""
    digest = hashlib.sha256(" ".join([suite.release, suite.vendor, *suite.packages]).encode())
    files = [
        SOURCE / "image.py",
        SOURCE / "initramfs.py",
        SOURCE / "initrd-init",
        SOURCE / "initrd-heartbeat",
        *sorted((SOURCE / "rootfs").rglob("*")),
    ]
    if suite.vendor == "intel":
        files.append(SOURCE / "bochs.py")
    for path in files:
        if path.is_file():
            digest.update(str(path.relative_to(SOURCE)).encode() + path.read_bytes())
    digest.update(" ".join(guest.name for guest in GUESTS).encode())
    return digest.hexdigest()
