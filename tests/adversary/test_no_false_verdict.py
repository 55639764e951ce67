"""No option of pytest, no age of the evidence and no question of maintenance makes a bad machine pass.

Whole runs, each with what is drawn: a machine, options that narrow the run, how old its evidence is, and how the answer
is asked for. By default the draws are always the same. `ADVERSARY_EXAMPLES=2000` draws that many, others each time; a
failure prints what it drew, and how to draw it again.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nested_kvm.controls.catalogue import own_controls
from tests.support.bad_machines import MACHINES, NAME, BadMachine
from tests.support.suite import ROOT, Runner, SuiteRun

EXAMPLES = int(os.environ.get("ADVERSARY_EXAMPLES", "40"))
DRAWN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ADVERSARY_EXAMPLES" not in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
GOOD = {base: BadMachine("", {}, base) for base in ("amd-l0", "intel-l0", "aarch64-l0")}
MAINTENANCE = [name for name, machine in MACHINES.items() if machine.words[:1] == ("-m",)]
OTHERS = sorted(set(MACHINES) - set(MAINTENANCE))
CONTROLS = sorted(each.control.id for each in own_controls(ROOT))
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "checks").rglob("test_*.py"))
FOLDERS = sorted({file.rpartition("/")[0] for file in FILES})
LIMITS = {"--max-age=1h": 1, "--max-age=7d": 7 * 24, "": 24}
"""Hours; a gate has a limit of its own."""
AGES = (-24 * 365 * 60, -1, 0, 2, 25, 24 * 8, 24 * 365 * 7)
"""Hours since the evidence was read; below zero: it is of the future."""

PLUGINS = """
html metadata pytest11.testinfra nested_kvm_early nested_kvm.plugin.hooks nested_kvm.plugin.fixtures
nested_kvm.plugin.control_item nested_kvm.plugin.html_report terminal junitxml skipping unittest logging capture
warnings assertion doctest cacheprovider stepwise xdist faulthandler reports
"""
OVERRIDES = """
python_files=test_cpu.py python_files= python_functions=test_every testpaths=checks/l1 addopts= norecursedirs=l0
empty_parameter_set_mark=skip xfail_strict=false python_classes=X strict=false
"""
FLAGS = """
-x --maxfail=1 --lf --ff --sw --noconftest --runxfail --continue-on-collection-errors --collect-only --markers
--fixtures --controls --keep-duplicates --pyargs --import-mode=append --confcutdir=checks --rootdir=checks
--strict-config -q -vv --tb=long -rA --disable-warnings
"""

words = st.sampled_from([*CONTROLS, "L0", "DOM", "critical", "high", "low", "nested", "cpu", NAME])
expressions = st.one_of(words, words.map("not {}".format), st.tuples(words, words).map(" or ".join))
marks = st.sampled_from(["L0", "not L0", "DOM", "critical", "not critical", "L0 and high", "maintenance or low"])
paths = st.sampled_from([*FILES, *FOLDERS, f"{FILES[0]}::test_absent"])
plugins = st.sampled_from(PLUGINS.split())
overrides = st.sampled_from(OVERRIDES.split())
narrowing = st.one_of(
    expressions.map(lambda each: ["-k", each]),
    marks.map(lambda each: ["-m", each]),
    paths.map(lambda each: [each]),
    paths.map(lambda each: [f"--deselect={each}"]),
    paths.map(lambda each: [f"--ignore={each}"]),
    paths.map(lambda each: [f"--ignore-glob=*/{each.rpartition('/')[2]}"]),
    plugins.map(lambda each: ["-p", f"no:{each}"]),
    overrides.map(lambda each: ["-o", each]),
    st.sampled_from(FLAGS.split()).map(lambda each: [each]),
)
modes = st.sampled_from([["--gate"], ["--gate", "--fail-on=low"], ["--nagios"], ["--gate", "--nagios"]])
asked_before_maintenance = st.sampled_from(
    ["maintenance", "maintenance or L0", "maintenance or critical", "maintenance and DOM", "not maintenance"]
)


class Attack(NamedTuple):
    """What is drawn for one run."""

    machine: str
    options: list[str]
    mode: list[str]
    hours: int
    limit: str


def attacks(machines: list[str], options: st.SearchStrategy[list[str]]) -> st.SearchStrategy[Attack]:
    return st.builds(
        Attack,
        machine=st.sampled_from(machines),
        options=options,
        mode=modes,
        hours=st.sampled_from(AGES),
        limit=st.sampled_from(sorted(LIMITS)),
    )


def flat(parts: st.SearchStrategy[list[str]], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(parts, min_size=least, max_size=3).map(lambda found: [word for part in found for word in part])


class Field:
    """Where attacks are carried out: one process, and a folder for each attack."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self.runner = Runner(folder)

    def attack(self, machine: BadMachine, drawn: Attack) -> SuiteRun:
        folder = self._folder / str(next(self._numbers))
        line = machine.write(folder)
        observed = datetime.now(UTC) - timedelta(hours=drawn.hours)
        for path in (folder / "evidence").iterdir():
            saved = json.loads(path.read_text())
            path.write_text(json.dumps({**saved, "observed": observed.isoformat()}))
        limit = [drawn.limit] if drawn.limit else []
        return self.runner.run(*line, *drawn.options, *drawn.mode, *limit, report_dir=folder / "reports")


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    made = Field(tmp_path_factory.mktemp("attacks"))
    yield made
    made.runner.close()


def passes(run: SuiteRun) -> list[str]:
    """The lines of a run that state that something complies, and its exit status where that does."""
    lines = [line for line in run.output.splitlines() if line.startswith(("COMPLIANT", "NESTED-KVM OK"))]
    lines += [line for line in run.output.splitlines() if line.startswith(f"{NAME}  PASS")]
    return [*lines, *(["exit status 0"] if run.status == 0 else [])]


@pytest.mark.slow
@DRAWN
@given(drawn=attacks(OTHERS, flat(narrowing)))
def test_a_bad_machine_passes_whatever_is_drawn_nowhere(field: Field, drawn: Attack) -> None:
    assert passes(field.attack(MACHINES[drawn.machine], drawn)) == []


@pytest.mark.slow
@DRAWN
@given(drawn=attacks(MAINTENANCE, flat(narrowing.filter(lambda each: each[0] != "-m"))), mark=asked_before_maintenance)
def test_a_machine_with_an_l2_passes_no_question_of_maintenance(field: Field, drawn: Attack, mark: str) -> None:
    machine = MACHINES[drawn.machine]
    asked = drawn._replace(options=[*drawn.options, "-m", mark])
    assert passes(field.attack(machine, asked)) == []


@pytest.mark.slow
@DRAWN
@given(drawn=attacks(sorted(GOOD), flat(narrowing, 1)))
def test_a_good_machine_passes_only_where_everything_was_asked(field: Field, drawn: Attack) -> None:
    run = field.attack(GOOD[drawn.machine], drawn)
    if not passes(run):
        return
    asked = run.document["run"]["asked"]
    assert run.document["run"]["complete"] is True
    assert (asked["not_asked"], asked["owed"] > 0) == ([], True)
    assert 0 <= drawn.hours <= LIMITS[drawn.limit]


@pytest.mark.slow
@pytest.mark.parametrize("hours", AGES)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("mode", ["--gate", "--nagios"])
def test_a_good_machine_passes_only_where_its_evidence_is_young(
    field: Field, mode: str, limit: str, hours: int
) -> None:
    run = field.attack(GOOD["amd-l0"], Attack("amd-l0", [], [mode], hours, limit))
    assert bool(passes(run)) is (0 <= hours <= LIMITS[limit])
