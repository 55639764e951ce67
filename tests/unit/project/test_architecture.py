"""The shape of the code: imports point one way, and each package knows only what it may."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAYERS = (
    "errors version",
    "util model",
    "inventory",
    "connection results",
    "evidence merging",
    "facts reporting",
    "fleet",
    "remediation",
    "controls",
    "inspection",
    "plugin",
    "command",
    "__main__",
)
"""From the ground up: a package may import its own layer and those before it."""


def modules() -> list[Path]:
    return sorted((ROOT / "nested_kvm").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "nested_kvm").parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def layer(name: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms.split())


@pytest.mark.parametrize(
    "path", [path for path in modules() if room(path) != "__init__"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_point_one_way(path: Path) -> None:
    own = [name.split(".") for name in imported(path) if name.startswith("nested_kvm")]
    assert [parts for parts in own if len(parts) < 2] == [], "a module imports the package that imports it"
    backwards = {parts[1] for parts in own if layer(parts[1]) > layer(room(path))}
    assert not backwards, f"{path.name} reaches up to {backwards}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_connection_knows_testinfra_and_paramiko(path: Path) -> None:
    known = {name.split(".")[0] for name in imported(path)} & {"testinfra", "paramiko"}
    assert room(path) == "connection" or not known


@pytest.mark.parametrize(
    "path", sorted((ROOT / "checks").rglob("test_*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_check_imports_public_names_only(path: Path) -> None:
    assert {name for name in imported(path) if name.startswith("nested_kvm")} == {"nested_kvm"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "checks").rglob("test_*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_check_runs_no_command(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"subprocess", "os", "socket", "paramiko", "testinfra"}
