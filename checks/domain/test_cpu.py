from nested_kvm import (
    KNOWN,
    S390X,
    X86,
    Answer,
    Cause,
    Cpu,
    Domain,
    Finding,
    KvmModule,
    Nested,
    NotApplicable,
    Policy,
    SavedStates,
    Severity,
    Undecided,
    architecture_of,
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
    Cause.MEMORY_ENCRYPTION,
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

    One polarity: where nesting is forbidden, an emulated domain is as good as one without the flag.

    Unknown: another hypervisor than KVM runs it, such as type='hyperv'.
    """
    if domain.is_of_another_hypervisor:
        raise Undecided(f"the domain type is {domain.type}: neither KVM nor emulation runs it", *domain.evidence)
    require(domain.runs_under_kvm, Cause.DOMAIN_EMULATED, f"the domain type is {domain.type}", *domain.evidence)


@control(
    "DOM-CPU-02",
    decides=True,
    severity=Severity.CRITICAL,
    causes=DEFINITION_CAUSES,
    architectures=None,
    references=[DOMAIN_CPU],
)
def test_the_definition_matches_the_policy(domain: Domain, cpu: Cpu, policy: Policy) -> None:
    """The domain's persistent CPU definition exposes or withholds the virtualization flag, as the policy requires.

    Under KVM host-passthrough and maximum expose the flag, host-model does on Intel, and so does any model with a
    feature that names the flag. A named model alone does not, and host-model on AMD omits svm although its XML mentions
    it. On s390x, where the flag is sie, host-model exposes it; whether a named model does is not known. A guest with
    encrypted memory (SEV, TDX) cannot nest, whatever its CPU. Where the policy is guarded, and the host's kernel is not
    fixed and offers no nesting, the definition may expose the flag: the host withholds it until it is fixed.

    Unknown: host-model with an optional flag, and no live XML shows the outcome; the live XML contradicts the rule;
    it depends on QEMU's version; the mode is not known; on s390x the model is a named one; <qemu:commandline>
    passes arguments to QEMU that may change the CPU; the guest is shown another vendor than the host's, or a model
    without controls of VMX, so that KVM in it may not load although it has the flag; a VMM beside QEMU does not
    show it, or another hypervisor runs the domain; libvirt refuses the definition, or could not start it on this
    host, or its emulator is not QEMU by its name and the domain does not run; the file of a domain that is not
    deployed does not say it, or no host is known and the CPU's vendor decides; or the architecture is one on which
    no CPU feature stands for nesting.
    """
    if architecture_of(cpu.architecture) not in {X86, S390X}:
        message = f"how a domain on {cpu.architecture} gets nesting is not evaluated"
        raise (Undecided if policy.is_required else NotApplicable)(message, *domain.evidence)
    if domain.is_of_another_hypervisor:
        raise Undecided(f"the domain type is {domain.type}: what its hypervisor gives is not known", *domain.evidence)
    if not domain.runs_under_kvm and not domain.cpu.may_be_overridden:
        raise NotApplicable(f"the domain type is {domain.type}: it does not run under KVM", *domain.evidence)
    refusal = domain.refused_on(architecture_of(cpu.architecture))
    if refusal is not None:
        raise Undecided(f"libvirt on this host does not start it: {refusal}", *domain.evidence)
    encryption = domain.cpu.memory_encryption
    if policy.is_required and encryption is not None:
        message = f"the guest's memory is encrypted ({encryption}), so it cannot run KVM"
        raise Finding(Cause.MEMORY_ENCRYPTION, message, *domain.evidence)
    promise = domain.promise_by(cpu.vendors)
    if promise.gives_flag is Answer.UNKNOWN:
        raise Undecided(f"whether {cpu.flags_of_vendors} is exposed is not known: {promise.reason}", *domain.evidence)
    gives = promise.gives_flag is Answer.YES
    unusable = domain.why_not_usable(cpu.vendors) if policy.is_required else None
    if unusable is not None:
        message = f"{cpu.flags_of_vendors} is exposed, and whether the guest can use it is not known: {unusable}"
        raise Undecided(message, *domain.evidence)
    complies = gives is policy.is_required or policy.is_withheld
    if complies and domain.may_be_wrapped:
        message = f"its emulator is {(domain.emulator or '')[:80]}, which may start QEMU with another CPU"
        raise Undecided(message, *domain.evidence)
    require(
        complies,
        Cause.DOMAIN_GIVES_FLAG if gives else promise.cause or Cause.FEATURE_DISABLED,
        f"{cpu.flags_of_vendors} is {'' if gives else 'not '}exposed: {promise.reason}",
        *domain.evidence,
    )


@control(
    "DOM-CPU-03",
    severity=Severity.HIGH,
    causes=[Cause.POWER_CYCLE_PENDING, Cause.PROCESS_CONTRADICTS_DEFINITION],
    architectures=[X86, S390X],
    references=[DOMAIN_CPU],
)
def test_the_running_cpu_is_the_defined_one(domain: Domain, cpu: Cpu, kvm_module: KvmModule) -> None:
    """The domain's running CPU matches its persistent definition.

    A domain keeps the CPU it was started with. A changed definition takes effect only when the domain is shut down and
    started; a reboot inside the guest is not enough. What counts in the end is the QEMU process: where its arguments
    are not those of the XML, libvirt describes another guest than the one that runs.

    Unknown: several processes claim to be the domain, a process was given a -global or a -readconfig that may change
    the CPU, or a process without -accel tcg holds no VM; a cluster shows that the guest runs, and its process was not
    found; libvirt does not run the domain and a process has its name or uuid; what a file defines, or what its process
    has, is not known; or <qemu:commandline> changed since the start.
    """
    if not domain.is_running and domain.process_check.doubt is not None:
        raise Undecided(domain.process_check.doubt, *domain.evidence)
    if not domain.is_running:
        raise NotApplicable(f"the domain is {domain.state}: there is no running CPU", *domain.evidence)
    vendor = cpu.require_vendor()
    difference = domain.changed_since_start(vendor, kvm_module.offers_nested)
    require(difference is None, Cause.POWER_CYCLE_PENDING, difference or "", *domain.evidence)
    contradiction = domain.process_check.contradiction
    doubt = domain.process_check.doubt or domain.why_not_compared(vendor)
    is_as_described = contradiction is None
    require(is_as_described, Cause.PROCESS_CONTRADICTS_DEFINITION, contradiction or "", *domain.evidence)
    if doubt is not None:
        raise Undecided(doubt, *domain.evidence)
    if domain.is_transient:
        raise NotApplicable("the domain is transient: it has no persistent definition", *domain.evidence)


@control(
    "DOM-CPU-04",
    severity=Severity.MEDIUM,
    causes=[Cause.SAVED_STATE_HAS_OLD_CPU, Cause.SAVED_STATE_HAS_FLAG],
    architectures=[X86, S390X],
    references=["https://libvirt.org/formatsnapshot.html"],
)
def test_nothing_saved_brings_an_older_cpu_back(
    domain: Domain, saved_states: SavedStates, cpu: Cpu, policy: Policy
) -> None:
    """No saved state of the domain would bring back a CPU that violates the policy.

    A managed save, or a snapshot with memory, brings back the CPU that the domain was saved with, whatever the
    definition says by now. The next start restores a managed save automatically.

    Unknown: a saved state cannot be read, there are too many of them, or its CPU is host-passthrough or maximum, whose
    flag depends on the value of nested at that time; or a cluster does not show the CPU of a saved guest.
    """
    if domain.process is not None and domain.file is None:
        raise NotApplicable("the guest is not libvirt's, so it has no saved state", *domain.evidence)
    if not domain.runs_under_kvm:
        raise NotApplicable(f"the domain type is {domain.type}: it does not run under KVM", *domain.evidence)
    vendor = cpu.require_vendor()
    wrong = policy.either(saved_states.lacking(vendor), saved_states.having(vendor))
    cause = policy.either(Cause.SAVED_STATE_HAS_OLD_CPU, Cause.SAVED_STATE_HAS_FLAG)
    reasons = "; ".join(f"{each.source}: {each.promise(vendor).reason}" for each in wrong)
    require(not wrong or policy.is_withheld, cause, reasons, *(each.evidence for each in wrong))
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

    One polarity: where nesting is forbidden, nothing has to guarantee the flag.
    """
    if domain.process is not None and domain.file is None:
        raise NotApplicable("the guest is not started by libvirt", *domain.evidence)
    weakness = next(filter(None, (domain.cpu.weakness(vendor.flag) for vendor in cpu.vendors)), None)
    require(weakness is None, Cause.FLAG_NOT_GUARANTEED, weakness or "", *domain.evidence)
