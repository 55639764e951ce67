"""The handbook of controls is what the catalogue makes of the checks, and can be read."""

import subprocess
import sys
from pathlib import Path

from nested_kvm.catalogue import catalogue

ROOT = Path(__file__).parent.parent
HANDBOOK = ROOT / "docs" / "controls.md"


def test_the_handbook_is_fresh() -> None:
    command = [sys.executable, "-m", "nested_kvm.catalogue"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert HANDBOOK.read_text() == made.stdout, "run: python -m nested_kvm.catalogue > docs/controls.md"


def test_every_control_has_a_chapter_with_its_causes() -> None:
    chapters = {text.partition("\n")[0]: text for text in HANDBOOK.read_text().split("\n## ")[1:]}
    assert list(chapters) == [control.id for control in catalogue(ROOT)]
    for control in catalogue(ROOT):
        assert control.reason in chapters[control.id]
        assert all(f"`{cause.code}`: {cause.explanation}" in chapters[control.id] for cause in control.causes)
