"""The lines of modprobe.d that name nested, and whether each does what its author meant."""

import re
from dataclasses import dataclass

from nested_kvm.facts.kernel_cmdline import refused_modules
from nested_kvm.facts.load_outcome import NextLoad
from nested_kvm.facts.modprobe import ModprobeConfiguration
from nested_kvm.facts.modprobe_line import Directive
from nested_kvm.verdict import Evidence

_WORD = re.compile(r"nested\S*")


@dataclass(frozen=True, slots=True)
class NestedLines:
    """`dead` lines are never obeyed, `contradicted` ones lose; `blocking` lines keep the module from loading."""

    is_complete: bool
    """Whether every file that kmod reads was read."""
    dead: tuple[Evidence, ...]
    contradicted: tuple[Evidence, ...]
    blocking: tuple[Evidence, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All of them."""
        return (*self.dead, *self.contradicted, *self.blocking)


def nested_lines_of(
    configuration: ModprobeConfiguration, next_load: NextLoad, module: str, cmdline: str
) -> NestedLines:
    """The lines that speak of nested under KVM, in the configuration of the module that this CPU needs."""
    return NestedLines(
        is_complete=configuration.is_complete,
        dead=tuple(_dead(configuration)),
        contradicted=tuple(item for item in next_load.overridden if _differs(item, next_load)),
        blocking=tuple(_blocking(configuration, next_load, module, cmdline)),
    )


def _dead(configuration: ModprobeConfiguration) -> list[Evidence]:
    """Those that kmod passes over, and `options kvm nested=`: on x86 kvm itself has no such parameter."""
    lines = [line for line in configuration.dead_lines("nested") if "kvm" in line.text]
    void = [
        line
        for line in configuration.obeyed(Directive.OPTIONS)
        if line.subject == "kvm" and _WORD.search(line.argument)
    ]
    reasons = [Evidence(line.source, f"{line.text.strip()} ({line.flaw})") for line in lines]
    return reasons + [Evidence(line.source, f"{line.text.strip()} (kvm has no such parameter)") for line in void]


def _differs(item: Evidence, next_load: NextLoad) -> bool:
    return next_load.value is not None and set(_WORD.findall(item.text)) != {next_load.value}


def _blocking(configuration: ModprobeConfiguration, next_load: NextLoad, module: str, cmdline: str) -> list[Evidence]:
    lines = [line.evidence for line in configuration.blacklisting(module)]
    if next_load.is_blocked:
        lines += next_load.origin
    if module in refused_modules(cmdline):
        lines.append(Evidence("/proc/cmdline", f"module_blacklist={module}"))
    return lines
