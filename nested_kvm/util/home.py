"""Where the files are that belong to the package and are no modules: checks, inventories, pytest.ini."""

from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[1]
HOME: Final = PACKAGE if (PACKAGE / "checks").is_dir() else PACKAGE.parent
"""The package where it was installed from a wheel; in a checkout the folder above it."""
