"""A checkout of the project with a site's own check."""

import shutil
from pathlib import Path

from tests.support.suite import ROOT


def suite_with(folder: Path, check: str) -> Path:
    """Copy the project into `folder`, with one check of the site's own, and return its root."""
    root = folder / "suite"
    for name in ("checks", "inventories"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(ROOT / name, root / name)
    (root / "checks" / "site" / "test_own.py").write_text(check)
    return root
