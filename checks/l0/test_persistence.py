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
    """The next load of the KVM module succeeds, with nested as the policy requires.

    A value that is invalid for the parameter's type (`nested=y` for kvm_amd, which takes an integer) changes
    nothing today, and leaves the host without /dev/kvm after the next boot.

    Unknown: kmod is not installed, does not answer or does not find the module; a file may not be read; an install
    command or an alias replaces the module; or the kernel's version does not determine what a value or the default
    does.
    """
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
    if not kvm_module.is_loaded or next_load.fails:
        raise NotApplicable(next_load.reason or f"{kvm_module.name} is not loaded", *next_load.origin)
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

    A kernel's default may change with the next kernel; a commented, masked or overridden line sets nothing.

    Unknown: what the next load does cannot be determined, for the reasons given in L0-PER-01, or no line that was
    read accounts for kmod's answer.
    """
    if policy.persistence is not Persistence.EXPLICIT:
        raise NotApplicable("the policy's persistence is `effective`: a kernel default that complies is enough")
    if next_load.is_explicit is None:
        raise Undecided(f"cannot determine what sets nested for {next_load.module}: {next_load.reason}")
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

    It takes precedence over modprobe.d, and /proc/cmdline shows only the current boot's.

    Unknown: no override was found, and a file could not be read, its entries take $kernelopts from elsewhere, what
    the value does depends on the kernel, or no supported boot loader configuration was found.
    """
    against = next_cmdline.against(nested=policy.is_required)
    words = ", ".join(f"{each.text} in {each.source}" for each in against)
    require(not against, Cause.CMDLINE_OVERRIDES, f"the next boot's kernel command line has {words}", *against)
    if next_cmdline.unknown:
        raise Undecided(next_cmdline.unknown, *next_cmdline.evidence)


def _undetermined(next_load: NextLoad) -> str:
    return f"cannot determine the next load of {next_load.module}: {next_load.reason}"
