"""How pytest-xdist spreads the tests over processes: a file each, as most fixtures belong to a file."""

from typing import Final

from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

SHARED: Final = ("integration/controls/", "integration/installed/")
"""Folders whose files share a session fixture that is expensive to make."""
INDEPENDENT: Final = ("adversary/", "unit/facts/")
"""Folders whose tests share nothing: each may run anywhere."""


class ByFile(LoadScopeScheduling):
    """Gives a file, or a folder that shares a fixture, to one process."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """Return what a test has to share a process with."""
    for folder in SHARED:
        if nodeid.startswith(folder):
            return folder
    return nodeid if nodeid.startswith(INDEPENDENT) else nodeid.partition("::")[0]
