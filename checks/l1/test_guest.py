from nested_kvm import (
    KNOWN,
    POWER,
    S390X,
    X86,
    Answer,
    BootLoad,
    Cause,
    Confinement,
    Cpu,
    DeviceRule,
    EncryptedMemory,
    Finding,
    Hypervisors,
    Identity,
    KvmAbsence,
    KvmAccess,
    KvmDevice,
    KvmModule,
    L2Boot,
    Nested,
    NotApplicable,
    NotChecked,
    Pair,
    Platform,
    Policy,
    Severity,
    Target,
    Undecided,
    WithoutFlag,
    control,
    require,
)

NO_KVM_IN_ENCRYPTED = "the guest's memory is encrypted, so it cannot run KVM"


@control(
    "L1-CPU-01",
    decides=True,
    severity=Severity.CRITICAL,
    causes=[Cause.FLAG_MISSING, Cause.FLAG_PRESENT, Cause.MEMORY_ENCRYPTION],
    architectures=[X86, S390X],
)
def test_every_vcpu_shows_the_flag_as_the_policy_says(
    cpu: Cpu, encrypted_memory: EncryptedMemory, without_flag: WithoutFlag, policy: Policy
) -> None:
    """Every vCPU of the guest shows the virtualization flag, or none does, as the policy requires.

    The domain's XML only asks for the flag; the guest's own /proc/cpuinfo shows whether it got it. A guest with
    encrypted memory (SEV, TDX) gets none. Where nesting is forbidden no vCPU may show the flag of another vendor
    either: a guest can be shown another vendor than its host's.

    Unknown: nesting is forbidden, no vCPU shows the flag, and the guest may run VMs all the same: PVM (`kvm_pvm`) is
    loaded in it, which needs no flag, or its own command line hides the flag (`clearcpuid=`).
    """
    if policy.is_required and not cpu.all_show_flag and encrypted_memory.seen:
        raise Finding(Cause.MEMORY_ENCRYPTION, NO_KVM_IN_ENCRYPTED, *cpu.evidence, *encrypted_memory.seen)
    foreign = f", and some show {', '.join(cpu.foreign_flags)}" if cpu.foreign_flags else ""
    require(
        policy.either(cpu.all_show_flag, cpu.none_shows_flag and not cpu.foreign_flags),
        policy.either(Cause.FLAG_MISSING, Cause.FLAG_PRESENT),
        f"{cpu.count_with_flag} of {len(cpu.flags)} vCPUs show {cpu.flag}{foreign}",
        *cpu.evidence,
    )
    if not policy.is_required and without_flag.signs:
        message = f"no vCPU shows the flag, and the guest may run VMs all the same: {without_flag.text}"
        raise Undecided(message, *cpu.evidence, *without_flag.signs)


@control("L1-CPU-03", severity=Severity.LOW, causes=[Cause.NOT_A_GUEST], architectures=[X86])
def test_the_guest_is_a_virtual_machine(platform: Platform, confinement: Confinement) -> None:
    """The guest is a virtual machine: its CPUs or its names show a hypervisor below it.

    A container shows the CPU, the modules and the names of the machine that it runs on: what is read in it is that
    machine's, and a physical machine in its place is no guest at all.

    Unknown: the target shows no hypervisor, and looks like a container, or DMI names no machine.
    """
    if platform.is_virtual:
        return
    if confinement.reason:
        raise Undecided(confinement.reason, *confinement.evidence)
    if platform.dmi is None:
        raise Undecided("its CPUs do not show the hypervisor flag, and nothing names the machine", *platform.evidence)
    raise Finding(Cause.NOT_A_GUEST, f"it shows no hypervisor; DMI names {platform.dmi}", *platform.evidence)


@control(
    "L1-KVM-01",
    decides=True,
    severity=Severity.CRITICAL,
    only=Nested.REQUIRED,
    causes=[
        Cause.GUEST_KERNEL_LACKS_KVM,
        Cause.MODULE_NOT_LOADED,
        Cause.MODULE_LOAD_FAILED,
        Cause.MEMORY_ENCRYPTION,
        Cause.MODULES_GONE,
        Cause.NO_MODULES,
    ],
    architectures=KNOWN,
)
def test_the_guests_own_kvm_is_ready(
    kvm_module: KvmModule, kvm_device: KvmDevice, kvm_absence: KvmAbsence, encrypted_memory: EncryptedMemory
) -> None:
    """The guest's own KVM module is loaded and its /dev/kvm exists.

    Where the guest has the flag and not the module, its kernel lacks KVM or could not load it. Where no flag shows
    nesting (arm64, ppc64), a loaded module is the proof that the guest has it.

    One polarity: a guest that must not nest needs no KVM, and whether it has the flag is for L1-CPU-01.
    """
    is_ready = kvm_module.is_loaded and kvm_device.is_kvm
    signs = encrypted_memory.signs if is_ready else encrypted_memory.seen
    if signs:
        raise Finding(Cause.MEMORY_ENCRYPTION, NO_KVM_IN_ENCRYPTED, *signs)
    if is_ready:
        return
    what = "/dev/kvm is not the KVM device" if kvm_module.is_loaded else f"{kvm_module.name} {kvm_module.lack}"
    if kvm_module.is_loaded or kvm_absence.cause is Cause.MODULE_NOT_LOADED:
        why = "" if kvm_module.is_loaded or not kvm_absence.reason else f"; {kvm_absence.reason}"
        raise Finding(Cause.MODULE_NOT_LOADED, f"{what}{why}", *kvm_module.evidence, *kvm_device.evidence)
    raise Finding(kvm_absence.cause, f"{what}: {kvm_absence.reason}", *kvm_absence.evidence)


@control(
    "L1-KVM-02",
    severity=Severity.HIGH,
    only=Nested.REQUIRED,
    causes=[Cause.DEV_KVM_NOT_PERMITTED],
    architectures=KNOWN,
)
def test_the_account_may_open_dev_kvm(kvm_device: KvmDevice, kvm_access: KvmAccess, confinement: Confinement) -> None:
    """The account that will run the L2s may open /dev/kvm.

    The account is the one in the inventory, else the one that the guest's libvirt runs QEMU as, else the one that
    logged in. Root may always open the device, which proves nothing about another account.

    Unknown: root logged in and no account is configured, the account does not exist in the guest, the device has an
    ACL and getfacl is not installed, or the target looks like a container, where the device cgroup decides as well.

    One polarity: where nesting is forbidden, no account has to run an L2.
    """
    if not kvm_device.is_kvm:
        raise NotApplicable("/dev/kvm is not the KVM device", *kvm_device.evidence)
    if kvm_access.may_open is Answer.UNKNOWN:
        raise Undecided(kvm_access.reason, *kvm_access.evidence)
    if confinement.reason and kvm_access.may_open is Answer.YES:
        message = f"{confinement.reason}: its device cgroup decides whether /dev/kvm may be opened"
        raise Undecided(message, *kvm_access.evidence, *confinement.evidence)
    permitted = kvm_access.may_open is Answer.YES
    require(permitted, Cause.DEV_KVM_NOT_PERMITTED, f"/dev/kvm: {kvm_access.reason}", *kvm_access.evidence)


@control(
    "L1-KVM-03",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.DEVICE_MODE_REVERTS],
    architectures=KNOWN,
)
def test_the_mode_of_dev_kvm_lasts(kvm_device: KvmDevice, device_rule: DeviceRule) -> None:
    """What mode, group and owner of the guest's /dev/kvm permit, udev's rules permit as well.

    udev sets them whenever it handles the device: at boot, when the module is loaded, when udev is restarted or
    triggered. A chmod, chgrp or chown without a rule lasts until then.

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


@control(
    "L1-KVM-04",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.LOADED_MANUALLY],
    architectures=[X86, S390X, POWER],
)
def test_a_boot_of_the_guest_loads_the_module_again(boot_load: BootLoad) -> None:
    """The guest's KVM module that is loaded now is loaded by its next boot as well.

    udev loads it by its alias, unless a blacklist line forbids that; a line in /etc/modules or modules-load.d names it
    where there is no alias. A module that was loaded with modprobe in spite of either is missing after a reboot.

    One polarity: where nesting is forbidden, the guest needs no KVM.

    Unknown: whether the module has an alias was not read, what kmod would do could not be, an alias line may lead udev
    to another module, or no rule of udev names /dev/kvm, so that another program may load modules at boot.
    """
    if boot_load.loads is None:
        raise NotApplicable(boot_load.reason, *boot_load.evidence)
    if boot_load.loads is Answer.UNKNOWN:
        raise Undecided(boot_load.reason, *boot_load.evidence)
    require(boot_load.loads is Answer.YES, Cause.LOADED_MANUALLY, boot_load.reason, *boot_load.evidence)


@control("L1-CPU-02", severity=Severity.MEDIUM, causes=[Cause.WRONG_GUEST], architectures=None)
def test_it_is_the_guest_that_the_inventory_names(pair: Pair, identity: Identity, target: Target) -> None:
    """The guest is the one that the inventory names.

    libvirt gives a guest its domain's uuid. Where an address was reassigned, or belongs to a guest of another host,
    another machine answers at it.

    Unknown: the guest does not show its uuid, which only root may read, or its VMM was not given one.
    """
    if target.host is None:
        raise NotApplicable("the inventory names no host of this guest, so there is no domain to compare with")
    if identity.uuid is None:
        raise Undecided(f"the guest's uuid is not shown{'' if identity.is_root else ': only root may read it'}")
    if not pair.domain.uuid:
        raise Undecided("its VMM was not given a uuid, so there is none to compare with", *pair.domain.evidence)
    message = f"the guest's uuid is {identity.uuid}, the domain's is {pair.domain.uuid}"
    require(identity.is_domain(pair.domain.uuid), Cause.WRONG_GUEST, message, *pair.domain.evidence)


@control(
    "L1-HYP-01",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.NO_HYPERVISOR_INSTALLED],
    architectures=KNOWN,
)
def test_a_hypervisor_is_installed(hypervisors: Hypervisors) -> None:
    """A hypervisor that can use KVM is installed in the guest.

    Even with the flag, the module and the device, running an L2 needs a VMM: one that uses KVM, not one that only
    emulates another architecture.

    One polarity: where nesting is forbidden no VMM has to be there, and an installed one is harmless without the flag.
    """
    message = "no virtual machine monitor was found in PATH"
    require(bool(hypervisors.paths), Cause.NO_HYPERVISOR_INSTALLED, message, *hypervisors.evidence)


@control("L1-NST-01", severity=Severity.CRITICAL, only=Nested.REQUIRED, causes=[Cause.L2_DOES_NOT_BOOT])
def test_an_l2_boots_and_answers(l2_boot: L2Boot) -> None:
    """A tiny test VM (L2) boots under KVM in the guest and answers.

    Flag, module and device are the prerequisites; an L2 that answers is the proof. Only --active starts one.

    Unknown: neither QEMU nor python3 is installed; the account may not open /dev/kvm; QEMU is missing a dependency, and
    python3 cannot replace it; or the L2 boots without QEMU but not with it, or QEMU failed without a reason.

    One polarity: an L2 is never started where nesting is forbidden.
    """
    if l2_boot.answers is None:
        raise NotChecked(l2_boot.reason)
    if l2_boot.answers is Answer.UNKNOWN:
        raise Undecided(l2_boot.reason, *l2_boot.evidence)
    require(l2_boot.answers is Answer.YES, Cause.L2_DOES_NOT_BOOT, l2_boot.reason, *l2_boot.evidence)
