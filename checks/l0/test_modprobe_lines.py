from nested_kvm import POWER, S390X, X86, Cause, Nested, NestedLines, NextCmdline, Severity, Undecided, control, require

MODPROBE_D = "https://man7.org/linux/man-pages/man5/modprobe.d.5.html"


@control(
    "L0-PER-04",
    severity=Severity.MEDIUM,
    causes=[Cause.DEAD_LINE, Cause.CONTRADICTED_LINE],
    architectures=[X86, S390X, POWER],
    references=[MODPROBE_D],
)
def test_no_line_is_dead_or_contradicted(nested_lines: NestedLines) -> None:
    """No modprobe.d line for nested is ineffective or overridden.

    A file with the wrong suffix, a masked name, a line that a comment swallows, `options kvm nested=1`: each looks
    like a setting and sets nothing, so changing it changes nothing either.

    Unknown: no such line was found, and a file may not be read, what the next load does cannot be determined, or it
    is not known whether two lines agree.
    """
    dead, contradicted = nested_lines.dead, nested_lines.contradicted
    require(not dead, Cause.DEAD_LINE, nested_lines.dead_text, *dead)
    require(not contradicted, Cause.CONTRADICTED_LINE, nested_lines.contradicted_text, *contradicted)
    if nested_lines.unknown or nested_lines.undecided:
        raise Undecided(nested_lines.unknown or nested_lines.undecided)


@control(
    "L0-PER-05",
    severity=Severity.HIGH,
    only=Nested.REQUIRED,
    causes=[Cause.LOAD_BLOCKED],
    architectures=[X86, S390X, POWER],
    references=[MODPROBE_D],
)
def test_nothing_keeps_the_module_from_loading(nested_lines: NestedLines, next_cmdline: NextCmdline) -> None:
    """Nothing prevents the KVM module from loading at boot.

    A blacklist line stops udev from loading it, an install line replaces it, the kernel's module_blacklist refuses it
    or a module that it depends on, nomodule refuses them all, initcall_blacklist skips its start, clearcpuid hides the
    CPU's flag from it: the module runs today, and is missing after the next boot. That holds for today's command line
    and for that of the next boot.

    One polarity: keeping the module from loading is a way to forbid nesting, which L0-PER-01 accepts.

    Unknown: no such line was found, and a file may not be read, what the next load does cannot be determined, an alias
    line may lead udev to another module, or the boot loader's configuration could not be read or evaluated completely.
    """
    blocking = (*nested_lines.blocking, *next_cmdline.blocking)
    require(not blocking, Cause.LOAD_BLOCKED, "the KVM module will not be loaded at boot", *blocking)
    if nested_lines.unknown:
        raise Undecided(nested_lines.unknown)
    if nested_lines.redirecting:
        raise Undecided("an alias line may lead udev to another module", *nested_lines.redirecting)
    if next_cmdline.unread:
        raise Undecided(next_cmdline.unread, *next_cmdline.read)
