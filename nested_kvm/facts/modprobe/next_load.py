"""What the next load of a KVM module does with the parameter `nested`, and what determines it.

kmod's own answer decides (`modprobe --show-depends`); the configuration only shows where a value comes from.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Evidence, Reading, Status
from nested_kvm.facts.kernel.cmdline import builtin_parameter
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.parameter import (
    Assignment,
    ParameterType,
    Setting,
    parameter_types,
    read_parameter,
)
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.config import ModprobeConfiguration, ModuleOptions, normalised
from nested_kvm.facts.modprobe.config_line import ModprobeLine
from nested_kvm.facts.modprobe.default_value import default_nested
from nested_kvm.facts.modprobe.hpage import with_hpage
from nested_kvm.facts.modprobe.load_outcome import Authority, LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.show_depends import ShowDepends

PARAMETER = "nested"
_OF_S390X = "kvm"
"""Only there this module has the parameter."""


def next_load_of(bundle: Bundle, module: KvmModule, configuration: ModprobeConfiguration) -> NextLoad:
    """What the next load of the module does: by kmod's answer, the parameters' types and the kernel's command line.

    The running value stands in where only an unknown kernel default decides. What the evidence does not decide is
    `LoadOutcome.UNKNOWN`, with the reason.

    Raises:
        ObservationError: one of those sources is not in the evidence.
    """
    oracle = bundle.reading(sources.show_depends(module.name))
    release = KernelRelease.parse(bundle.text(sources.KERNEL_RELEASE).strip())
    cmdline, modinfo = bundle.text(sources.CMDLINE), bundle.reading(sources.module_parameters(module.name))
    found = _next_load(oracle, modinfo, configuration, module, release, cmdline)
    return with_hpage(found, oracle, release) if module.name == _OF_S390X else found


def _next_load(  # noqa: PLR0917 - one reading each
    oracle: Reading,
    modinfo: Reading,
    configuration: ModprobeConfiguration,
    module: KvmModule,
    release: KernelRelease,
    cmdline: str,
) -> NextLoad:
    unknown = NextLoad(normalised(module.name), LoadOutcome.UNKNOWN)
    if not oracle.is_ok:
        return replace(unknown, reason=_oracle_failure(oracle), origin=(oracle.as_evidence(),))
    types = parameter_types(modinfo.text) if modinfo.is_ok else {}
    if types and PARAMETER not in types:
        reason = f"{unknown.module} has no parameter {PARAMETER}"
        return replace(unknown, reason=reason, origin=(modinfo.as_evidence(),))
    answer = ShowDepends.parse(module.name, oracle.text)
    case = _Case(unknown, answer, _kind(types), release, oracle, configuration, _running(module))
    return case.built_in(cmdline) if answer.is_built_in else case.loadable()


@dataclass(frozen=True, slots=True)
class _Case:
    """The readings that decide the next load of one module."""

    unknown: NextLoad
    answer: ShowDepends
    kind: ParameterType | None
    release: KernelRelease
    oracle: Reading
    configuration: ModprobeConfiguration
    running: bool | None

    def built_in(self, cmdline: str) -> NextLoad:
        """Determine the outcome for a built-in module: modprobe.d is ignored, an invalid value is logged."""
        base = replace(self.unknown, is_built_in=True)
        found = builtin_parameter(cmdline, self.answer.module, PARAMETER, self.kind, self.release)
        last = found.last_valid
        losers = [each for each in found.assignments if each is not last]
        contradicted = [each for each in losers if last is None or each.setting is not last.setting]
        base = replace(base, overridden=_on_cmdline(losers), contradicted=_on_cmdline(contradicted))
        if last is None:
            return self._default(base)
        quoted = (Evidence(sources.CMDLINE, last.word.text),)
        return _settled(base, last, self.kind, Authority.COMMAND_LINE, quoted)

    def loadable(self) -> NextLoad:
        """Determine the outcome for a module that kmod loads."""
        if self.answer.commands:
            return self._command()
        if self.configuration.unreadable:
            paths = ", ".join(self.configuration.unreadable)
            return replace(self.unknown, reason=f"kmod ignored what it may not read: {paths}")
        if self.answer.options is None:
            return self._absent()
        return self._inserted(self.answer.options)

    def _inserted(self, options: str) -> NextLoad:
        trace = self._trace(options)
        found = read_parameter(_known_bytes(options, trace), PARAMETER, self.kind, self.release)
        decisive = found.decisive
        if decisive is None:
            return self._default(self.unknown)
        if trace is None:
            origin = (Evidence(self.oracle.source, decisive.word.text),)
            return _settled(self.unknown, decisive, self.kind, Authority.UNTRACED, origin)
        line = trace.line_at(decisive.word.offset)
        authority = Authority.COMMAND_LINE if line.path == sources.CMDLINE else Authority.FILE
        losers = _lines(trace, found.assignments, line)
        contradicted = _lines(trace, [each for each in found.assignments if each.setting is not decisive.setting], line)
        base = replace(self.unknown, overridden=losers, contradicted=contradicted)
        return _settled(base, decisive, self.kind, authority, (line.evidence,))

    def _trace(self, options: str) -> ModuleOptions | None:
        """Find the lines that make up the string; None where they do not match it."""
        trace = self.configuration.options_for(self.answer.module)
        return trace if trace.text == options else None

    def _default(self, base: NextLoad) -> NextLoad:
        setting = default_nested(self.answer.module, self.release)
        source = Evidence("kernel default", f"{self.answer.module} of {self.release.text or 'an unknown release'}")
        base = replace(base, authority=Authority.DEFAULT, origin=(source,))
        if setting is not Setting.UNDECIDED:
            return replace(base, outcome=LoadOutcome(setting.value))
        if self.running is not None:
            return replace(base, outcome=LoadOutcome.ON if self.running else LoadOutcome.OFF)
        return replace(base, reason=f"the default of {self.answer.module} in this kernel is unknown")

    def _command(self) -> NextLoad:
        command = self.answer.commands[-1]
        whose = "a module that it depends on" if self.answer.is_named else "the module"
        line = self.configuration.install_for(self.answer.module)
        ours = line is not None and command.startswith(line.argument)
        return replace(
            self.unknown,
            outcome=LoadOutcome.COMMAND,
            value=command,
            reason=f"an install command replaces {whose}: {command}",
            origin=(line.evidence,) if line and ours else (Evidence(self.oracle.source, f"install {command}"),),
        )

    def _absent(self) -> NextLoad:
        aliases = self.configuration.aliases_of(self.answer.module)
        why = "an alias redirects it" if aliases else f"{self.oracle.source} does not name it"
        return replace(
            self.unknown,
            reason=f"{self.answer.module} would not be loaded: {why}",
            origin=tuple(line.evidence for line in aliases) or (self.oracle.as_evidence(),),
        )


def _kind(types: dict[str, str]) -> ParameterType | None:
    name = types.get(PARAMETER, "")
    return ParameterType(name) if name in {"bool", "int"} else None


def _settled(
    base: NextLoad,
    assignment: Assignment,
    kind: ParameterType | None,
    authority: Authority,
    origin: tuple[Evidence, ...],
) -> NextLoad:
    outcome = {Setting.ON: LoadOutcome.ON, Setting.OFF: LoadOutcome.OFF, Setting.INVALID: LoadOutcome.FAILS}
    word = assignment.word.text
    reasons = {
        Setting.INVALID: f"{word} is not {_needed(kind)}",
        Setting.UNDECIDED: f"the effect of {word} depends on the parameter's type or on the kernel",
    }
    return replace(
        base,
        outcome=outcome.get(assignment.setting, LoadOutcome.UNKNOWN),
        authority=authority,
        value=word,
        reason=reasons.get(assignment.setting, ""),
        origin=origin,
    )


def _needed(kind: ParameterType | None) -> str:
    return {ParameterType.INT: "an integer", ParameterType.BOOL: "a boolean"}.get(kind, "valid") if kind else "valid"


def _known_bytes(options: str, trace: ModuleOptions | None) -> str:
    """Mark the bytes that kmod itself adds at a file's last backslash: each is 0xff, a letter to the kernel."""
    replaced = "\N{REPLACEMENT CHARACTER}"
    if trace is None or options.count(replaced) != sum(line.ends_at_backslash for line in trace.lines):
        return options
    # The replacement has as many bytes as the character that it replaces, so that offsets stay true.
    return options.replace(replaced, "\N{FULLWIDTH LATIN SMALL LETTER Y}")


def _lines(trace: ModuleOptions, assignments: Iterable[Assignment], winner: ModprobeLine) -> tuple[Evidence, ...]:
    lines = (trace.line_at(each.word.offset) for each in assignments)
    return tuple(dict.fromkeys(line.evidence for line in lines if line != winner))


def _on_cmdline(assignments: Iterable[Assignment]) -> tuple[Evidence, ...]:
    return tuple(Evidence(sources.CMDLINE, each.word.text) for each in assignments)


def _oracle_failure(oracle: Reading) -> str:
    if oracle.status is Status.MISSING:
        return "kmod is not installed"
    if "not found" in oracle.text:
        return "kmod does not find the module"
    return f"{oracle.source} did not answer ({oracle.status.value})"


def _running(module: KvmModule) -> bool | None:
    try:
        return module.nested if module.is_loaded else None
    except NotObserved:
        return None
