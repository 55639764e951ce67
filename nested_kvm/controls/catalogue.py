"""The catalogue of controls: what the files below `checks/` declare."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nested_kvm.controls.catalogue_example import GUEST, HOST, example_remedy
from nested_kvm.model.control import Control, ControlDefinitionError, control_of

CHECKS = "checks"
_SOURCE = "Source: "
_PREFACE = f"""\
# The controls

Made by `python -m nested_kvm.controls.catalogue > docs/controls.md`; change the docstrings below `checks/` instead.

The first word of an id says what a control speaks of: `L0` a hypervisor, `DOM` a domain on one, `L1` a guest from
inside, `PAIR` a guest together with its host, or hosts with one another. What could not be looked at is an `error`, and
what the evidence does not decide is `unknown`: neither is ever a pass. Each finding names one of the control's causes,
and comes with the commands that mend it: here for `{HOST}`, a host on AMD with libvirt, and its guest `{GUEST}`. They
are never run.
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
    """Print each control with what it requires, in a line; the handbook says the rest."""
    for control in catalogue(root):
        only = "" if control.only is None else f", only where nested is {control.only}"
        write(f"{control.id} ({control.severity}{only}): {control.title}")


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
    yield f"- Asked {where}, on {_architectures(control)}."
    yield from (f"- Observed: {source}" for source in sources(control))
    yield f"- Unknown: {control.unknown or 'never.'}"
    yield from (f"- See <{reference}>." for reference in control.references)
    for cause in control.causes:
        yield from ("", f"`{cause.code}`: {cause.explanation}", "", "```sh", *example_remedy(control, cause), "```")


def sources(control: Control) -> list[str]:
    """Where the facts that a control judges are observed: what each says of itself as its source."""
    paragraphs = [each for fact in control.facts for each in (inspect.getdoc(fact) or "").split("\n\n")]
    found = [each.removeprefix(_SOURCE) for each in paragraphs if each.startswith(_SOURCE)]
    return [" ".join(each.split()) for each in dict.fromkeys(found)]


def _architectures(control: Control) -> str:
    if control.architectures is None:
        return "every architecture"
    *others, last = (each.name for each in control.architectures)
    return f"{', '.join(others)} and {last}" if others else last


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
    sys.stdout.write(handbook(Path(__file__).parents[2]))
