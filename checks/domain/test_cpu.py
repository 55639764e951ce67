from nested_kvm import (
    KNOWN,
    S390X,
    X86,
    Answer,
    Cause,
    Cpu,
    Domain,
    KvmModule,
    Nested,
    NotApplicable,
    Policy,
    SavedStates,
    Severity,
    Undecided,
    control,
    require,
)

DOMAIN_CPU = "https://libvirt.org/formatdomain.html#cpu-model-and-topology"
DEFINITION_CAUSES = (
    Cause.FEATURE_DISABLED,
    Cause.HOST_MODEL_DROPS_SVM,
    Cause.NAMED_MODEL_LACKS_FLAG,
    Cause.WRONG_VENDOR_FEATURE,
    Cause.DOMAIN_GIVES_FLAG,
)


@control(
    "DOM-CPU-01",
    severity=Severity.CRITICAL,
    only=Nested.REQUIRED,
    causes=[Cause.DOMAIN_EMULATED],
    architectures=KNOWN,
)
def test_the_domain_runs_under_kvm(domain: Domain) -> None:
    """The domain runs under KVM.

    An emulated guest (type='qemu', TCG) never has vmx, and an svm that TCG emulates proves nothing about KVM.
    """
    require(domain.runs_under_kvm, Cause.DOMAIN_EMULATED, f"its type is {domain.type}", *domain.evidence)


@control(
    "DOM-CPU-02",
    severity=Severity.CRITICAL,
    causes=DEFINITION_CAUSES,
    architectures=[X86, S390X],
    references=[DOMAIN_CPU],
)
def test_the_definition_matches_the_policy(domain: Domain, cpu: Cpu, policy: Policy) -> None:
    """The domain's persistent CPU definition gives the virtualization flag as the policy says.

    Under KVM the flag comes with host-passthrough, maximum, host-model on Intel, or a feature that asks for it by
    name. A named model has none, and host-model on AMD drops svm although its XML mentions it. On s390x, where the flag
    is sie, host-model gives it too, and of a named model it is not known.

    Unknown: the flag is optional, or asked of the other vendor's model, and no live XML tells what came of it; the
    live XML contradicts the rule; QEMU's version decides; the mode is not known; on s390x the model is a named one; or
    QEMU is given a -cpu behind libvirt's back.
    """
    if not domain.runs_under_kvm:
        raise NotApplicable(f"its type is {domain.type}: it does not run under KVM", *domain.evidence)
    promise = domain.promise(cpu.require_vendor())
    if promise.gives_flag is Answer.UNKNOWN:
        raise Undecided(f"whether it gives {cpu.flag} cannot be told: {promise.reason}", *domain.evidence)
    gives = promise.gives_flag is Answer.YES
    require(
        gives is policy.is_required,
        Cause.DOMAIN_GIVES_FLAG if gives else promise.cause or Cause.FEATURE_DISABLED,
        f"its definition gives {'' if gives else 'no '}{cpu.flag}: {promise.reason}",
        *domain.evidence,
    )


@control(
    "DOM-CPU-03",
    severity=Severity.HIGH,
    causes=[Cause.POWER_CYCLE_PENDING],
    architectures=[X86, S390X],
    references=[DOMAIN_CPU],
)
def test_the_running_cpu_is_the_defined_one(domain: Domain, cpu: Cpu, kvm_module: KvmModule) -> None:
    """The domain's running CPU agrees with its persistent definition.

    A domain keeps the CPU it was started with. Until it is shut down and started, the definition is a promise
    that its guest does not see; a reboot inside the guest is not enough.
    """
    if not domain.is_running:
        raise NotApplicable(f"it is {domain.state}: there is no running CPU", *domain.evidence)
    if domain.is_transient:
        raise NotApplicable("it is transient: it has no other definition than the running one", *domain.evidence)
    difference = domain.changed_since_start(cpu.require_vendor(), kvm_module.offers_nested)
    require(difference is None, Cause.POWER_CYCLE_PENDING, difference or "", *domain.evidence)


@control(
    "DOM-CPU-04",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.SAVED_STATE_HAS_OLD_CPU],
    architectures=[X86, S390X],
    references=["https://libvirt.org/formatsnapshot.html"],
)
def test_nothing_saved_brings_an_older_cpu_back(domain: Domain, saved_states: SavedStates, cpu: Cpu) -> None:
    """Nothing that is saved of the domain would bring back a CPU without the virtualization flag.

    What comes back from a managed save, or from a snapshot with memory, has the CPU that it was saved with, whatever
    the definition says by now. The next start takes a managed save unasked.

    Unknown: what is saved cannot be read, there is too much of it, or its CPU is host-passthrough or maximum, whose
    flag depends on what nested was then.
    """
    if domain.process is not None:
        raise NotApplicable("no libvirt saves it", *domain.evidence)
    if not domain.runs_under_kvm:
        raise NotApplicable(f"its type is {domain.type}: it does not run under KVM", *domain.evidence)
    vendor = cpu.require_vendor()
    lacking = saved_states.lacking(vendor)
    reasons = "; ".join(f"{each.source}: {each.promise(vendor).reason}" for each in lacking)
    require(not lacking, Cause.SAVED_STATE_HAS_OLD_CPU, reasons, *(each.evidence for each in lacking))
    undecided = saved_states.undecided(vendor)
    if undecided:
        raise Undecided("; ".join(undecided), *saved_states.evidence)


@control(
    "DOM-CPU-05",
    severity=Severity.LOW,
    only=Nested.REQUIRED,
    causes=[Cause.FLAG_NOT_GUARANTEED],
    architectures=[X86, S390X],
    references=[DOMAIN_CPU],
)
def test_libvirt_verifies_the_flag(domain: Domain, cpu: Cpu) -> None:
    """Libvirt verifies what the domain's CPU definition promises.

    An optional feature may be dropped without a word, and `force` without a check starts the domain on a host that
    lacks it.
    """
    if domain.process is not None:
        raise NotApplicable("no libvirt starts it", *domain.evidence)
    weakness = domain.cpu.weakness(cpu.flag)
    require(weakness is None, Cause.FLAG_NOT_GUARANTEED, weakness or "", *domain.evidence)
