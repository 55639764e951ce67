from nested_kvm import (
    KNOWN,
    S390X,
    X86,
    Answer,
    Assists,
    Cause,
    DeviceRule,
    Finding,
    KernelFaults,
    KnownExposure,
    KvmAbsence,
    KvmDevice,
    KvmModule,
    Neighbours,
    Nested,
    Nesting,
    NotApplicable,
    NotChecked,
    PageTables,
    Policy,
    Severity,
    Undecided,
    control,
    require,
)

ABSENCES = (
    Cause.MODULE_NOT_LOADED,
    Cause.MODULE_LOAD_FAILED,
    Cause.MEMORY_ENCRYPTION,
    Cause.KERNEL_LACKS_KVM,
    Cause.MODULES_GONE,
    Cause.NO_MODULES,
    Cause.OTHER_HYPERVISOR_OWNS_CPU,
)
NESTED_GUESTS = "https://docs.kernel.org/virt/kvm/x86/running-nested-guests.html"


@control(
    "L0-KVM-01",
    severity=Severity.CRITICAL,
    only=Nested.REQUIRED,
    causes=[Cause.DEV_KVM_MISSING, Cause.DEV_KVM_NOT_PERMITTED],
    architectures=KNOWN,
)
def test_dev_kvm_is_the_kvm_device(kvm_device: KvmDevice) -> None:
    """/dev/kvm is the character device 10:232, and can be opened.

    KVM creates every VM through it; a plain file or another device in its place cannot run one,
    nor can one whose mode lets no account open it.

    One polarity: where nesting is forbidden, a host that cannot run VMs at all complies.
    """
    require(kvm_device.is_kvm, Cause.DEV_KVM_MISSING, f"/dev/kvm {kvm_device.flaw}", *kvm_device.evidence)
    require(
        not kvm_device.is_open_to_no_one,
        Cause.DEV_KVM_NOT_PERMITTED,
        f"the mode of /dev/kvm, {kvm_device.mode}, lets no account but root open it",
        *kvm_device.evidence,
    )


@control(
    "L0-KVM-03",
    decides=True,
    severity=Severity.CRITICAL,
    only=Nested.REQUIRED,
    causes=ABSENCES,
    architectures=KNOWN,
    references=[NESTED_GUESTS],
)
def test_the_vendors_module_is_loaded(kvm_module: KvmModule, kvm_absence: KvmAbsence) -> None:
    """The KVM module of the CPU's vendor is loaded, or is built in and started.

    The other vendor's module cannot drive this CPU, although `modprobe` exits with 0. One that is built in keeps its
    directory and its parameters in sysfs when it gives up; then there is no /dev/kvm, and the kernel logs why. The
    kernel log distinguishes a load that failed from one that was never attempted, and gives the kernel's reason; what
    is on disk shows whether this kernel has the module at all.

    One polarity: where nesting is forbidden, a module that is not loaded exposes nothing; L0-KVM-04 evaluates one that
    is.

    Unknown: how nesting works on the machine's architecture is not known; or the module is built in, there is no
    /dev/kvm, and what is left of the kernel's log does not say why.
    """
    if kvm_module.start_is_open:
        message = f"{kvm_module.name} is built in, and neither /dev/kvm nor the kernel's log shows whether it started"
        raise Undecided(message, *kvm_module.evidence)
    if kvm_module.is_loaded:
        return
    if kvm_module.other_hypervisors:
        owner = ", ".join(kvm_module.other_hypervisors)
        raise Finding(
            Cause.OTHER_HYPERVISOR_OWNS_CPU, f"{owner} is loaded, {kvm_module.name} is not", *kvm_module.evidence
        )
    why = f": {kvm_absence.reason}" if kvm_absence.reason else ""
    raise Finding(kvm_absence.cause, f"{kvm_module.name} {kvm_module.lack}{why}", *kvm_absence.evidence)


@control(
    "L0-KVM-04",
    decides=True,
    severity=Severity.HIGH,
    causes=[Cause.NESTED_OFF, Cause.NESTED_ON],
    architectures=KNOWN,
    references=[NESTED_GUESTS],
)
def test_nested_matches_the_policy(kvm_module: KvmModule, nesting: Nesting, policy: Policy) -> None:
    """The running KVM module offers nested virtualization as the policy requires.

    With it off, a guest sees neither vmx nor svm, whatever its definition requests; with it on, every guest
    that has the flag can run its own guests. On arm64 the kernel's command line requests it, and its log shows
    whether the CPU supports it; on ppc64 the parameter is on by default, and only a bare POWER9 or later supports it.

    Unknown: on arm64 the kernel's log does not show how KVM started, or the kernel is too old to log it; on ppc64
    the machine is not known to be a bare POWER9 with the radix MMU; or nesting is forbidden, and PVM (`kvm_pvm`) is
    loaded, which runs VMs without the vendor's module.
    """
    is_open = not policy.is_required and bool(kvm_module.pvm)
    if not kvm_module.is_loaded and not is_open:
        raise NotApplicable(f"{kvm_module.name} {kvm_module.lack}: there is no running value", *kvm_module.evidence)
    if kvm_module.is_loaded:
        _check_running_value(nesting, policy)
    if is_open:
        message = "kvm_pvm runs VMs without the flag: whether its guests can run VMs is not known"
        raise Undecided(message, *kvm_module.pvm, *kvm_module.evidence)


def _check_running_value(nesting: Nesting, policy: Policy) -> None:
    if nesting.offered is Answer.UNKNOWN:
        raise Undecided(nesting.reason, *nesting.evidence)
    require(
        (nesting.offered is Answer.YES) is policy.is_required,
        policy.either(Cause.NESTED_OFF, Cause.NESTED_ON),
        nesting.reason,
        *nesting.evidence,
    )


@control("L0-KVM-02", severity=Severity.MEDIUM, causes=[Cause.DEV_KVM_WORLD_ACCESSIBLE], architectures=KNOWN)
def test_dev_kvm_is_open_to_its_group_only(kvm_device: KvmDevice, known_exposure: KnownExposure) -> None:
    """Only root and its group may open /dev/kvm.

    Anyone who may open it can run a virtual machine, and with it reach the largest kernel interface that guests have.
    On a host whose kernel has a published vulnerability that guests reach (L0-SEC-03) every account can then become
    root, so there the severity is high.
    """
    if not kvm_device.is_kvm:
        raise NotApplicable("/dev/kvm is not the KVM device", *kvm_device.evidence)
    if not kvm_device.is_open_to_others:
        return
    message, severity = f"its mode is {kvm_device.mode}", None
    if known_exposure.is_exposed:
        message += f", so every account reaches {', '.join(known_exposure.ids)}"
        severity = Severity.HIGH
    raise Finding(Cause.DEV_KVM_WORLD_ACCESSIBLE, message, *kvm_device.evidence, severity=severity)


@control(
    "L0-KVM-05", severity=Severity.MEDIUM, only=Nested.REQUIRED, causes=[Cause.ASSIST_OFF, Cause.PAGING_NOT_OFFERED]
)
def test_the_assists_are_on(kvm_module: KvmModule, assists: Assists) -> None:
    """The hardware assists that nesting needs are on: ept or npt, and shadow VMCS, vgif and vls where there are any.

    Without them two kernels emulate every memory access and every exit of an L2 in turn. On a CPU without ept or npt
    an L2 may not start at all, whatever is configured.

    One polarity: they make nested guests fast; where nesting is forbidden there are none.

    Unknown: the module has none of these parameters, or one of them may not be read.
    """
    if not kvm_module.is_loaded:
        raise NotApplicable(f"{kvm_module.name} {kvm_module.lack}", *kvm_module.evidence)
    message = f"{' and '.join(assists.not_offered)} is off, for the CPU does not offer it"
    require(not assists.not_offered, Cause.PAGING_NOT_OFFERED, message, *assists.evidence)
    require(not assists.off, Cause.ASSIST_OFF, f"off: {', '.join(assists.off)}", *assists.evidence)
    if assists.unreadable or not assists.read:
        raise Undecided(f"{kvm_module.name} does not show {', '.join(assists.unreadable) or 'any of its assists'}")


@control("L0-KVM-06", severity=Severity.MEDIUM, only=Nested.REQUIRED, causes=[Cause.HYPERVISORS_SHARE_CPU])
def test_kvm_shares_the_cpu_with_no_other_hypervisor(kvm_module: KvmModule, neighbours: Neighbours) -> None:
    """No other hypervisor can take the CPU from KVM.

    Since Linux 6.12 KVM holds the CPU from the moment it is loaded. With `enable_virt_at_load=N` it does not, and the
    driver of VirtualBox or VMware beside it may take it: guests of either then end, or do not start.

    One polarity: it endangers guests that run, and where nesting is forbidden L0-KVM-04 decides.
    """
    if not kvm_module.is_loaded:
        raise NotApplicable(f"{kvm_module.name} {kvm_module.lack}", *kvm_module.evidence)
    names = ", ".join(neighbours.names)
    message = f"{names} is loaded beside {kvm_module.name}, which runs with enable_virt_at_load=N"
    require(not neighbours.may_take_the_cpu, Cause.HYPERVISORS_SHARE_CPU, message, *neighbours.evidence)


@control(
    "L0-KVM-07", severity=Severity.HIGH, only=Nested.REQUIRED, causes=[Cause.PAGE_TABLES_REFUSED], architectures=[S390X]
)
def test_page_tables_for_guests_can_be_made(page_tables: PageTables) -> None:
    """On s390x the kernel gives the program that starts VMs page tables for guests.

    It does so for all programs with vm.allocate_pgste=1, and without it for those only that are marked in their own
    file, as most builds of QEMU are. Without either KVM_CREATE_VM fails, although sie, kvm and /dev/kvm are there.

    One polarity: where nesting is forbidden, no VM has to start.
    """
    require(not page_tables.refused, Cause.PAGE_TABLES_REFUSED, page_tables.reason, *page_tables.evidence)
    if not page_tables.are_for_all:
        raise NotChecked(page_tables.reason)


@control(
    "L0-KVM-08",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.DEVICE_MODE_REVERTS],
    architectures=KNOWN,
)
def test_the_mode_of_dev_kvm_lasts(kvm_device: KvmDevice, device_rule: DeviceRule) -> None:
    """What mode, group and owner of /dev/kvm permit, udev's rules permit as well.

    udev sets them whenever it handles the device: at boot, when the module is loaded, when udev is restarted or
    triggered. A chmod, chgrp or chown without a rule lasts until then, and the accounts that relied on it cannot open
    the device. Groups are compared where the number of the rule's is known: the group kvm of /etc/group, or a number.

    Unknown: udev's rules were not inspected, none sets the mode, one has conditions that were not evaluated, or the
    device has an access control list that no rule gives it.

    One polarity: where nesting is forbidden, no account has to open the device.
    """
    if not kvm_device.is_kvm:
        raise NotApplicable("/dev/kvm is not the KVM device", *kvm_device.evidence)
    lost = device_rule.takes_from(kvm_device)
    message = f"/dev/kvm is {kvm_device.mode}, udev makes it {device_rule.text}: {lost} will not open it any more"
    require(lost is None, Cause.DEVICE_MODE_REVERTS, message, *kvm_device.evidence, *device_rule.evidence)
    if kvm_device.has_acl and not device_rule.gives_acl:
        raise Undecided("an access control list beside the mode is not udev's: it may be gone", *kvm_device.evidence)
    if device_rule.mode is None:
        raise Undecided(device_rule.unknown or "udev's rules set no valid mode", *device_rule.evidence)


@control("L0-KVM-09", severity=Severity.HIGH, only=Nested.REQUIRED, causes=[Cause.KERNEL_FAULT], architectures=[X86])
def test_the_kernel_can_nest(kernel_faults: KernelFaults) -> None:
    """The running kernel is not known for a fault because of which nesting fails.

    Single releases have such faults, which no setting shows: an L2 that starts hangs its L1, or a guest that can nest
    does not start. Only the releases of which that was published are known.

    Unknown: the fault was reported of this release, and its patch is not known: it may depend on the machine.

    One polarity: where nesting is forbidden, none of it has to work.
    """
    found = "; ".join(f"{each.effect} ({each.source})" for each in kernel_faults.all)
    message = f"on {kernel_faults.release} {found}"
    require(not kernel_faults.settled, Cause.KERNEL_FAULT, message, *kernel_faults.evidence)
    if kernel_faults.reported:
        raise Undecided(f"it was reported that {message}", *kernel_faults.evidence)
