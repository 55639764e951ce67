"""The lines of modprobe.d that name nested, and whether each has the effect that it seems to have."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.modprobe.boot_cmdline import blocking_words, is_loadable
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.config_line import Directive
from nested_kvm.facts.modprobe.fnmatch import matches
from nested_kvm.facts.modprobe.load_outcome import LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.module_info import module_info_of
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import plural

_WORD = re.compile(r"nested\S*")
_ASKED_FOR = ("cpu:type:", "cpu:*", "x86cpu:", "char_major_10_232")
"""How patterns begin for what udev asks for, by the CPU, and what the kernel asks for when /dev/kvm is opened."""
_OWN_OF_X86 = ("char_major_10_232", "kvm")
"""What kvm itself names in its alias on x86, where no module of a vendor has that one (virt/kvm/kvm_main.c)."""
_NAMES = ("cpu:type:x86,ven0000fam0006mod003C:feature:,0001,0085,00C2,", "char_major_10_232")
"""Such names, for patterns that begin otherwise."""


@dataclass(frozen=True, slots=True)
class NestedLines:
    """The lines about nested that are `dead` (never obeyed) or `contradicted` (overridden), or `blocking` the load.

    Source: the files of modprobe.d in each of kmod's directories, `/proc/cmdline`, and `modprobe --show-depends`.
    """

    unknown: str
    """Why there may be more lines than were found; empty: there are none."""
    undecided: str
    """Why more lines may be dead or contradicted than were found, where all that kmod obeys are known."""
    dead: tuple[Evidence, ...]
    contradicted: tuple[Evidence, ...]
    blocking: tuple[Evidence, ...]
    redirecting: tuple[Evidence, ...] = ()
    """The alias lines by which udev, or the kernel, may load another module in place of this one."""

    @property
    def dead_text(self) -> str:
        """How many lines have no effect, as a sentence."""
        verb = "sets nested but has no effect" if len(self.dead) == 1 else "set nested but have no effect"
        return f"{plural(len(self.dead), 'line')} {verb}"

    @property
    def contradicted_text(self) -> str:
        """How many lines are overridden, as a sentence."""
        verb = "is overridden by another" if len(self.contradicted) == 1 else "are overridden by others"
        return f"{plural(len(self.contradicted), 'line')} {verb}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All lines that were found."""
        return (*self.dead, *self.contradicted, *self.blocking, *self.redirecting)


def nested_lines_of(configuration: ModprobeConfiguration, next_load: NextLoad, bundle: Bundle) -> NestedLines:
    """The lines about nested in the configuration of the KVM module that this CPU needs."""
    return NestedLines(
        unknown=_unknown(configuration, next_load),
        undecided=_undecided(configuration, next_load),
        dead=tuple(_dead(configuration, next_load.module, is_built_in=next_load.is_built_in)),
        contradicted=next_load.contradicted,
        blocking=tuple(_blocking(configuration, next_load, bundle)),
        redirecting=tuple(_redirecting(configuration, next_load)),
    )


def _unknown(configuration: ModprobeConfiguration, next_load: NextLoad) -> str:
    if not configuration.is_complete:
        return "a file that kmod reads could not be read"
    return next_load.reason if next_load.authority is None and not next_load.is_blocked else ""


def _undecided(configuration: ModprobeConfiguration, next_load: NextLoad) -> str:
    if configuration.unread:
        return f"{', '.join(configuration.unread)} could not be read"
    is_undecided = next_load.outcome is LoadOutcome.UNKNOWN and bool(next_load.overridden)
    return f"it is not known whether the lines agree: {next_load.reason}" if is_undecided else ""


def _dead(configuration: ModprobeConfiguration, module: str, *, is_built_in: bool) -> list[Evidence]:
    """Lines that kmod ignores, `options kvm nested=` (only s390x has it), and all lines for a built-in module."""
    reasons = {} if module == "kvm" else {"kvm": "kvm has no such parameter"}
    reasons |= {module: "the module is built in, so modprobe.d does not apply"} if is_built_in else {}
    lines = [line for line in configuration.dead_lines("nested") if "kvm" in line.text]
    void = [
        line
        for line in configuration.obeyed(Directive.OPTIONS)
        if line.number and line.subject in reasons and _WORD.search(line.argument)
    ]
    passed_over = [Evidence(line.source, f"{line.text.strip()} ({line.flaw})") for line in lines]
    return passed_over + [Evidence(line.source, f"{line.text.strip()} ({reasons[line.subject]})") for line in void]


def _blocking(configuration: ModprobeConfiguration, next_load: NextLoad, bundle: Bundle) -> Iterator[Evidence]:
    module, is_built_in = next_load.module, next_load.is_built_in
    if not is_built_in:
        yield from (line.evidence for line in configuration.blacklisting(module) if line.number)
        yield from next_load.origin if next_load.is_blocked else ()
    required = module_info_of(bundle, module).required_by(module)
    cmdline, loadable = bundle.text(sources.CMDLINE), is_loadable(bundle, module)
    for word in blocking_words(cmdline, required, module, is_built_in=is_built_in, is_loadable=loadable):
        yield Evidence(sources.CMDLINE, word)


def _redirecting(configuration: ModprobeConfiguration, next_load: NextLoad) -> Iterator[Evidence]:
    """Yield the alias lines that may match the name by which the module is asked for at boot.

    Where one matches, kmod reads no module's own aliases (`kmod_module_new_from_lookup` in libkmod-module.c).
    """
    if not next_load.is_built_in:
        for line in configuration.obeyed(Directive.ALIAS):
            may_match = line.subject.startswith(_ASKED_FOR) or any(matches(line.subject, name) for name in _NAMES)
            if may_match and line.argument != next_load.module and (line.subject, line.argument) != _OWN_OF_X86:
                yield line.evidence
