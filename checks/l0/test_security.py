from nested_kvm import (
    Answer,
    Cause,
    Exposure,
    Finding,
    FlagHolders,
    Informed,
    KvmModule,
    Mitigations,
    Nested,
    NotApplicable,
    Policy,
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
    not a known VMM; a process contradicts libvirt's XML; processes of other accounts may be hidden; or PVM (`kvm_pvm`)
    is loaded, of which no nested parameter shows what its guests are given.
    """
    if not kvm_module.pvm and not kvm_module.offers_nested():
        return
    names = ", ".join(vmm_guests.with_flag)
    require(not names, Cause.GUEST_HAS_FLAG, f"the flag is exposed to the guest of {names}", *vmm_guests.evidence)
    if kvm_module.pvm:
        raise Undecided("what kvm_pvm gives its guests is not known", *kvm_module.pvm)
    if vmm_guests.undecided:
        raise Undecided("; ".join(vmm_guests.undecided), *vmm_guests.evidence)


@control(
    "L0-SEC-03",
    severity=Severity.CRITICAL,
    causes=[Cause.ESCAPE_OPEN, Cause.ESCAPE_OPEN_AFTER_BOOT, Cause.FIXED_KERNEL_NOT_BOOTED],
    references=["https://docs.kernel.org/process/cve.html"],
)
def test_no_published_escape_is_open(exposure: Exposure, flag_holders: FlagHolders, policy: Policy) -> None:
    """No published vulnerability lets a guest take over the host: the kernel is fixed, or no guest reaches it.

    The running kernel has the fix of every advisory, or nesting is off, now and after the next load, with EPT or NPT
    on: without them every guest reaches what otherwise only one that nests does. An advisory is fixed where the
    changelog of the running kernel's package names it, where the release is at least the vendor's first fixed one, or
    where an upstream or Debian kernel has the version; a version proves nothing of any other kernel. Only where the
    policy is guarded does it matter that none of this decides; elsewhere that is informational, and a finding is what
    is proven.

    Unknown: the policy is guarded, and nothing shows whether a vendor's kernel is fixed, published sources contradict
    each other, a live patch is enabled whose name does not show what it fixes, or the kernel is vulnerable and whether
    guests reach it, now or after the next load, could not be determined; or grub's environment could not be read, or
    names another kernel for the next boot, of which that is not known.
    """
    reached = [each for each in exposure.open if exposure.reach_of(each.advisory).now is Answer.YES]
    later = [each for each in exposure.open if exposure.reach_of(each.advisory).later is Answer.YES]
    if reached or later:
        names = ", ".join(each.advisory.id for each in reached or later)
        installed = exposure.installed_fix
        cause = Cause.ESCAPE_OPEN if reached else Cause.ESCAPE_OPEN_AFTER_BOOT
        if installed is not None:
            cause = Cause.FIXED_KERNEL_NOT_BOOTED
        message = f"open: {names}; {exposure.reach.reason}"
        message += flag_holders.text if installed is None else f"; {installed.text}{flag_holders.text}"
        raise Finding(cause, message, *exposure.evidence, *([] if installed is None else [installed]))
    _check_next_kernel(exposure, policy)
    doubtful = [
        each
        for each in (*exposure.open, *exposure.undecided)
        if {exposure.reach_of(each.advisory).now, exposure.reach_of(each.advisory).later} != {Answer.NO}
    ]
    if doubtful:
        names = ", ".join(f"{each.advisory.id} ({each.reason})" for each in doubtful)
        message = f"not decided: {names}; {exposure.reach.reason}"
        raise (Undecided if policy.is_guarded else Informed)(message, *exposure.evidence)


def _check_next_kernel(exposure: Exposure, policy: Policy) -> None:
    """The fix of the running kernel is worth nothing where the next boot starts an older one."""
    if exposure.pinned is None:
        return
    evidence = (*exposure.pinned.evidence, *exposure.evidence)
    lost, doubtful = exposure.fixed_until_boot(Answer.YES), exposure.fixed_until_boot(Answer.UNKNOWN)
    if lost:
        message = f"open after the next boot: {', '.join(each.id for each in lost)}; {exposure.pinned.reason}"
        raise Finding(Cause.ESCAPE_OPEN_AFTER_BOOT, message, *evidence)
    if doubtful:
        message = (
            f"not decided after the next boot: {', '.join(each.id for each in doubtful)}; {exposure.pinned.reason}"
        )
        raise (Undecided if policy.is_guarded else Informed)(message, *evidence)
