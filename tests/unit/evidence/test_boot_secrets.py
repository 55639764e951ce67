"""Of a boot loader's files only what concerns KVM is kept, in every form in which they have a command line."""

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.redaction import without_secrets

HIDDEN = "hunter2"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("/boot/grub/grub.cfg", f"\tlinux\t/boot/vmlinuz root=UUID=1 rd.luks.key={HIDDEN} kvm_amd.nested=1"),
        ("/boot/grub2/grub.cfg", f'set tuned_params="rd.luks.key={HIDDEN} kvm_amd.nested=1"'),
        ("/boot/grub2/grubenv", f"tuned_params=rd.luks.key={HIDDEN} kvm_amd.nested=1"),
        ("/boot/grub2/grub.cfg", f'set extra_cmdline="rd.luks.key={HIDDEN} kvm_amd.nested=1"'),
        ("/efi/loader/entries/a.conf", f"options rd.luks.key={HIDDEN} kvm_amd.nested=1"),
        ("/etc/default/grub", f'[ -f /x ] && GRUB_CMDLINE_LINUX="rd.luks.key={HIDDEN} kvm_amd.nested=1"'),
        ("/etc/default/grub.d/a.cfg", f"X={HIDDEN}; GRUB_CMDLINE_LINUX=kvm_amd.nested=1"),
    ],
)
def test_the_words_of_kvm_stay_and_others_values_do_not(source: str, text: str) -> None:
    kept = without_secrets({source: Reading(source, Status.OK, text)})[source].text
    assert HIDDEN not in kept
    assert "kvm_amd.nested=1" in kept


@pytest.mark.parametrize(
    "word",
    [
        "clearcpuid=vmx,smap",
        "modules-load=loop,kvm-intel",
        "rd.modules_load=kvm_intel",
        "ccp.nqueues=-1",
        "irqbypass.x=1",
        "overlayroot=tmpfs:recurse=0",
        "root=UUID=4c5c1f26-8f0e-4f5e-9f3b-2f1b3d1c7a10",
        "root=PARTUUID=8d2c1d9a-02",
        "reboot=k",
        "pci=off",
        "init=/init.krun",
        "nomodule=y",
        "sysctl.kernel.modules_disabled=1",
    ],
)
@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("/proc/cmdline", "{}"),
        ("/etc/kernel/cmdline", "{}"),
        ("/etc/default/grub", 'GRUB_CMDLINE_LINUX="{}"'),
        ("/boot/grub/grub.cfg", "\tlinux\t/boot/vmlinuz {}"),
        ("/boot/loader/entries/a.conf", "options {}"),
    ],
)
def test_every_word_that_is_evaluated_stays(source: str, line: str, word: str) -> None:
    text = line.format(f"ro {word} rd.luks.key={HIDDEN} {word}")
    kept = without_secrets({source: Reading(source, Status.OK, text)})[source].text
    assert kept == text.replace(HIDDEN, "*" * len(HIDDEN))


@pytest.mark.parametrize("word", ["kvm_amd.nested=0", "clearcpuid=vmx", "nomodule=1", "modules-load=kvm_intel"])
def test_an_evaluated_word_is_no_value_of_the_one_before(word: str) -> None:
    plain = Reading("/proc/cmdline", Status.OK, f"rd.luks.key= {word}")
    assert without_secrets({plain.source: plain}) == {plain.source: plain}


@pytest.mark.parametrize(
    "word",
    [
        f"overlayroot=crypt:dev=/dev/sdb,pass={HIDDEN}",
        f"root=iscsi:admin:{HIDDEN}@192.0.2.1::::disk",
        f"netroot=UUID={HIDDEN}",
        f"myclearcpuid={HIDDEN}",
        f"accp.x={HIDDEN}",
    ],
)
def test_a_word_that_only_resembles_one_does_not(word: str) -> None:
    kept = without_secrets({"/proc/cmdline": Reading("/proc/cmdline", Status.OK, f"ro {word} quiet")})
    assert HIDDEN not in kept["/proc/cmdline"].text
