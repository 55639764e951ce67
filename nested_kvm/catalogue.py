"""The catalogue of controls: what the files below `checks/` declare."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from nested_kvm.control import Control, ControlDefinitionError, control_of

CHECKS = "checks"


def catalogue(root: Path) -> list[Control]:
    """Every control below `root/checks`, by id.

    Raises:
        ControlDefinitionError: two controls have the same id, or a file is no check.
    """
    found: dict[str, Control] = {}
    for path in sorted((root / CHECKS).rglob("test_*.py")):
        for control in _controls(path):
            if control.id in found:
                raise ControlDefinitionError(f"{path}: {control.id} is declared twice")
            found[control.id] = control
    return [found[identifier] for identifier in sorted(found)]


def write_catalogue(root: Path, write: Callable[[str], None]) -> None:
    """Print each control with what it requires and why."""
    for control in catalogue(root):
        only = "" if control.only is None else f", only where nested is {control.only}"
        write(f"{control.id} ({control.severity}{only}): {control.title}")
        for line in control.reason.splitlines():
            write(f"    {line}" if line else "")
        if control.causes:
            write(f"    Causes: {', '.join(cause.code for cause in control.causes)}.")
        for reference in control.references:
            write(f"    See {reference}")
        write("")


def _controls(path: Path) -> Iterator[Control]:
    spec = importlib.util.spec_from_file_location(f"catalogued_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ControlDefinitionError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for value in vars(module).values():
        declared = control_of(value)
        if declared is not None:
            yield declared
