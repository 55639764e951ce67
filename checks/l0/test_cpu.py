from nested_kvm import (
    S390X,
    X86,
    Cause,
    Cpu,
    Firmware,
    Nested,
    Platform,
    Severity,
    Undecided,
    control,
    require,
)

CPU_CAUSES = (Cause.CPU_LACKS_FLAG, Cause.FIRMWARE_DISABLED, Cause.L0_IS_A_GUEST)


@control(
    "L0-CPU-01",
    decides=True,
    severity=Severity.CRITICAL,
    only=Nested.REQUIRED,
    causes=CPU_CAUSES,
    architectures=[X86, S390X],
    references=["https://docs.kernel.org/arch/x86/cpuinfo.html"],
)
def test_every_cpu_shows_the_flag(cpu: Cpu, firmware: Firmware, platform: Platform) -> None:
    """Every CPU of the host shows its vendor's virtualization flag.

    Without vmx or svm, on s390x sie, on every CPU KVM does not load. Newer kernels hide the flag when the firmware
    disables virtualization; older ones leave it visible and only log it.

    One polarity: where nesting is forbidden, a CPU without the flag complies, and one with it exposes nothing by
    itself.

    Unknown: how nesting works on the machine's architecture is not known; or every CPU shows the flag, the kernel log
    could not be read and KVM does not run: the firmware may disable virtualization.
    """
    require(
        not firmware.disabled,
        Cause.FIRMWARE_DISABLED,
        "the kernel log reports that hardware virtualization is disabled in the firmware",
        *firmware.disabled,
    )
    require(
        cpu.all_show_flag,
        Cause.L0_IS_A_GUEST if platform.is_virtual else Cause.CPU_LACKS_FLAG,
        f"{cpu.count_with_flag} of {len(cpu.flags)} CPUs show {cpu.flag}"
        + (f"; the host is a guest itself, on {platform.name}" if platform.is_virtual else ""),
        *cpu.evidence,
    )
    if firmware.unknown:
        message = f"the firmware may disable hardware virtualization: {firmware.unknown}"
        raise Undecided(message, *firmware.evidence)


@control("L0-CPU-02", severity=Severity.LOW, causes=[Cause.HYPERVISOR_HIDDEN], architectures=[X86])
def test_what_the_host_runs_on_is_known(platform: Platform) -> None:
    """Whether the host is a guest itself is known: its CPUs and its names agree.

    A hypervisor can hide its flag from its guest, and can show it the names of another machine. What is a host and what
    a guest then rests on one of two signs that contradict each other, and so does every result that depends on it.

    Unknown: the CPUs show the `hypervisor` flag, and DMI names a manufacturer of physical machines.
    """
    hidden = platform.hypervisor_bit is False and platform.layer is not None
    require(not hidden, Cause.HYPERVISOR_HIDDEN, platform.contradiction or "", *platform.evidence)
    if platform.contradiction is not None:
        raise Undecided(platform.contradiction, *platform.evidence)
