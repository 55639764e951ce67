"""`nested-kvm candidate`: would the guests that these files define get the flag? Without access to any host.

What the file alone decides is a pass or a finding; where the host's CPU or the cluster decides it is unknown, and the
reason is named. With `--evidence`, `--inventory` or `--hosts` the hosts are known, and it is a gate with `--candidate`.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Final

from nested_kvm.controls.catalogue import DeclaredControl, own_controls
from nested_kvm.controls.judge import judge
from nested_kvm.errors import UsageError
from nested_kvm.facts.definition.kubevirt_nodes import KubernetesNode
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.fleet.assumed_host import AssumedHost
from nested_kvm.fleet.candidate import Candidates, candidates_of, definition_paths, read_definition
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.form import Form
from nested_kvm.model.policy import Nested
from nested_kvm.model.verdict import Outcome
from nested_kvm.plugin.evaluation import evaluate
from nested_kvm.results.run import Result
from nested_kvm.util.home import HOME
from nested_kvm.util.text import plural, printable, visible, without_ci_commands

SCHEMA: Final = "nested-kvm-compliance/candidate/1"
OPTION: Final = "--candidate"
_CONTROLS: Final = ("DOM-CPU-01", "DOM-CPU-02", "DOM-CPU-05")
"""The controls of a definition that ask nothing of a running guest or of its host."""
_WORST_FIRST: Final = (Outcome.ERROR, Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS)
_STATUS: Final = {Outcome.ERROR: 6, Outcome.FAIL: 1, Outcome.UNKNOWN: 6, Outcome.PASS: 0}


def of_files(given: argparse.Namespace) -> int:
    """Print one verdict for each guest, and return the exit status: a finding is 1, whatever else is not known 6.

    Raises:
        UsageError: a file cannot be read or evaluated, or there is no guest.
    """
    candidates = _read(given)
    if not candidates.domains:
        if not given.skip_others:
            raise UsageError(f"{', '.join(candidates.without_guest[:3])}: defines no guest (--skip-others allows that)")
        sys.stdout.write(f"no guest in {plural(len(candidates.without_guest), 'file')}: nothing was evaluated\n")
        return 0
    verdicts = [
        _verdict(domain, candidates, node) for domain in candidates.domains for node in _nodes_for(domain, candidates)
    ]
    sys.stdout.write(_as_json(verdicts) if given.json else _as_text(verdicts, candidates))
    allowed = {Outcome.UNKNOWN} if given.allow_unknown else set()
    statuses = [0 if each.outcome in allowed else _STATUS[each.outcome] for each in verdicts]
    return 1 if 1 in statuses else max(statuses)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The results of one guest on one node, or on any host."""

    domain: Domain
    node: KubernetesNode | None
    results: Sequence[Result]

    @property
    def outcome(self) -> Outcome:
        """The worst of its results; where no control that decides was answered, it is not known."""
        found = {each.outcome for each in self.results}
        if Outcome.ERROR in found or Outcome.FAIL in found:
            return Outcome.ERROR if Outcome.ERROR in found else Outcome.FAIL
        decided = any(each.decides and each.outcome is Outcome.PASS for each in self.results)
        return Outcome.PASS if decided and Outcome.UNKNOWN not in found else Outcome.UNKNOWN

    @property
    def reasons(self) -> list[Result]:
        """The results that make the verdict."""
        own = [each for each in self.results if each.outcome is self.outcome]
        return [each for each in own if each.decides] if self.outcome is Outcome.PASS else own or list(self.results)

    def message(self, reason: Result) -> str:
        """Why it is so, in one line: of a pass the definition."""
        return printable(self.domain.cpu.text if self.outcome is Outcome.PASS else reason.message)

    @property
    def lines(self) -> Iterator[str]:
        """The verdict for people, with what would fix it."""
        where = "" if self.node is None else f" on {self.node.name}"
        for each in self.reasons:
            said = f"{self.outcome.value.upper()}: {self.message(each)} ({each.control})"
            yield f"{printable(self.domain.inactive_source)}: {printable(self.domain.name)}{where}: {said}"
            yield from (f"  {line}" for line in each.remediation)

    @property
    def row(self) -> dict[str, object]:
        """The verdict for programs."""
        line = self.domain.place.removeprefix(":")
        return {
            "guest": self.domain.name,
            "node": None if self.node is None else self.node.name,
            "form": self.domain.form,
            "file": self.domain.file,
            "line": int(line) if line.isdecimal() else None,
            "path": None if line.isdecimal() else line.strip() or None,
            "outcome": self.outcome,
            "reasons": [
                {"control": each.control, "message": self.message(each), "remediation": list(each.remediation)}
                for each in self.reasons
            ],
        }


def _as_text(verdicts: Sequence[_Verdict], candidates: Candidates) -> str:
    lines = [visible(line) for verdict in verdicts for line in verdict.lines]
    return without_ci_commands("".join(f"{line}\n" for line in [*lines, _summary(verdicts, candidates)]))


def _as_json(verdicts: Sequence[_Verdict]) -> str:
    return json.dumps({"schema": SCHEMA, "verdicts": [verdict.row for verdict in verdicts]}, indent=2) + "\n"


def _summary(verdicts: Sequence[_Verdict], candidates: Candidates) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts)
    words = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in _WORST_FIRST if counts[outcome])
    asked = plural(len(candidates.domains), "guest")
    asked += f" on {plural(len(candidates.nodes), 'node')}" if candidates.nodes else ""
    return f"{asked} by the files alone: {words}"


def _read(given: argparse.Namespace) -> Candidates:
    nested, patterns = Nested(given.nested or Nested.REQUIRED), given.guest
    paths = [path for named in given.files for path in definition_paths(OPTION, named)]
    files = [(OPTION, read_definition(OPTION, path)) for path in paths]
    found = candidates_of(files, nested, skip_others=given.skip_others)
    if not patterns or not found.domains:
        return found
    chosen = tuple(each for each in found.domains if any(fnmatchcase(each.name, pattern) for pattern in patterns))
    if not chosen:
        raise UsageError(f"--guest: none of {', '.join(found.names[:10])} matches")
    return replace(found, domains=chosen)


def _nodes_for(domain: Domain, candidates: Candidates) -> list[KubernetesNode | None]:
    """The nodes that the guest runs on or may be started on; any host where the files describe no such node."""
    if domain.form is not Form.KUBEVIRT:
        return [None]
    if domain.runs_on is not None:
        return [node for node in candidates.nodes if node.name == domain.runs_on] or [None]
    return [node for node in candidates.nodes if node.is_schedulable] or [None]


def _verdict(domain: Domain, candidates: Candidates, node: KubernetesNode | None) -> _Verdict:
    machine = AssumedHost({domain.name: domain}, node)
    subject = Subject(machine, domain.name, candidates.policy(machine.target.name, domain.name), domain.name)
    results = [_result(each, subject) for each in _asked()]
    on_node = results if node is None else [_as_the_node_allows(each, subject, node) for each in results]
    return _Verdict(domain, node, on_node)


@cache
def _asked() -> list[DeclaredControl]:
    return [each for each in own_controls(HOME) if each.control.id in _CONTROLS]


def _as_the_node_allows(result: Result, subject: Subject, node: KubernetesNode) -> Result:
    """The result; where nesting is required, a pass only on a node of which a label shows that it offers it."""
    if not result.decides or result.outcome is not Outcome.PASS or not subject.policy.may_be_required:
        return result
    doubts = list(filter(None, (node.doubt(vendor) for vendor in subject.machine.cpu.vendors)))
    return replace(result, outcome=Outcome.UNKNOWN, message=doubts[0]) if doubts else result


def _result(declared: DeclaredControl, subject: Subject) -> Result:
    facts: dict[str, object] = {}
    raised = None
    try:
        evaluate(declared.check, declared.control, subject, facts)
    except Exception as error:  # noqa: BLE001 - judge() makes an outcome of every exception
        raised = error
    return judge(declared.control, subject, raised, facts)
