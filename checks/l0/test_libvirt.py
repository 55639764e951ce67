from nested_kvm import (
    Answer,
    Cause,
    Cpu,
    KvmDevice,
    KvmModule,
    Libvirt,
    LibvirtCapabilities,
    Nested,
    NotApplicable,
    Severity,
    Undecided,
    control,
    require,
)


@control(
    "L0-LIB-01",
    severity=Severity.HIGH,
    causes=[Cause.LIBVIRT_UNREACHABLE],
    architectures=None,
)
def test_libvirt_answers(libvirt: Libvirt) -> None:
    """Libvirt is reachable, unless the inventory declares that there is none.

    Without it no domain can be evaluated, whatever the policy requires of it, and none can be shut down and started
    to fix one.
    """
    if not libvirt.is_expected:
        raise NotApplicable("the inventory declares that there is no libvirt here")
    require(libvirt.answers, Cause.LIBVIRT_UNREACHABLE, f"{libvirt.uri} does not answer: {libvirt.refusal}")


@control(
    "L0-LIB-02",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.LIBVIRT_CAPABILITIES_STALE],
    references=["https://libvirt.org/formatdomaincaps.html#cpu-configuration"],
)
def test_libvirt_can_give_the_flag(
    libvirt: Libvirt,
    cpu: Cpu,
    kvm_module: KvmModule,
    kvm_device: KvmDevice,
    libvirt_capabilities: LibvirtCapabilities,
) -> None:
    """Libvirt knows that KVM guests can be given the virtualization flag, where the kernel offers it.

    It queries QEMU once and caches the answer: what it learned without /dev/kvm, or before nested was on, keeps it from
    starting a domain that requires the flag. A cache file that libvirt discards at its next use is not a finding.

    One polarity: where nesting is forbidden, a cache without the flag exposes nothing.

    Unknown: only root may read libvirt's cache, the cache has nothing about this QEMU, or an old libvirt does not
    record whether it would use it.
    """
    if not libvirt.is_expected:
        raise NotApplicable("the inventory declares that there is no libvirt here")
    if not libvirt.answers:
        raise NotApplicable(f"{libvirt.uri} does not answer, which L0-LIB-01 reports", *libvirt.evidence)
    if not kvm_module.offers_nested() or not kvm_device.is_kvm or not cpu.all_show_flag:
        raise NotApplicable(f"the kernel itself does not offer {cpu.flag} to guests", *kvm_module.evidence)
    give_flag, reason = libvirt_capabilities.give_flag, libvirt_capabilities.reason
    if give_flag is Answer.UNKNOWN:
        raise Undecided(reason, *libvirt_capabilities.evidence)
    require(give_flag is Answer.YES, Cause.LIBVIRT_CAPABILITIES_STALE, reason, *libvirt_capabilities.evidence)
