"""What a printed report has already: equal commands are printed once, however many findings they fix."""

from collections.abc import Sequence


class Printed:
    """The commands of a page, as it is written from top to bottom."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def again(self, lines: Sequence[str]) -> bool:
        """Whether these commands stand further up; from now on they do."""
        key = tuple(lines)
        if key in self._seen:
            return True
        self._seen.add(key)
        return False
