"""The lines of modprobe.d that name nested, and whether each does what its author meant."""

import re
from dataclasses import dataclass

from nested_kvm.facts.kernel.cmdline import refused_modules
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.config_line import Directive
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.model.verdict import Evidence

_WORD = re.compile(r"nested\S*")


@dataclass(frozen=True, slots=True)
class NestedLines:
    """`dead` lines are never obeyed, `contradicted` ones lose; `blocking` lines keep the module from loading.

    Source: the files of modprobe.d in each of kmod's directories, `/proc/cmdline`, and `modprobe --show-depends`.
    """

    unknown: str
    """Why there may be more of them than were found; empty: there are not."""
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
        unknown=_unknown(configuration, next_load),
        dead=tuple(_dead(configuration, module, is_built_in=next_load.is_built_in)),
        contradicted=next_load.contradicted,
        blocking=() if next_load.is_built_in else tuple(_blocking(configuration, next_load, module, cmdline)),
    )


def _unknown(configuration: ModprobeConfiguration, next_load: NextLoad) -> str:
    if not configuration.is_complete:
        return "not every file that kmod reads could be read"
    return next_load.reason if next_load.authority is None and not next_load.is_blocked else ""


def _dead(configuration: ModprobeConfiguration, module: str, *, is_built_in: bool) -> list[Evidence]:
    """Those that kmod passes over, `options kvm nested=` (only on s390x kvm has it), and all of a built-in."""
    reasons = {} if module == "kvm" else {"kvm": "kvm has no such parameter"}
    reasons |= {module: "the module is built in"} if is_built_in else {}
    lines = [line for line in configuration.dead_lines("nested") if "kvm" in line.text]
    void = [
        line
        for line in configuration.obeyed(Directive.OPTIONS)
        if line.number and line.subject in reasons and _WORD.search(line.argument)
    ]
    passed_over = [Evidence(line.source, f"{line.text.strip()} ({line.flaw})") for line in lines]
    return passed_over + [Evidence(line.source, f"{line.text.strip()} ({reasons[line.subject]})") for line in void]


def _blocking(configuration: ModprobeConfiguration, next_load: NextLoad, module: str, cmdline: str) -> list[Evidence]:
    lines = [line.evidence for line in configuration.blacklisting(module)]
    if next_load.is_blocked:
        lines += next_load.origin
    refused = refused_modules(cmdline) & {module, "kvm"}
    return lines + [Evidence("/proc/cmdline", f"module_blacklist={name}") for name in sorted(refused)]
