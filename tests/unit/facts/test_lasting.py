"""Whether a file in /etc is there after the next boot, by what is mounted there."""

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.lasting import lasting_settings_of
from nested_kvm.facts.modprobe.load_outcome import Authority, LoadOutcome, NextLoad
from nested_kvm.model.verdict import Evidence
from tests.support.bundles import bundle_of, ok

SQUASH = "lowerdir=/run/live/rootfs/filesystem.squashfs/"
ROOT = f"overlay / overlay rw,noatime,{SQUASH}"
OVERLAYROOT = "overlayroot / overlay rw,relatime,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay 0 0"
CASPER = "/cow / overlay rw,relatime,lowerdir=/filesystem.squashfs,upperdir=/cow/upper,workdir=/cow/work 0 0"
DRACUT = "LiveOS_rootfs / overlay rw,lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/ovlwork 0 0"
MEMORY = "tmpfs / tmpfs rw,mode=755 0 0"


def next_load(file: str) -> NextLoad:
    line = Evidence(f"/etc/modprobe.d/{file}:1", "options kvm_intel nested=1")
    return NextLoad("kvm_intel", LoadOutcome.ON, Authority.FILE, origin=(line,))


@pytest.mark.parametrize(
    ("mounts", "cmdline", "system", "answer"),
    [
        ("/dev/vda1 / ext4 rw 0 0", "quiet", "debian", "kept"),
        (f"{ROOT},upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/work 0 0", "boot=live", "debian", "lost"),
        (f"{ROOT},upperdir=//run/live/overlay//rw,workdir=//run/live/overlay//work 0 0", "boot=live", "", "lost"),
        (f"{ROOT},upperdir=/run/live/persistence/sda2/rw 0 0", "boot=live persistence", "debian", "kept"),
        (f"{ROOT},upperdir=//run/live/persistence/sda2/boot/1.5/rw 0 0", "boot=live persistence", "vyos", "kept"),
        ("overlay /etc overlay rw,lowerdir=/a,upperdir=/run/live/persistence/zd0/etc/rw 0 0", "", "debian", "kept"),
        (OVERLAYROOT, "quiet overlayroot=tmpfs", "ubuntu", "lost"),
        (OVERLAYROOT, "overlayroot=tmpfs:recurse=0", "ubuntu", "lost"),
        (OVERLAYROOT, "quiet", "ubuntu", "unknown"),
        (OVERLAYROOT, "overlayroot=device:dev=/dev/sdb", "ubuntu", "unknown"),
        (CASPER, "boot=casper quiet", "ubuntu", "lost"),
        (CASPER, "boot=casper persistent quiet", "ubuntu", "unknown"),
        (DRACUT, "root=live:CDLABEL=Fedora rd.live.image", "fedora", "lost"),
        (DRACUT, "rd.live.image rd.live.overlay=LABEL=home", "fedora", "unknown"),
        ("overlay /etc overlay rw,upperdir=/run/ostree/transient-etc/upper 0 0", "", "fedora", "lost"),
        ("overlay /etc overlay rw,upperdir=/sysroot/var/lib/overlay/1/etc 0 0", "", "opensuse-microos", "kept"),
        ("overlayfs:/overlay / overlay rw,lowerdir=/,upperdir=/overlay/upper 0 0", "", "openwrt", "kept"),
        (MEMORY, "quiet", "slackware", "lost"),
        (MEMORY, "modloop=/boot/modloop-lts", "alpine", "unknown"),
        (MEMORY, "quiet", "nixos", "lost"),
        ("/dev/sda1 / ext4 rw 0 0", "", "bottlerocket", "lost"),
    ],
)
def test_where_etc_is_kept_decides(mounts: str, cmdline: str, system: str, answer: str) -> None:
    bundle = bundle_of(
        ok(sources.MOUNTS, mounts), ok(sources.CMDLINE, cmdline), ok(sources.OS_RELEASE, f"NAME=x\nID={system}\n")
    )
    found = lasting_settings_of(bundle, next_load("kvm.conf"), is_loaded=True)
    assert {"kept": ("", False), "lost": ("", True)}.get(answer, (found.unknown or "-", False)) == (
        found.unknown,
        bool(found.lost),
    )


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/run/k3os/kvm.conf", "lost"),
        ("/var/run/kvm.conf", "lost"),
        ("../../run/kvm.conf", "lost"),
        ("/dev/shm/kvm.conf", "lost"),  # noqa: S108 - nothing is written there
        ("/tmp/kvm.conf", "unknown"),  # noqa: S108 - nothing is written there
        ("/etc/static/modprobe.d/kvm.conf", "kept"),
        ("kvm.conf.real", "kept"),
        ("/usr/share/running/kvm.conf", "kept"),
    ],
)
def test_a_link_lasts_as_long_as_what_it_leads_to(target: str, answer: str) -> None:
    bundle = bundle_of(
        ok(sources.MOUNTS, "/dev/vda1 / ext4 rw 0 0"),
        ok(sources.CMDLINE, ""),
        Reading("/etc/modprobe.d/kvm.conf", Status.OK, "options kvm_intel nested=1", link=target),
    )
    found = lasting_settings_of(bundle, next_load("kvm.conf"), is_loaded=True)
    assert (bool(found.lost), bool(found.unknown)) == (answer == "lost", answer == "unknown")


def test_unraid_makes_files_of_etc_again_from_its_flash() -> None:
    seen = [ok(sources.MOUNTS, "rootfs / rootfs rw 0 0"), ok(sources.CMDLINE, ""), ok(sources.OS_RELEASE, "ID=x\n")]
    of_unraid = bundle_of(*seen, ok(sources.KERNEL_RELEASE, "6.12.24-Unraid\n"))
    found = lasting_settings_of(of_unraid, next_load("kvm.conf"), is_loaded=True)
    assert (found.lost, bool(found.unknown)) == ((), True)
    of_another = bundle_of(*seen, ok(sources.KERNEL_RELEASE, "6.12.24\n"))
    assert lasting_settings_of(of_another, next_load("kvm.conf"), is_loaded=True).lost


def test_what_nixos_declares_is_made_again_at_each_boot() -> None:
    bundle = bundle_of(ok(sources.MOUNTS, MEMORY), ok(sources.CMDLINE, ""), ok(sources.OS_RELEASE, "ID=nixos\n"))
    assert lasting_settings_of(bundle, next_load("nixos.conf"), is_loaded=True).lost == ()
    assert lasting_settings_of(bundle, next_load("kvm.conf"), is_loaded=True).lost


@pytest.mark.parametrize(
    ("folder", "is_lost"),
    [("/run/modprobe", True), ("../run/modprobe", True), ("../srv/modprobe", False), (None, False)],
)
def test_a_folder_that_is_a_link_lasts_as_long_as_what_it_leads_to(folder: str | None, *, is_lost: bool) -> None:
    bundle = bundle_of(
        ok(sources.MOUNTS, "/dev/vda1 / ext4 rw 0 0"),
        ok(sources.CMDLINE, "quiet"),
        ok(sources.OS_RELEASE, "ID=debian"),
        Reading("/etc/modprobe.d", Status.OK, "kvm.conf", link=folder),
    )
    assert bool(lasting_settings_of(bundle, next_load("kvm.conf"), is_loaded=True).lost) is is_lost
