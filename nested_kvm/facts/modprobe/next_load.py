"""What the next load of a KVM module does with the parameter `nested`, and what determines it.

kmod's own answer decides (`modprobe --show-depends`); the configuration only shows where a value comes from.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Evidence, Reading, Status
from nested_kvm.facts.kernel.cmdline import builtin_parameter
from nested_kvm.facts.kernel.parameter import (
    Assignment,
    ParameterType,
    Setting,
    parameter_type,
    parameter_types,
    read_parameter,
)
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.boot_load import naming_lines
from nested_kvm.facts.modprobe.config import ModprobeConfiguration, ModuleOptions, normalised
from nested_kvm.facts.modprobe.config_line import Directive, ModprobeLine
from nested_kvm.facts.modprobe.default_value import default_nested
from nested_kvm.facts.modprobe.hpage import with_hpage
from nested_kvm.facts.modprobe.load_outcome import Authority, LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.module_info import ModuleInfo, module_info_of, own_parameters
from nested_kvm.facts.modprobe.module_options import OptionFault, option_faults
from nested_kvm.facts.modprobe.show_depends import ShowDepends

PARAMETER = "nested"
_MASK = "*"
"""In place of what may be secret."""
_OF_S390X = "kvm"
"""Only there this module has the parameter."""


def next_load_of(bundle: Bundle, module: str, configuration: ModprobeConfiguration) -> NextLoad:
    """What the next load of the module does: by kmod's answer, the parameters' types and the kernel's command line.

    What the evidence does not decide is `LoadOutcome.UNKNOWN`, with the reason. The running value decides nothing: it
    may have been given to `modprobe` as an argument.

    Raises:
        ObservationError: one of those sources is not in the evidence.
    """
    oracle = bundle.reading(sources.show_depends(module))
    release = KernelRelease.parse(bundle.text(sources.KERNEL_RELEASE).strip())
    cmdline, modinfo = bundle.text(sources.CMDLINE), own_parameters(bundle, module)
    blacklisting = tuple(line.evidence for line in configuration.blacklisting(normalised(module)) if line.number)
    default = {Setting.ON: True, Setting.OFF: False}.get(default_nested(normalised(module), release))
    unknown = NextLoad(
        normalised(module),
        LoadOutcome.UNKNOWN,
        blacklisting=blacklisting,
        loaded_by_name=_loaded_by_name(bundle, normalised(module)),
        default=default,
    )
    if not oracle.is_ok:
        return replace(unknown, reason=_oracle_failure(oracle), origin=(oracle.as_evidence(),))
    types = parameter_types(modinfo.text) if modinfo.is_ok else {}
    if types and PARAMETER not in types:
        reason = f"{unknown.module} has no parameter {PARAMETER}"
        return replace(unknown, reason=reason, origin=(modinfo.as_evidence(),))
    answer = ShowDepends.parse(module, oracle.text)
    kind, info = parameter_type(types.get(PARAMETER, "")), module_info_of(bundle, unknown.module)
    case = _Case(unknown, answer, kind, release, oracle, configuration, info)
    found = case.built_in(cmdline) if answer.is_built_in else case.loadable()
    return with_hpage(found, oracle, release) if module == _OF_S390X else found


def _loaded_by_name(bundle: Bundle, module: str) -> str:
    reading = bundle.readings.get(sources.UDEV_RULES)
    named = next(naming_lines(bundle, module), None)
    if named is not None:
        return f"{named.text} in {named.source} may load it in spite of the blacklist line"
    if reading is None or not reading.is_ok:
        return "whether a list of modules names it, which is blacklisted, is not known"
    if "/udev/rules.d/" not in reading.text:
        return "no rule of udev names /dev/kvm: another program may load modules at boot in spite of blacklist lines"
    return ""


@dataclass(frozen=True, slots=True)
class _Case:
    """The readings that decide the next load of one module."""

    unknown: NextLoad
    answer: ShowDepends
    kind: ParameterType | None
    release: KernelRelease
    oracle: Reading
    configuration: ModprobeConfiguration
    info: ModuleInfo

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
        command = self._deciding_command()
        if command is not None:
            return self._command(command)
        if self.configuration.unreadable:
            paths = ", ".join(self.configuration.unreadable)
            return replace(self.unknown, reason=f"kmod ignored what it may not read: {paths}")
        if self.configuration.unobserved:
            paths = ", ".join(self.configuration.unobserved)
            return replace(self.unknown, reason=f"kmod may have ignored what was not inspected: {paths}")
        if self.answer.options is None:
            return self._absent()
        lacking = next(self._lacking(self.answer.module, self.answer.options), None)
        if lacking is not None:
            reason = f"{self.oracle.source} ignores {lacking.source}: {lacking.text.strip()}"
            return replace(self.unknown, reason=reason, origin=(lacking.evidence,))
        return self._with_faults(self._inserted(self.answer.options))

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

    def _lacking(self, module: str, options: str) -> Iterator[ModprobeLine]:
        """Yield the lines that kmod obeys at boot and that its answer lacks: it was asked in another environment."""
        lines, given = self.configuration.options_for(module).lines, set(options.split())
        return (line for line in lines if not set(line.argument.split()) <= given and _MASK not in line.argument)

    def _with_faults(self, found: NextLoad) -> NextLoad:
        """Check every option of every module that is inserted: one that is refused fails the whole load."""
        if found.fails:
            return found
        required = self.info.required_by(self.answer.module)
        faults = list(self._faults())
        refused = next((each for each in faults if each.is_certain and each.module in required), None)
        if refused is not None:
            authority, origin = self._origin_of(refused)
            failed = replace(found, outcome=LoadOutcome.FAILS, authority=authority, value=refused.word.text)
            return replace(failed, reason=refused.reason, origin=(origin,), refused=refused.module)
        doubts = [each.reason for each in faults]
        for each in self.answer.insertions:
            doubts += [
                f"{self.oracle.source} ignores {line.source}" for line in self._lacking(each.module, each.options)
            ]
        return replace(found, doubt=doubts[0]) if doubts else found

    def _faults(self) -> Iterator[OptionFault]:
        for each in self.answer.insertions:
            is_own = each.module == self.answer.module
            options = _known_bytes(each.options, self._trace(each.options)) if is_own else each.options
            types = self.info.parameters.get(each.module)
            yield from option_faults(each.module, options, types, self.release, beside=PARAMETER if is_own else "")

    def _origin_of(self, fault: OptionFault) -> tuple[Authority, Evidence]:
        lines = self.configuration.options_for(fault.module).lines
        line = next((each for each in lines if fault.word.text in each.argument), None)
        if line is None:
            return Authority.UNTRACED, Evidence(self.oracle.source, fault.word.text)
        return Authority.COMMAND_LINE if line.path == sources.CMDLINE else Authority.FILE, line.evidence

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
        return replace(base, reason=f"the default of {self.answer.module} in this kernel is unknown")

    def _deciding_command(self) -> str | None:
        """The last command in place of the module or of one that it needs: kmod ignores what a softdep comes to.

        Source: `kmod_module_probe_insert_module` in kmod's libkmod-module.c.
        """
        commands, module = self.answer.commands, self.answer.module
        if self.answer.is_named and module in self.info.depends:
            required = [self.configuration.install_for(name) for name in self.info.required_by(module)]
            others = [line for line in self.configuration.obeyed(Directive.INSTALL) if line not in required]
            commands = tuple(
                each
                for each in commands
                if not any(each.startswith(line.argument) for line in others)
                or any(line is not None and each.startswith(line.argument) for line in required)
            )
        return commands[-1] if commands else None

    def _command(self, command: str) -> NextLoad:
        is_other = self.answer.is_named
        whose = "a module that it depends on" if is_other else "the module"
        line = self.configuration.install_for(self.answer.module)
        ours = line is not None and command.startswith(line.argument)
        return replace(
            self.unknown,
            outcome=LoadOutcome.COMMAND,
            is_replaced=not is_other,
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
    if oracle.status is Status.NOT_COLLECTED:
        return oracle.text
    if "not found" in oracle.text:
        return "kmod does not find the module"
    return f"{oracle.source} did not answer ({oracle.status.value})"
