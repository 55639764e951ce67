"""The map in CONTRIBUTING names every package, and files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "nested_kvm"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_map_has_every_package() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert packages
    assert {name for name in packages if f"\n| `{name}/` |" not in TEXT} == set()


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|md|yaml|txt))`", TEXT))
    assert len(named) > 5
    assert {name for name in named if not ((ROOT / name).exists() or (PACKAGE / name).exists())} == set()
