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
        ("/efi/loader/entries/a.conf", f"options rd.luks.key={HIDDEN} kvm_amd.nested=1"),
        ("/etc/default/grub", f'[ -f /x ] && GRUB_CMDLINE_LINUX="rd.luks.key={HIDDEN} kvm_amd.nested=1"'),
        ("/etc/default/grub.d/a.cfg", f"X={HIDDEN}; GRUB_CMDLINE_LINUX=kvm_amd.nested=1"),
    ],
)
def test_the_words_of_kvm_stay_and_others_values_do_not(source: str, text: str) -> None:
    kept = without_secrets({source: Reading(source, Status.OK, text)})[source].text
    assert HIDDEN not in kept
    assert "kvm_amd.nested=1" in kept
