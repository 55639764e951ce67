"""Links to what is of a target: in the same file, or on the page of a large fleet that has it."""

from collections.abc import Mapping

from nested_kvm.reporting.html.findings import anchor, anchor_of_target
from nested_kvm.results.run import Result


class Links:
    """Links from one file. `pages` has the page of each target by name; none where one file has everything.

    `folder` is how the pages are reached from there, and `here` the page itself.
    """

    def __init__(self, pages: Mapping[str, str] | None = None, *, folder: str = "", here: str = "") -> None:
        self._pages = pages or {}
        self._folder = folder
        self._here = here

    def page(self, target: str) -> str:
        """The page of a target; empty: this file."""
        found = self._pages.get(target, "")
        return "" if found in {"", self._here} else f"{self._folder}{found}"

    def target(self, name: str) -> str:
        """The section of a target."""
        return f"{self.page(name)}#{anchor_of_target(name)}"

    def finding(self, result: Result) -> str:
        """A finding."""
        return f"{self.page(result.target)}#{anchor(result)}"

    def problem(self, target: str, identifier: str) -> str:
        """A problem, by the target at which it is fixed."""
        return f"{self.page(target)}#p-{identifier}"
