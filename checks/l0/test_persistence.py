from nested_kvm import (
    KNOWN,
    POWER,
    S390X,
    X86,
    Answer,
    Authority,
    BootLoad,
    Cause,
    Finding,
    Holders,
    KvmAbsence,
    KvmModule,
    LastingSettings,
    Nested,
    NextCmdline,
    NextLoad,
    NotApplicable,
    Persistence,
    Policy,
    Severity,
    Undecided,
    control,
    require,
)

MODPROBE_D = "https://man7.org/linux/man-pages/man5/modprobe.d.5.html"


@control(
    "L0-PER-01",
    decides=True,
    severity=Severity.CRITICAL,
    causes=[
        Cause.PERSISTED_VALUE_INVALID,
        Cause.PERSISTED_OFF,
        Cause.PERSISTED_ON,
        Cause.CMDLINE_OVERRIDES,
    ],
    architectures=[X86, S390X, POWER],
    references=[MODPROBE_D],
)
def test_the_next_load_matches_the_policy(
    next_load: NextLoad, kvm_module: KvmModule, kvm_absence: KvmAbsence, policy: Policy
) -> None:
    """The next load of the KVM module succeeds, with nested as the policy requires.

    A value that is invalid for its parameter's type (`nested=y` for kvm_amd, which takes an integer) changes
    nothing today, and leaves the host without /dev/kvm after the next boot. That holds for every option of the module
    and of those that it depends on. Where nesting is forbidden, a module that nothing loads complies.

    Unknown: kmod is not installed, does not answer or does not find the module; a file may not be read, or kmod's
    answer ignores one; the kernel refused the last load for a reason that kmod does not know; a module that is built in
    made no /dev/kvm, and the kernel's log does not say why; an install command or an alias replaces the module; the
    type of a parameter is unknown; the kernel's version does not determine what a value or the default does, as
    with the backports of enterprise kernels; or nesting is forbidden, and PVM (`kvm_pvm`) is loaded, whose next load no
    option of the vendor's module decides, or a line of `/etc/modules` or modules-load.d names a module that is
    blacklisted, or may.
    """
    is_left_alone = next_load.is_left_alone(is_loaded=kvm_module.is_loaded)
    if not policy.is_required and (next_load.never_happens or is_left_alone is Answer.YES):
        _check_no_pvm(kvm_module, policy)
        return
    if not policy.is_required and is_left_alone is Answer.UNKNOWN and next_load.nested:
        raise Undecided(next_load.loaded_by_name, *next_load.origin, *next_load.blacklisting)
    if next_load.fails:
        message = f"{next_load.module} will not load after a reboot: {next_load.reason}"
        raise Finding(Cause.PERSISTED_VALUE_INVALID, message, *next_load.origin)
    if next_load.nested is None:
        raise Undecided(_undetermined(next_load), *next_load.origin)
    by_cmdline = next_load.authority is Authority.COMMAND_LINE and not next_load.is_built_in
    require(
        next_load.nested is policy.is_required,
        Cause.CMDLINE_OVERRIDES if by_cmdline else policy.either(Cause.PERSISTED_OFF, Cause.PERSISTED_ON),
        f"nested will be {next_load.outcome.value} after the next load of {next_load.module}: {next_load.said_by}",
        *next_load.origin,
        *next_load.overridden,
    )
    _check_no_pvm(kvm_module, policy)
    if kvm_module.start_is_open:
        raise Undecided(f"{next_load.module} is built in, and whether it starts is not known", *kvm_module.evidence)
    if not kvm_module.is_loaded and kvm_absence.doubt:
        start = f"{next_load.module} is built in" if next_load.is_built_in else f"kmod would load {next_load.module}"
        raise Undecided(f"{start}, and {kvm_absence.doubt}", *kvm_absence.evidence)
    if next_load.doubt:
        raise Undecided(f"{next_load.module} may not load after a reboot: {next_load.doubt}", *next_load.origin)


@control(
    "L0-PER-02",
    severity=Severity.MEDIUM,
    causes=[Cause.RELOAD_PENDING],
    architectures=[X86, S390X, POWER],
    references=[MODPROBE_D],
)
def test_the_running_value_is_the_next(kvm_module: KvmModule, next_load: NextLoad, holders: Holders) -> None:
    """The running value of nested matches the configured one.

    A changed file does nothing until the module is reloaded, which is impossible while a guest runs: the change
    comes as a surprise with the next boot.

    Unknown: what the next load does cannot be determined, for the reasons given in L0-PER-01.
    """
    if not kvm_module.is_loaded:
        raise NotApplicable(f"{kvm_module.name} is not loaded: there is no running value", *kvm_module.evidence)
    if next_load.fails:
        raise NotApplicable(f"the next load fails, which L0-PER-01 reports: {next_load.reason}", *next_load.origin)
    if next_load.nested is None:
        raise Undecided(_undetermined(next_load), *next_load.origin)
    require(
        kvm_module.nested is next_load.nested,
        Cause.RELOAD_PENDING,
        f"{kvm_module.name} runs with nested={kvm_module.nested_text}, but its next load turns nested "
        f"{next_load.outcome.value} ({next_load.said_by}); {holders.text}",
        *kvm_module.evidence,
        *next_load.origin,
        *holders.evidence,
    )


@control(
    "L0-PER-03",
    severity=Severity.HIGH,
    causes=[Cause.NOT_EXPLICIT],
    architectures=[X86, S390X, POWER],
    references=[MODPROBE_D],
)
def test_the_setting_is_explicit(next_load: NextLoad, policy: Policy) -> None:
    """A configuration line sets nested explicitly, where the policy requires one.

    A kernel's default may change with the next kernel; a commented, masked or overridden line sets nothing. Where
    nesting is forbidden, an install line that keeps the module from loading is explicit as well.

    Unknown: what the next load does cannot be determined, for the reasons given in L0-PER-01, or no line that was
    read accounts for kmod's answer.
    """
    if policy.persistence is not Persistence.EXPLICIT:
        raise NotApplicable("the policy's persistence is `effective`: a kernel default that complies is enough")
    if not policy.is_required and next_load.never_happens:
        return
    if next_load.is_explicit is None:
        raise Undecided(f"cannot determine what sets nested for {next_load.module}: {next_load.reason}")
    right = next_load.is_explicit and next_load.nested is policy.is_required
    require(right, Cause.NOT_EXPLICIT, f"nested is set by {next_load.said_by}", *next_load.origin)


@control(
    "L0-PER-06",
    severity=Severity.MEDIUM,
    causes=[Cause.CMDLINE_OVERRIDES],
    architectures=KNOWN,
    references=["https://docs.kernel.org/admin-guide/kernel-parameters.html"],
)
def test_the_next_boots_command_line_does_not_override(next_cmdline: NextCmdline, policy: Policy) -> None:
    """The next boot's kernel command line does not override the policy.

    It takes precedence over modprobe.d, and /proc/cmdline shows only the current boot's. It can set nested, give a
    module an option that it refuses, or keep one from loading. On arm64 it alone decides: without kvm-arm.mode=nested
    the next boot does not nest, whatever the current one does.

    Unknown: no override was found, and a file could not be read, a boot entry or GRUB's configuration uses a variable
    or a script that was not read, a kernel image has its own command line, what a value does depends on the kernel, no
    supported boot loader configuration was found, or the current command line sets nested as required and that of the
    next boot, or of one of its entries, does not.
    """
    against = next_cmdline.against(nested=policy.is_required)
    words = ", ".join(f"{each.text} in {each.source}" for each in against)
    require(not against, Cause.CMDLINE_OVERRIDES, f"the next boot's kernel command line has {words}", *against)
    if next_cmdline.unknown:
        raise Undecided(next_cmdline.unknown, *next_cmdline.evidence)
    lost = next_cmdline.lost_for(nested=policy.is_required)
    if lost:
        message = f"{lost[0].text} is on the current kernel command line, but not on each that the next boot may use"
        raise Undecided(message, *lost, *next_cmdline.evidence)


@control(
    "L0-PER-07",
    severity=Severity.HIGH,
    causes=[Cause.VOLATILE_CONFIGURATION],
    architectures=[X86, S390X, POWER],
)
def test_what_sets_nested_outlives_the_next_boot(
    lasting_settings: LastingSettings, next_load: NextLoad, policy: Policy
) -> None:
    """The file that sets nested is still there after the next boot.

    An image-based or live system keeps changes to /etc in memory: a file that was written there decides until the
    next boot, and not after it. What the image or the kernel's default says then is what counts.

    Unknown: what is mounted at /etc was not inspected, or the file is lost and the kernel's default is not known.
    """
    lost = lasting_settings.lost
    if not lasting_settings.relied_upon:
        raise NotApplicable("no file of modprobe.d decides what the next load does", *next_load.origin)
    if lasting_settings.unknown:
        raise Undecided(lasting_settings.unknown, *lasting_settings.relied_upon)
    is_right_without = next_load.default is policy.is_required and policy.persistence is not Persistence.EXPLICIT
    if not lost or is_right_without:
        return
    message = f"{lost[0].text} in {lost[0].source} is gone after the next boot: {lasting_settings.reason}"
    if next_load.default is None and policy.persistence is not Persistence.EXPLICIT:
        raise Undecided(f"{message}, and the default of {next_load.module} is not known", *lost)
    raise Finding(Cause.VOLATILE_CONFIGURATION, message, *lost)


@control(
    "L0-PER-08",
    severity=Severity.MEDIUM,
    only=Nested.REQUIRED,
    causes=[Cause.LOADED_MANUALLY],
    architectures=[X86, S390X, POWER],
    references=["https://www.freedesktop.org/software/systemd/man/latest/modules-load.d.html"],
)
def test_a_boot_loads_the_module_again(boot_load: BootLoad) -> None:
    """The KVM module that is loaded now is loaded by the next boot as well.

    udev loads it by its alias for this kind of CPU; a line in /etc/modules or modules-load.d names it where there is no
    such alias. A module that was loaded with modprobe, and by neither of them, is missing after the next boot.

    One polarity: where nesting is forbidden, a module that is missing complies.

    Unknown: whether the module has an alias was not read, what kmod would do could not be, an alias line may lead udev
    to another module, or no rule of udev names /dev/kvm, so that another program may load modules at boot.
    """
    if boot_load.loads is None:
        raise NotApplicable(boot_load.reason, *boot_load.evidence)
    if boot_load.blocked_by:
        raise NotApplicable(f"L0-PER-05 reports it: {boot_load.reason}", *boot_load.blocked_by)
    if boot_load.loads is Answer.UNKNOWN:
        raise Undecided(boot_load.reason, *boot_load.evidence)
    require(boot_load.loads is Answer.YES, Cause.LOADED_MANUALLY, boot_load.reason, *boot_load.evidence)


def _check_no_pvm(kvm_module: KvmModule, policy: Policy) -> None:
    if not policy.is_required and kvm_module.pvm:
        raise Undecided("kvm_pvm runs VMs without the flag: whether a boot loads it is not known", *kvm_module.pvm)


def _undetermined(next_load: NextLoad) -> str:
    return f"cannot determine the next load of {next_load.module}: {next_load.reason}"
