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

    Both let a guest attack its host, and nested page tables increase the exposure.

    Unknown: the kernel reports itself vulnerable to neither, but does not report on one of them.
    """
    if not kvm_module.is_loaded or not kvm_module.nested:
        raise NotApplicable("nested is not on", *kvm_module.evidence)
    missing = mitigations.missing
    require(not missing, Cause.MITIGATION_MISSING, f"vulnerable to {', '.join(missing)}", *mitigations.evidence)
    if mitigations.unknown:
        message = f"the kernel does not report on {', '.join(mitigations.unknown)}"
        raise Undecided(message, *mitigations.evidence)


@control("L0-SEC-02", severity=Severity.HIGH, only=Nested.FORBIDDEN, causes=[Cause.GUEST_HAS_FLAG])
def test_no_vmm_shows_the_flag_to_its_guest(kvm_module: KvmModule, vmm_guests: VmmGuests) -> None:
    """No VMM process on the host exposes the virtualization flag to its guest.

    Not every guest belongs to libvirt, and one that was started earlier keeps the CPU that it was started with.

    One polarity: where nesting is required, guests are meant to have the flag.

    Unknown: no process was found to expose the flag, but for one it cannot be determined; a process that holds a VM is
    not a known VMM; a process contradicts libvirt's XML; or processes of other accounts may be hidden.
    """
    if not kvm_module.is_loaded or not kvm_module.nested:
        return
    names = ", ".join(vmm_guests.with_flag)
    require(not names, Cause.GUEST_HAS_FLAG, f"the flag is exposed to the guest of {names}", *vmm_guests.evidence)
    if vmm_guests.undecided:
        raise Undecided("; ".join(vmm_guests.undecided), *vmm_guests.evidence)
