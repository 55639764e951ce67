from nested_kvm import (
    Cause,
    KvmModule,
    Mitigations,
    Nested,
    NotApplicable,
    Severity,
    Undecided,
    VmmGuests,
    control,
    require,
)


@control(
    "L0-SEC-01",
    severity=Severity.MEDIUM,
    causes=[Cause.MITIGATION_MISSING],
    references=["https://docs.kernel.org/admin-guide/hw-vuln/multihit.html"],
)
def test_attacks_from_guests_are_mitigated(kvm_module: KvmModule, mitigations: Mitigations) -> None:
    """With nested on, iTLB multihit and L1TF are mitigated.

    Both let a guest reach its host, and nested page tables widen the way.

    Unknown: the kernel calls itself vulnerable to neither, and does not speak of one of them.
    """
    if not kvm_module.is_loaded or not kvm_module.nested:
        raise NotApplicable("nested is not on", *kvm_module.evidence)
    missing = mitigations.missing
    require(not missing, Cause.MITIGATION_MISSING, f"vulnerable to {', '.join(missing)}", *mitigations.evidence)
    if mitigations.unknown:
        message = f"the kernel says nothing of {', '.join(mitigations.unknown)}"
        raise Undecided(message, *mitigations.evidence)


@control("L0-SEC-02", severity=Severity.HIGH, only=Nested.FORBIDDEN, causes=[Cause.GUEST_HAS_FLAG])
def test_no_vmm_shows_the_flag_to_its_guest(kvm_module: KvmModule, vmm_guests: VmmGuests) -> None:
    """No VMM process on the host shows the virtualization flag to its guest.

    Not every guest is libvirt's, and one that was started before keeps the CPU that it was given.

    One polarity: where nesting is required, guests are meant to have the flag.

    Unknown: no process was seen to give the flag, and of one it cannot be told; a process that holds a VM is not a
    known VMM; a process contradicts libvirt's XML; or processes of other accounts may be hidden.
    """
    if not kvm_module.is_loaded or not kvm_module.nested:
        return
    names = ", ".join(vmm_guests.with_flag)
    require(not names, Cause.GUEST_HAS_FLAG, f"the flag is given to {names}", *vmm_guests.evidence)
    if vmm_guests.undecided:
        raise Undecided("; ".join(vmm_guests.undecided), *vmm_guests.evidence)
