"""The catalogue of controls: what the files below `checks/` declare."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nested_kvm.control import Control, ControlDefinitionError, control_of

CHECKS = "checks"
_PREFACE = """\
# The controls

Made by `python -m nested_kvm.catalogue > docs/controls.md`; change the docstrings below `checks/` instead.

The first word of an id says what a control speaks of: `L0` a hypervisor, `DOM` a domain on one, `L1` a guest from
inside, `PAIR` a guest together with its host, or hosts with one another. What could not be looked at is an `error`, and
what the evidence does not decide is `unknown`: neither is ever a pass. Each finding names one of the control's causes,
and comes with the commands that mend it.
"""


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


def handbook(root: Path) -> str:
    """The catalogue as Markdown: `docs/controls.md`."""
    controls = catalogue(root)
    rows = [f"| [{each.id}](#{each.id.lower()}) | {each.severity} | {each.title} |" for each in controls]
    chapters = [line for each in controls for line in _chapter(each)]
    return "\n".join([_PREFACE, "| control | severity | requires |", "|---|---|---|", *rows, *chapters]) + "\n"


def _chapter(control: Control) -> Iterator[str]:
    yield from ("", f"## {control.id}", "", f"**{control.title}**", "", control.reason, "")
    yield f"- Severity: {control.severity}."
    where = "everywhere" if control.only is None else f"only where nested is {control.only}"
    yield f"- Asked {where}, {'on x86' if control.architectures is not None else 'on every architecture'}."
    yield from (f"- `{cause.code}`: {cause.explanation}" for cause in control.causes)
    yield from (f"- See <{reference}>." for reference in control.references)


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


if __name__ == "__main__":
    sys.stdout.write(handbook(Path(__file__).parent.parent))
