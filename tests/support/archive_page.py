"""What support archives decide: `python -m tests.support.archive_page > docs/archive-controls.md`.

Each recorded machine of `MACHINES` is packed as each tool packs it, and evaluated as a user's archive is.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nested_kvm.controls.applicability import check_applies
from nested_kvm.controls.judge import judge
from nested_kvm.evidence.archive.archives import bundles_of_archive
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Control
from nested_kvm.model.verdict import Outcome
from nested_kvm.plugin.fixtures import FACTS
from nested_kvm.results.run import Result
from tests.support.evaluation import controls, declared, readings_of
from tests.support.other_archives import insights_files, must_gather_files, supportconfig_files
from tests.support.sosreports import Files, sos_files, tar_of

MACHINES = ("amd-passes", "intel-passes", "amd-running", "amd-guest-passes", "amd-forbidden-passes")
"""Recorded machines of which a live audit decides nearly everything."""
DECIDED = {Outcome.PASS, Outcome.FAIL}
TOOLS: Mapping[str, Callable[..., Files]] = {
    "sosreport": sos_files,
    "supportconfig": supportconfig_files,
    "Insights archive": insights_files,
    "must-gather": must_gather_files,
}
_PREFACE = """\
# What support archives decide

Made by `python -m tests.support.archive_page > docs/archive-controls.md`: recorded machines are packed as each tool
packs them, and evaluated as in [Support archives](archives.md). A ✓ is a control that such an archive decides.
Elsewhere the outcome is `unknown`, never a pass, for the reason given. "Not asked" is a control that needs a second
machine, an option, or another architecture.

"""


def page() -> str:
    """The whole page."""
    columns = {kind: _column(pack) for kind, pack in TOOLS.items()}
    return _PREFACE + "".join(f"{line}\n" for line in _lines(columns))


def _lines(columns: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield f"| control | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for control in sorted(each.id for each in controls()):
        yield f"| {control} | {' | '.join(column.get(control, 'not asked') for column in columns.values())} |"


def _column(pack: Callable[..., Files]) -> dict[str, str]:
    found: dict[str, str] = {}
    for result in (each for name in MACHINES for each in results_of(pack, name)):
        if result.outcome in DECIDED:
            found[result.control] = "✓"
        elif result.outcome is Outcome.UNKNOWN and found.get(result.control) != "✓":
            found.setdefault(result.control, result.message.replace(f"{result.target}: ", "").replace("|", "\\|"))
    return found


def results_of(pack: Callable[..., Files], name: str) -> Iterator[Result]:
    """The results of a recorded machine's archive."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "archive.tar"
        path.write_bytes(tar_of(pack(name, readings_of(name)[name])))
        (bundle,) = bundles_of_archive(path)
    target = declared().named(name)
    assert target is not None
    level = bundle.target.level if target.level is TargetLevel.AUTO else target.level
    fleet = Fleet([Machine(replace(bundle, target=replace(target, level=level)))])
    for control, function in controls().items():
        yield from (_judged(control, function, subject) for subject in fleet.subjects_of(control))


def _judged(control: Control, function: Callable[..., object], subject: Subject) -> Result:
    binding = replace(subject, policy=replace(subject.policy, binding=True))
    arguments: dict[str, object] = {}
    try:
        check_applies(control, binding)
        for name in function.__code__.co_varnames[: function.__code__.co_argcount]:
            arguments[name] = FACTS[name](binding)
        function(**arguments)
    except Exception as raised:  # noqa: BLE001 - whatever is raised is judged as in a run
        return judge(control, binding, raised, arguments)
    return judge(control, binding, None, arguments)


if __name__ == "__main__":
    sys.stdout.write(page())
