"""The handbook of controls is what the catalogue makes of the checks, and can be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from nested_kvm import Policy, Target
from nested_kvm.controls.catalogue import catalogue, sources
from nested_kvm.controls.catalogue_example import example_remedy
from nested_kvm.model.control import Control

ROOT = Path(__file__).parents[3]
HANDBOOK = ROOT / "docs" / "controls.md"
NOT_OBSERVED = {Policy, Target}
"""What a check may take that the inventory says."""
every_control = pytest.mark.parametrize("control", catalogue(ROOT), ids=lambda control: control.id)


def test_the_handbook_is_fresh() -> None:
    command = [sys.executable, "-m", "nested_kvm.controls.catalogue"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert HANDBOOK.read_text() == made.stdout, "run: python -m nested_kvm.controls.catalogue > docs/controls.md"


def test_every_control_has_a_chapter_with_its_causes() -> None:
    chapters = {text.partition("\n")[0]: text for text in HANDBOOK.read_text().split("\n## ")[1:]}
    assert list(chapters) == [control.id for control in catalogue(ROOT)]
    for control in catalogue(ROOT):
        assert control.reason in chapters[control.id]
        assert all(f"`{cause.code}`: {cause.explanation}" in chapters[control.id] for cause in control.causes)


@every_control
def test_every_fact_says_where_it_is_observed(control: Control) -> None:
    facts = {fact for fact in control.facts if fact not in NOT_OBSERVED}
    assert facts
    assert len(sources(control)) == len(facts), "a fact's docstring needs a paragraph that begins with `Source:`"


@every_control
def test_every_cause_has_a_remedy_that_is_a_shell_script(control: Control) -> None:
    remedies = [example_remedy(control, cause) for cause in control.causes]
    assert remedies
    assert all(remedies)
    script = "\n".join(line for remedy in remedies for line in remedy)
    checked = subprocess.run(["/bin/sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
