"""The head of the report: the verdict, the score, what was inspected and by which policies."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Policy
from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.lines import observed_line, unchanged_line
from nested_kvm.reporting.verdict_text import no_verdict
from nested_kvm.results.run import Run
from nested_kvm.results.run_verdict import Conclusion, RunVerdict, conclude

_EVALUATED: Final = (Outcome.PASS, Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on the run, and what it rests on. `tone` is good, bad or unsure."""

    text: str
    reason: str
    tone: str


@dataclass(frozen=True, slots=True)
class ReportContext:
    """The options and policies of a run that its report states."""

    policies: Mapping[Policy, int]
    """The number of targets of each policy."""
    fail_on: Severity
    gate: bool
    only_new: bool = False
    """Whether only findings that are new since the baseline make the run fail."""


def verdict(run: Run, context: ReportContext) -> Verdict:
    """Word the run's verdict, and what it rests on."""
    found = conclude(run)
    shortfall = f"{found.shortfall[:1].upper()}{found.shortfall[1:]}." if found.shortfall else ""
    text = found.verdict.value.capitalize()
    if found.verdict is RunVerdict.COMPLIANT:
        return Verdict(text, _compliant(found, context), "good")
    if found.verdict is RunVerdict.NOT_COMPLIANT:
        return Verdict(text, f"{_found(run)}. {shortfall}".strip(), "bad")
    if found.verdict is RunVerdict.NOT_DECIDED:
        blocks = "With --gate that blocks as a finding does. " if context.gate else ""
        return Verdict(text, f"{_open(found)} {blocks}{shortfall}".strip(), "unsure")
    if found.verdict is RunVerdict.PARTIAL:
        return Verdict(text, shortfall, "unsure")
    reason = no_verdict(found)
    return Verdict(text, shortfall or f"{reason[0].upper()}{reason[1:]}.", "bad")


def _open(found: Conclusion) -> str:
    counts = f"{counted(found.unknowns, 'unknown')} and {counted(found.errors, 'error')}"
    return f"Something could not be inspected or determined: {counts}, {found.grave:,} of severity high or critical."


def _compliant(found: Conclusion, context: ReportContext) -> str:
    if found.known or found.other:
        counted_one = f"new since the baseline and {context.fail_on}" if context.only_new else str(context.fail_on)
        return f"There are findings, but none is {counted_one} or more severe."
    if found.waived or found.accepted:
        what = " and ".join(["finding"] * bool(found.waived) + ["unknown"] * bool(found.accepted))
        return f"Every {what} is covered by a waiver."
    rest = f"; {found.unknowns:,} could not be determined" if found.unknowns else ""
    return f"Every requirement that could be evaluated is met{rest}."


def _found(run: Run) -> str:
    findings = run.findings()
    where = len({finding.target for finding in findings})
    return f"{counted(len(findings), 'finding')} on {where:,} of {counted(len(run.targets), 'target')}"


def score(run: Run) -> float | None:
    """Return the percentage of evaluated controls that pass; errors and unknowns count as evaluated.

    Rounded down: 100 means all.
    """
    evaluated = sum(run.count(outcome) for outcome in _EVALUATED)
    return int(1000 * run.count(Outcome.PASS) / evaluated) / 10 if evaluated else None


def severities(run: Run) -> list[tuple[Severity, int]]:
    """Return the number of open findings of each severity, the most severe first."""
    counts = Counter(finding.severity for finding in run.findings())
    return [(severity, counts[severity]) for severity in reversed(Severity)]


def outcomes(run: Run) -> list[tuple[Outcome, int]]:
    """Return the number of results with each outcome, in the words of results.json."""
    return [(outcome, run.count(outcome)) for outcome in Outcome if run.count(outcome)]


def targets(run: Run) -> str:
    """Return what was inspected, and how much of it could not be."""
    levels = Counter(target.level for target in run.targets)
    words = {TargetLevel.L0: "host", TargetLevel.L1: "guest", TargetLevel.AUTO: "machine of unknown level"}
    parts = [counted(levels[level], word) for level, word in words.items() if levels[level]]
    failed = sum(target.error is not None for target in run.targets)
    from_host = sum(target.error is None and not target.observed for target in run.targets)
    rest = f"; {failed:,} could not be inspected" if failed else ""
    rest += f"; {counted(from_host, 'guest')} checked from the host only" if from_host else ""
    return ", ".join(parts) + rest


def policies(scope: ReportContext) -> list[str]:
    """Return each policy in a sentence, the most common first."""
    ordered = sorted(scope.policies.items(), key=lambda item: -item[1])
    return [f"{counted(count, 'target')}: {_policy(policy)}" for policy, count in ordered]


def policies_of(policies_of_targets: Iterable[Policy]) -> Mapping[Policy, int]:
    """Count the policies."""
    return Counter(policies_of_targets)


def when(run: Run) -> str:
    """Return when the run started, in UTC, how long it took, and when its evidence was read."""
    started = moment(run.started)
    duration = None if run.finished is None else _duration(int((run.finished - run.started).total_seconds()))
    return ", ".join(filter(None, (started, duration, observed_line(run), unchanged_line(run))))


def moment(time: datetime) -> str:
    """Return a time for people."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def counted(count: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _duration(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"  # noqa: PLR2004 - a minute


def _policy(policy: Policy) -> str:
    if not policy.binding:
        return "nothing is required"
    return f"nested {policy.nested}, persistence {policy.persistence}, undeclared domains: {policy.undeclared}"
