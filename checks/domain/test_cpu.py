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

    An emulated guest (type='qemu', TCG) never has vmx, and the svm that TCG emulates proves nothing about KVM.
    """
    require(domain.runs_under_kvm, Cause.DOMAIN_EMULATED, f"the domain type is {domain.type}", *domain.evidence)


@control(
    "DOM-CPU-02",
    decides=True,
    severity=Severity.CRITICAL,
    causes=DEFINITION_CAUSES,
    architectures=[X86, S390X],
    references=[DOMAIN_CPU],
)
def test_the_definition_matches_the_policy(domain: Domain, cpu: Cpu, policy: Policy) -> None:
    """The domain's persistent CPU definition exposes or withholds the virtualization flag, as the policy requires.

    Under KVM host-passthrough and maximum expose the flag, host-model does on Intel, and so does any model with a
    feature that requires the flag by name. A named model alone does not, and host-model on AMD omits svm although its
    XML mentions it. On s390x, where the flag is sie, host-model exposes it; whether a named model does is not known.

    Unknown: the flag is optional, or required with the other vendor's model, and no live XML shows the outcome; the
    live XML contradicts the rule; it depends on QEMU's version; the mode is not known; on s390x the model is a named
    one; or <qemu:commandline> passes a -cpu to QEMU.
    """
    if not domain.runs_under_kvm:
        raise NotApplicable(f"the domain type is {domain.type}: it does not run under KVM", *domain.evidence)
    promise = domain.promise(cpu.require_vendor())
    if promise.gives_flag is Answer.UNKNOWN:
        raise Undecided(f"whether {cpu.flag} is exposed is not known: {promise.reason}", *domain.evidence)
    gives = promise.gives_flag is Answer.YES
    require(
        gives is policy.is_required,
        Cause.DOMAIN_GIVES_FLAG if gives else promise.cause or Cause.FEATURE_DISABLED,
        f"{cpu.flag} is {'' if gives else 'not '}exposed: {promise.reason}",
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
    """The domain's running CPU matches its persistent definition.

    A domain keeps the CPU it was started with. A changed definition takes effect only when the domain is shut down and
    started; a reboot inside the guest is not enough.
    """
    if not domain.is_running:
        raise NotApplicable(f"the domain is {domain.state}: there is no running CPU", *domain.evidence)
    if domain.is_transient:
        raise NotApplicable("the domain is transient: it has no persistent definition", *domain.evidence)
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
    """No saved state of the domain would bring back a CPU without the virtualization flag.

    A managed save, or a snapshot with memory, brings back the CPU that the domain was saved with, whatever the
    definition says by now. The next start restores a managed save automatically.

    Unknown: a saved state cannot be read, there are too many of them, or its CPU is host-passthrough or maximum, whose
    flag depends on the value of nested at that time.
    """
    if domain.process is not None:
        raise NotApplicable("the guest is not libvirt's, so it has no saved state", *domain.evidence)
    if not domain.runs_under_kvm:
        raise NotApplicable(f"the domain type is {domain.type}: it does not run under KVM", *domain.evidence)
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
    """Libvirt refuses to start the domain without the virtualization flag.

    An optional feature may be silently dropped, and `force` without a check starts the domain on a host that lacks
    the feature.
    """
    if domain.process is not None:
        raise NotApplicable("the guest is not started by libvirt", *domain.evidence)
    weakness = domain.cpu.weakness(cpu.flag)
    require(weakness is None, Cause.FLAG_NOT_GUARANTEED, weakness or "", *domain.evidence)
