"""Which targets a run was asked of, and what kind of question, so that a trend compares like with like."""

import json
from dataclasses import dataclass
from hashlib import sha256

from nested_kvm.results.run import Run, TargetResult


@dataclass(frozen=True, slots=True)
class Selection:
    """The targets of a run, and the kind of its controls."""

    targets: str
    """A digest of the names of all targets, and of the policy of each."""
    decides: bool
    """Whether controls that decide were evaluated: not so with `-m maintenance`."""
    is_whole: bool
    """Whether the inventory is a file, and all of its targets were selected: then its name stands for them."""


def selection_of(run: Run) -> Selection:
    """Return what a run was asked."""
    targets = [_named(each) for each in sorted(run.targets, key=lambda each: each.name)]
    return Selection(
        targets=sha256(json.dumps(targets).encode()).hexdigest(),
        decides=any(each.decides for each in run.results.sorted_by_target()),
        is_whole=not run.inventory.startswith("--") and not run.left_out,
    )


def _named(target: TargetResult) -> list[str]:
    policy = target.policy
    return [target.name, *([] if policy is None else [policy.nested, policy.persistence, policy.undeclared])]
