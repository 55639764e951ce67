from nested_kvm import (
    S390X,
    X86,
    Cause,
    Cpu,
    Firmware,
    Identity,
    Nested,
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
def test_every_cpu_shows_the_flag(cpu: Cpu, firmware: Firmware, identity: Identity) -> None:
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
        Cause.L0_IS_A_GUEST if cpu.is_virtual else Cause.CPU_LACKS_FLAG,
        f"{cpu.count_with_flag} of {len(cpu.flags)} CPUs show {cpu.flag}"
        + (f"; the host is a guest itself, on {identity.hardware}" if cpu.is_virtual else ""),
        *cpu.evidence,
    )
    if firmware.unknown:
        message = f"the firmware may disable hardware virtualization: {firmware.unknown}"
        raise Undecided(message, *firmware.evidence)
