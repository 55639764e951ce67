"""What the report says first: the verdict, the score, and who was held against what."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Severity
from nested_kvm.model.policy import Policy
from nested_kvm.model.verdict import Outcome
from nested_kvm.results.run import ExitStatus, Run

_JUDGED: Final = (Outcome.PASS, Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run in a word, and what it rests on. `tone` is good, bad or unsure."""

    text: str
    reason: str
    tone: str


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What the run was asked, beside its targets."""

    policies: Mapping[Policy, int]
    """How many targets each policy speaks of."""
    fail_on: Severity
    gate: bool
    only_new: bool = False
    """Whether only what is new since the baseline makes the run fail."""


def verdict(run: Run, scope: ReportContext) -> Verdict:
    """Say what the exit status says, and whether it speaks of everything."""
    if run.complete:
        return _verdict(run, scope)
    if run.exit_status in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        ended = _verdict(run, scope)
        return replace(ended, reason=f"{ended.reason} {_shortfall(run)}")
    return Verdict("Incomplete", _shortfall(run), "bad")


def _shortfall(run: Run) -> str:
    return f"{run.shortfall[0].upper()}{run.shortfall[1:]}."


def _verdict(run: Run, scope: ReportContext) -> Verdict:
    blocks = "With --gate that blocks as a finding does." if scope.gate else ""
    if run.exit_status == ExitStatus.COMPLIANT and run.findings():
        counted_one = f"new since the baseline and {scope.fail_on}" if scope.only_new else str(scope.fail_on)
        return Verdict("Compliant", f"There are findings, but none is {counted_one} or severer.", "good")
    if run.exit_status == ExitStatus.COMPLIANT and run.waived():
        return Verdict("Compliant", "Somebody answers for every finding.", "good")
    if run.exit_status == ExitStatus.COMPLIANT:
        undecided = run.count(Outcome.UNKNOWN)
        rest = f"; {undecided:,} could not be decided" if undecided else ""
        return Verdict("Compliant", f"Every requirement that could be judged holds{rest}.", "good")
    if run.exit_status == ExitStatus.FINDING and run.findings():
        return Verdict("Not compliant", f"{_found(run)}.", "bad")
    if run.exit_status in {ExitStatus.FINDING, ExitStatus.NOT_OBSERVED}:
        return Verdict("Not decided", f"Something could not be looked at or decided. {blocks}".strip(), "unsure")
    return Verdict("No verdict", f"The run ended with exit status {run.exit_status}.", "bad")


def _found(run: Run) -> str:
    findings = run.findings()
    where = len({finding.target for finding in findings})
    return f"{counted(len(findings), 'finding')} on {where:,} of {counted(len(run.targets), 'target')}"


def score(run: Run) -> float | None:
    """How many of the requirements that had to be judged hold, in per cent; what could not be seen counts against it.

    Rounded down: 100 is only what is whole.
    """
    judged = sum(run.count(outcome) for outcome in _JUDGED)
    return int(1000 * run.count(Outcome.PASS) / judged) / 10 if judged else None


def severities(run: Run) -> list[tuple[Severity, int]]:
    """How many findings nobody answers for, of each severity, the severest first."""
    counts = Counter(finding.severity for finding in run.findings())
    return [(severity, counts[severity]) for severity in reversed(Severity)]


def outcomes(run: Run) -> list[tuple[Outcome, int]]:
    """How many results ended so, in the words of results.json."""
    return [(outcome, run.count(outcome)) for outcome in Outcome if run.count(outcome)]


def targets(run: Run) -> str:
    """What was looked at, and how much of it answered."""
    levels = Counter(target.level for target in run.targets)
    words = {TargetLevel.L0: "host", TargetLevel.L1: "guest", TargetLevel.AUTO: "machine of unknown level"}
    parts = [counted(levels[level], word) for level, word in words.items() if levels[level]]
    failed = sum(target.error is not None for target in run.targets)
    unasked = sum(target.error is None and not target.observed for target in run.targets)
    rest = f"; {failed:,} could not be looked at" if failed else ""
    rest += f"; {counted(unasked, 'guest')} only from outside" if unasked else ""
    return ", ".join(parts) + rest


def policies(scope: ReportContext) -> list[str]:
    """Each policy in a sentence, the most common first."""
    ordered = sorted(scope.policies.items(), key=lambda item: -item[1])
    return [f"{counted(count, 'target')}: {_policy(policy)}" for policy, count in ordered]


def policies_of(policies_of_targets: Iterable[Policy]) -> Mapping[Policy, int]:
    """Count the policies."""
    return Counter(policies_of_targets)


def when(run: Run) -> str:
    """When the run was, in UTC, and how long it took."""
    started = moment(run.started)
    if run.finished is None:
        return started
    return f"{started}, {_duration(int((run.finished - run.started).total_seconds()))}"


def moment(time: datetime) -> str:
    """A time for people."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def counted(count: int, word: str) -> str:
    """A number and its word."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _duration(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"  # noqa: PLR2004 - a minute


def _policy(policy: Policy) -> str:
    if not policy.binding:
        return "nothing is required"
    return f"nested {policy.nested}, persistence {policy.persistence}, undeclared domains: {policy.undeclared}"
