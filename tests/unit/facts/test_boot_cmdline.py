"""What the next boot's command line does to KVM, wherever a boot loader has it."""

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.boot_cmdline import NextCmdline, next_cmdline_of
from tests.support.bundles import bundle_of, ok

PLACES = (sources.GRUB, sources.GRUB_D, sources.GRUBENV, sources.BOOT_ENTRIES, sources.KERNEL_INSTALL)
ENTRY = f"{sources.BOOT_ENTRIES}/5.14.conf"
INFO = """\
filename: /lib/kvm-amd.ko
depends: kvm,ccp
parm: nested: (int)
filename: /lib/ccp.ko
parm: nqueues: (uint)
"""


def boot(
    *readings: Reading, cmdline: str = "quiet", depends: str = "insmod /lib/kvm-amd.ko ", is_arm64: bool = False
) -> NextCmdline:
    bundle = bundle_of(
        *(Reading(path, Status.ABSENT) for path in PLACES),
        ok(sources.ESP_IMAGES, ""),
        ok(sources.CMDLINE, cmdline),
        ok(sources.KERNEL_RELEASE, "6.1.0"),
        ok(sources.show_depends("kvm_amd"), depends),
        ok(sources.EVERY_MODULE, INFO),
        *readings,
    )
    return next_cmdline_of(bundle, "kvm" if is_arm64 else "kvm_amd", is_arm64=is_arm64)


def grub(cmdline: str) -> Reading:
    return ok(sources.GRUB, f"GRUB_CMDLINE_LINUX='{cmdline}'")


def against(found: NextCmdline, *, nested: bool = True) -> list[tuple[str, str]]:
    return [(each.source, each.text) for each in found.against(nested=nested)]


@pytest.mark.parametrize(
    ("cmdline", "word"),
    [
        ("kvm_amd.nested=0", "kvm_amd.nested=0"),
        ("kvm-amd.nested=y", "kvm-amd.nested=y"),
        ("kvm_amd.nested=1 kvm_amd.nested=0", "kvm_amd.nested=0"),
        ("ccp.nqueues=-1", "ccp.nqueues=-1"),
        ("modprobe.blacklist=pcspkr,kvm_amd", "modprobe.blacklist=pcspkr,kvm_amd"),
        ("module_blacklist=x,kvm_amd", "module_blacklist=kvm_amd"),
        ("module_blacklist=ccp", "module_blacklist=ccp"),
        ("nomodule", "nomodule"),
        ("nomodule=0 nomodule=1", "nomodule=1"),
        ("initcall_blacklist=svm_init", "initcall_blacklist=svm_init"),
        ("initcall_blacklist=x,kvm_x86_init", "initcall_blacklist=kvm_x86_init"),
        ("clearcpuid=svm", "clearcpuid=svm"),
        ("clearcpuid=smap,svm", "clearcpuid=svm"),
        ("clearcpuid=514,194", "clearcpuid=194"),
        ("nomodule=0 nomodule=y", "nomodule=y"),
        ("sysctl.kernel.modules_disabled=1", "sysctl.kernel.modules_disabled=1"),
    ],
)
def test_every_word_that_is_against_nesting_is_found(cmdline: str, word: str) -> None:
    assert against(boot(grub(cmdline))) == [(sources.GRUB, word)]


@pytest.mark.parametrize(
    "cmdline",
    [
        "kvm_amd.nested=0 kvm_amd.nested=1",
        "modprobe.blacklist=kvm-amd",
        "module_blacklist=kvm_amd module_blacklist=x",
        "nomodule nomodule=0",
        "nomodules",
        "x.nomodule",
        "initcall_blacklist=vmx_init",
        "clearcpuid=vmx,svm_lock,133",
        "nomodules nomodule=0",
        "sysctl.kernel.modules_disabled=0",
        "kvm_intel.nested=0",
    ],
)
def test_a_word_that_does_nothing_is_not_against_it(cmdline: str) -> None:
    found = boot(grub(cmdline))
    assert (against(found), found.unknown) == ([], "")


@pytest.mark.parametrize("depends", ["builtin kvm_amd", None])
def test_a_kernel_without_modules_loads_none_and_has_kvm_as_a_part_of_it(depends: str | None) -> None:
    missing = Reading(sources.show_depends("kvm_amd"), Status.MISSING)
    found = boot(grub("nomodule"), missing) if depends is None else boot(grub("nomodule"), depends=depends)
    assert against(found) == []


@pytest.mark.parametrize("option", ["ccp.nqueues=4", "kvm_amd.nested=1 ccp.nqueues=4"])
def test_a_valid_option_of_a_module_that_is_needed_is_not_against_it(option: str) -> None:
    found = boot(grub(option))
    assert (against(found), found.unknown) == ([], "")


def test_an_option_that_evidence_masks_is_not_against_it() -> None:
    other = "filename: /lib/other.ko\nparm: x: (uint)\n"
    info = ok(sources.EVERY_MODULE, INFO.replace("kvm,ccp", "kvm,ccp,other") + other)
    found = boot(grub("other.x=4"), info)
    assert (against(found), "other.x=*" in found.unknown) == ([], True)


def test_what_blocks_is_not_against_a_policy_that_forbids() -> None:
    found = boot(grub("modprobe.blacklist=kvm_amd"))
    assert (against(found, nested=False), [each.text for each in found.blocking]) == (
        [],
        ["modprobe.blacklist=kvm_amd"],
    )


def test_a_built_in_module_obeys_the_kernels_own_parser() -> None:
    words = "module_blacklist=kvm_amd modprobe.blacklist=kvm_amd kvm_amd.nested=x -- kvm_amd.nested=0"
    assert against(boot(grub(words), depends="builtin kvm_amd")) == []
    skipped = boot(grub("initcall_blacklist=svm_init"), depends="builtin kvm_amd")
    assert against(skipped) == [(sources.GRUB, "initcall_blacklist=svm_init")]


CONFIGURED = ok(sources.GRUB_CFGS[1], "blscfg")
OF_SUSE = "\tlinux\t/boot/vmlinuz-6.4.0-150600.23-default root=UUID=a  ${extra_cmdline} splash=silent quiet"
"""As grub2-mkconfig writes it on SLES 12 and 15 and on openSUSE Leap."""


@pytest.mark.parametrize(
    ("readings", "source"),
    [
        ([ok(sources.KERNEL_INSTALL, "quiet\nkvm_amd.nested=0")], f"{sources.KERNEL_INSTALL}:2"),
        ([ok(ENTRY, "options quiet\noptions kvm_amd.nested=0")], ENTRY),
        ([ok(f"{sources.ESP_ENTRIES[1]}/a.conf", "options kvm_amd.nested=0")], f"{sources.ESP_ENTRIES[1]}/a.conf"),
        ([ok(ENTRY, "options quiet\n \toptions kvm_amd.nested=0")], ENTRY),
        ([ok(ENTRY, "options $kernelopts"), ok(sources.GRUBENV, "kernelopts=kvm_amd.nested=0")], ENTRY),
        ([ok(ENTRY, "options $tuned_params"), ok(sources.GRUBENV, "tuned_params=kvm_amd.nested=0")], ENTRY),
        (
            [ok(ENTRY, "options ${tuned_params}"), ok(sources.GRUB_CFGS[1], 'set tuned_params="kvm_amd.nested=0"')],
            ENTRY,
        ),
        ([ok(sources.GRUB_CFGS[0], "\tlinux /vmlinuz ro kvm_amd.nested=0")], sources.GRUB_CFGS[0]),
        ([ok(sources.GRUB_CFGS[0], "linux /vmlinuz 'kvm_amd.nested=0' ro")], sources.GRUB_CFGS[0]),
        ([ok(sources.GRUB_CFGS[0], "linux /vmlinuz 'x=a b' kvm_amd.nested='0'")], sources.GRUB_CFGS[0]),
        ([ok(sources.GRUB_CFGS[0], "linux /vmlinuz kvm_amd\\.nested=\\0")], sources.GRUB_CFGS[0]),
        (
            [ok(sources.GRUB, ". x"), ok(sources.GRUB_CFGS[0], "linux /vmlinuz kvm_amd.nested=0 $vt_handoff")],
            sources.GRUB_CFGS[0],
        ),
        (
            [ok(sources.GRUB_CFGS[1], "set extra_cmdline='kvm_amd.nested=0'\nlinux /vmlinuz ro ${extra_cmdline}")],
            sources.GRUB_CFGS[1],
        ),
        (
            [ok(sources.GRUB_CFGS[1], OF_SUSE), ok(sources.GRUBENV, "extra_cmdline=kvm_amd.nested=0")],
            sources.GRUB_CFGS[1],
        ),
    ],
)
def test_every_place_of_a_command_line_is_read(readings: list[Reading], source: str) -> None:
    found = boot(*readings)
    assert (source, "kvm_amd.nested=0") in against(found)
    assert found.unknown == ""


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        ([ok(ENTRY, "options ro $tuned_params")], "$tuned_params"),
        ([CONFIGURED, ok(ENTRY, "options ro $mine")], "$mine"),
        ([CONFIGURED, ok(ENTRY, "options $kernelopts")], "$kernelopts"),
        ([ok(sources.GRUB, 'GRUB_CMDLINE_LINUX="$EXTRA"')], "$EXTRA"),
        ([grub("quiet"), ok(sources.ESP_IMAGES, "/efi/EFI/Linux/a.efi")], "/efi/EFI/Linux/a.efi"),
        ([grub("quiet"), Reading(sources.ESP_IMAGES, Status.UNREADABLE)], "EFI system partition"),
        ([Reading(sources.GRUB, Status.UNREADABLE)], "could not be read"),
        ([grub("quiet"), Reading(sources.GRUB_CFGS[0], Status.UNREADABLE)], "/boot/grub/grub.cfg could not be read"),
        ([grub("quiet"), ok(sources.GRUB_D, "a.cfg\nREADME")], "/etc/default/grub.d/a.cfg could not be read"),
        ([grub("quiet"), ok(sources.BOOT_ENTRIES, "5.14.conf")], f"{ENTRY} could not be read"),
        ([grub("quiet"), Reading(sources.ESP_IMAGES, Status.TIMED_OUT)], "EFI system partition"),
    ],
)
def test_what_was_not_read_is_not_known(readings: list[Reading], reason: str) -> None:
    found = boot(*readings)
    assert reason in found.unknown
    assert found.unread == found.unknown


def test_without_a_supported_boot_loader_nothing_was_left_unread() -> None:
    found = boot()
    assert ("no supported boot loader" in found.unknown, found.unread) == (True, "")


def test_evidence_without_the_images_does_not_show_that_there_are_none() -> None:
    places = (Reading(path, Status.ABSENT) for path in PLACES)
    kernel = (ok(sources.CMDLINE, "quiet"), ok(sources.KERNEL_RELEASE, "6.1.0"))
    found = next_cmdline_of(bundle_of(*places, *kernel, grub("quiet")), "kvm_amd")
    assert "not in the evidence" in found.unknown


@pytest.mark.parametrize(
    "readings",
    [
        [CONFIGURED, ok(ENTRY, "options ro $tuned_params")],
        [ok(sources.GRUB, ". x"), ok(sources.GRUB_CFGS[0], "linux /vmlinuz ro\nlinux /vmlinuz ro single x=$y")],
        [grub("quiet"), ok(sources.GRUB_D, "README"), ok(sources.BOOT_ENTRIES, "5.14.conf~")],
        [ok(sources.GRUB_CFGS[0], "linux /vmlinuz 'x=a kvm_amd.nested=0' ro")],
        [ok(sources.GRUB_CFGS[1], OF_SUSE)],
        [CONFIGURED, ok(ENTRY, "options rw $ignition_firstboot ostree=/ostree/boot.1/fedora-coreos/19/0 root=UUID=a")],
    ],
)
def test_what_is_not_set_anywhere_is_not_set(readings: list[Reading]) -> None:
    found = boot(*readings)
    assert (against(found), found.unknown) == ([], "")


def test_a_word_of_the_current_command_line_that_the_next_boot_lacks_is_named() -> None:
    found = boot(grub("quiet"), cmdline="kvm_amd.nested=1")
    assert [each.text for each in found.lost_for(nested=True)] == ["kvm_amd.nested=1"]
    assert found.lost_for(nested=False) == ()
    assert boot(grub("kvm_amd.nested=1"), cmdline="kvm_amd.nested=1").lost_for(nested=True) == ()


NEWER = f"{sources.BOOT_ENTRIES}/6.12.conf"
RESCUE = f"{sources.BOOT_ENTRIES}/8cd7c2-0-rescue.conf"
MENU = """\
\tlinux\t/vmlinuz-6.1 root=UUID=a ro kvm_amd.nested=1
{}
\tlinux\t/vmlinuz-6.1 root=UUID=a ro single
\tlinux16\t/boot/memtest86+x64.bin
\tlinux\t/boot/mt86+x64 console=ttyS0,115200
\tlinux\t/boot/vmlinuz-5.4 root=UUID=of-another-system ro
"""


@pytest.mark.parametrize(
    ("readings", "lost"),
    [
        ([ok(ENTRY, "options root=/dev/a kvm_amd.nested=1"), ok(NEWER, "options root=/dev/a ro")], True),
        ([ok(ENTRY, "options root=/dev/a kvm_amd.nested=1"), ok(NEWER, "options root=/dev/a kvm_amd.nested=Y")], True),
        ([ok(ENTRY, "options root=/dev/a kvm_amd.nested=1"), ok(NEWER, "options kvm_amd.nested=2")], False),
        ([ok(ENTRY, "options root=/dev/a kvm_amd.nested=1"), ok(RESCUE, "options root=/dev/a ro")], False),
        ([ok(ENTRY, "options root=/dev/a ro"), grub("kvm_amd.nested=1")], True),
        ([ok(ENTRY, "options kvm_amd.nested=1"), grub("quiet"), ok(sources.KERNEL_INSTALL, "quiet")], False),
        ([ok(sources.GRUB_CFGS[0], MENU.format("\tlinux\t/vmlinuz-6.12 root=UUID=a ro"))], True),
        ([ok(sources.GRUB_CFGS[0], MENU.format("\tlinux\t/vmlinuz-6.12 root=UUID=b ro"))], False),
        ([ok(sources.GRUB_CFGS[1], MENU.format("\tlinux16 /vmlinuz-0-rescue-8cd7c2 root=UUID=a ro"))], False),
        ([ok(sources.GRUB_CFGS[1], MENU.format("\tlinux16 /boot/vmlinuz-0-rescue-8cd7c2 root=UUID=a ro"))], False),
        ([ok(sources.GRUB_CFGS[0], MENU.format("\tlinux\t/vmlinuz-6.12 root=UUID=a kvm_amd.nested=1"))], False),
    ],
)
def test_a_word_that_one_entry_lacks_may_be_lost(readings: list[Reading], *, lost: bool) -> None:
    found = boot(*readings, cmdline="root=UUID=a kvm_amd.nested=1")
    assert [each.text for each in found.lost_for(nested=True)] == (["kvm_amd.nested=1"] if lost else [])


@pytest.mark.parametrize(
    ("cmdline", "required", "forbidden"),
    [
        ("quiet", ["no kvm-arm.mode"], []),
        ("kvm-arm.mode=nested", [], ["kvm-arm.mode=nested"]),
        ("kvm-arm.mode=nested kvm_arm.mode=nvhe", ["kvm_arm.mode=nvhe"], []),
    ],
)
def test_on_arm64_the_command_line_alone_decides(cmdline: str, required: list[str], forbidden: list[str]) -> None:
    found = boot(grub(cmdline), is_arm64=True)
    assert [text for _, text in against(found)] == required
    assert [text for _, text in against(found, nested=False)] == forbidden


def test_on_arm64_files_that_disagree_decide_nothing() -> None:
    found = boot(grub("quiet"), ok(sources.KERNEL_INSTALL, "kvm-arm.mode=nested"), is_arm64=True)
    assert (against(found), "disagree" in found.unknown) == ([], True)
