from nested_kvm import (
    POWER,
    S390X,
    X86,
    Authority,
    Cause,
    Finding,
    Holders,
    KvmModule,
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
def test_the_next_load_matches_the_policy(next_load: NextLoad, policy: Policy) -> None:
    """The next load of the KVM module succeeds, with nested as the policy says.

    A value that is invalid for the parameter's type (`nested=y` for kvm_amd, which takes a number) changes
    nothing today, and leaves the host without /dev/kvm after the next boot.

    Unknown: there is no kmod, it does not answer or does not find the module; a file may not be read; an install
    command or an alias stands in the module's place; or the kernel's version does not tell what a value or the
    default does.
    """
    if next_load.fails:
        message = f"the next load of {next_load.module} fails: {next_load.reason}"
        raise Finding(Cause.PERSISTED_VALUE_INVALID, message, *next_load.origin)
    if next_load.nested is None:
        raise Undecided(f"what the next load of {next_load.module} does: {next_load.reason}", *next_load.origin)
    by_cmdline = next_load.authority is Authority.COMMAND_LINE and not next_load.is_built_in
    require(
        next_load.nested is policy.is_required,
        Cause.CMDLINE_OVERRIDES if by_cmdline else policy.either(Cause.PERSISTED_OFF, Cause.PERSISTED_ON),
        f"the next load of {next_load.module} turns nested {next_load.outcome.value}, by {next_load.said_by}",
        *next_load.origin,
        *next_load.overridden,
    )


@control(
    "L0-PER-02",
    severity=Severity.MEDIUM,
    causes=[Cause.RELOAD_PENDING],
    architectures=[X86, S390X, POWER],
    references=[MODPROBE_D],
)
def test_the_running_value_is_the_next(kvm_module: KvmModule, next_load: NextLoad, holders: Holders) -> None:
    """The loaded module runs with the value that its next load would give it.

    A changed file does nothing until the module is reloaded, and it cannot be while a guest runs: the change
    comes as a surprise with the next boot.

    Unknown: what the next load does cannot be told, for the reasons of L0-PER-01.
    """
    if not kvm_module.is_loaded or next_load.fails:
        raise NotApplicable(next_load.reason or f"{kvm_module.name} is not loaded", *next_load.origin)
    if next_load.nested is None:
        raise Undecided(f"what the next load of {next_load.module} does: {next_load.reason}", *next_load.origin)
    require(
        kvm_module.nested is next_load.nested,
        Cause.RELOAD_PENDING,
        f"{kvm_module.name} runs with nested={kvm_module.nested_text}, and its next load turns it "
        f"{next_load.outcome.value}, by {next_load.said_by}; {holders.text}",
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
    """A configuration line that the kernel will see sets nested, where the policy asks for one.

    A kernel's default may change with the next kernel; a commented, masked or overridden line sets nothing.

    Unknown: what the next load does cannot be told, for the reasons of L0-PER-01, or no line that was read accounts
    for what kmod says.
    """
    if policy.persistence is not Persistence.EXPLICIT:
        raise NotApplicable("the policy's persistence is `effective`: a default that fits is enough")
    if next_load.is_explicit is None:
        raise Undecided(f"what sets nested for {next_load.module} cannot be told: {next_load.reason}")
    right = next_load.is_explicit and next_load.nested is policy.is_required
    require(right, Cause.NOT_EXPLICIT, f"nested is set by {next_load.said_by}", *next_load.origin)


@control(
    "L0-PER-06",
    severity=Severity.MEDIUM,
    causes=[Cause.CMDLINE_OVERRIDES],
    architectures=[X86, S390X, POWER],
    references=["https://docs.kernel.org/admin-guide/kernel-parameters.html"],
)
def test_the_next_boots_command_line_does_not_override(next_cmdline: NextCmdline, policy: Policy) -> None:
    """The next boot's kernel command line does not override the policy.

    It has the last word over modprobe.d, and /proc/cmdline shows only that of the boot that was.

    Unknown: no override was found, and a file could not be read, its entries take $kernelopts from elsewhere, what
    the value does depends on the kernel, or no known boot loader's file is there.
    """
    against = next_cmdline.against(nested=policy.is_required)
    words = ", ".join(f"{each.text} in {each.source}" for each in against)
    require(not against, Cause.CMDLINE_OVERRIDES, f"the next boot is given {words}", *against)
    if next_cmdline.unknown:
        raise Undecided(next_cmdline.unknown, *next_cmdline.evidence)
