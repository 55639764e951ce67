from nested_kvm import S390X, X86, Answer, Cause, Finding, Nested, Pair, Severity, Undecided, control, first_break

BREAKS_A_PROMISE = (
    Cause.CPU_LACKS_FLAG,
    Cause.L0_IS_A_GUEST,
    Cause.FIRMWARE_DISABLED,
    Cause.MODULE_NOT_LOADED,
    Cause.MODULE_LOAD_FAILED,
    Cause.KERNEL_LACKS_KVM,
    Cause.MODULES_GONE,
    Cause.NO_MODULES,
    Cause.OTHER_HYPERVISOR_OWNS_CPU,
    Cause.DEV_KVM_MISSING,
    Cause.NESTED_OFF,
    Cause.DOMAIN_EMULATED,
    Cause.MEMORY_ENCRYPTION,
    Cause.POWER_CYCLE_PENDING,
    Cause.PROCESS_CONTRADICTS_DEFINITION,
    Cause.FLAG_MISSING,
    Cause.UNDIAGNOSED,
)


@control(
    "PAIR-01",
    severity=Severity.CRITICAL,
    only=Nested.REQUIRED,
    causes=BREAKS_A_PROMISE,
    architectures=[X86, S390X],
)
def test_what_the_host_promises_is_what_the_guest_sees(pair: Pair) -> None:
    """The guest sees the flag its host exposes.

    The domain's definition exposes the flag; where the guest does not see it, the first broken link between host and
    guest is the cause.

    It explains the findings of L1-CPU-01 and DOM-CPU-02, which decide: it passes where the host has the domain and the
    guest sees the flag. Where the guest does not show its uuid, the inventory is believed (see L1-CPU-02).

    Unknown: the guest does not see the flag, and whether its definition exposes it is not known, for the reasons of
    DOM-CPU-02.

    One polarity: where nesting is forbidden, a guest without the flag is what the policy requires (L1-CPU-01).
    """
    domain = pair.domain
    if pair.inside.cpu.all_show_flag:
        return
    promise = domain.promise(pair.host.cpu.require_vendor())
    if promise.gives_flag is Answer.UNKNOWN:
        raise Undecided(f"whether {pair.host.cpu.flag} is exposed is not known: {promise.reason}", *domain.evidence)
    broken = first_break(pair)
    if promise.gives_flag is Answer.YES and broken is not None and broken.finding is not None:
        finding = broken.finding
        message = f"{promise.reason}, but the guest does not see {pair.inside.cpu.flag}: {finding.message}"
        raise Finding(finding.cause, message, *finding.evidence, *pair.inside.cpu.evidence, at=broken.name)
