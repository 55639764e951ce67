"""The rows of results in the sections of targets: equal ones, most of a fleet, are drawn once."""

from collections.abc import Callable
from typing import Final

from markupsafe import Markup

from nested_kvm.model.verdict import Outcome
from nested_kvm.reporting.html.findings import anchor
from nested_kvm.reporting.html.target_sections import ResultLine

_REMEMBERED: Final = 4096


class ResultRows:
    """Draws the rows of targets, by a template's macro."""

    def __init__(self, macro: Callable[[ResultLine, str], Markup]) -> None:
        self._macro = macro
        self._drawn: dict[object, Markup] = {}

    def row(self, line: ResultLine) -> Markup:
        """Return the row of a result. That of a finding links to the one finding."""
        result = line.result
        if result.outcome is Outcome.FAIL:
            return self._macro(line, f"#{anchor(result)}")
        subject = None if result.subject == result.target else result.subject
        evidence = line.shared.number if line.shared is not None else result.evidence
        key = (result.control, subject, result.outcome, result.message, evidence)
        found = self._drawn.get(key)
        if found is None:
            found = self._macro(line, "")
            if len(self._drawn) < _REMEMBERED:
                self._drawn[key] = found
        return found
