"""The bundles of the machines in a support archive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence.archive import insights, must_gather, sos, supportconfig
from nested_kvm.evidence.archive.machine import ArchivedMachine
from nested_kvm.evidence.archive.tree import ArchiveTree, read_tree
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.util.text import printable

_KINDS: Final = "a sosreport, a supportconfig, an archive of the Insights client or a must-gather"


def bundles_of_archive(path: Path) -> Iterator[Bundle]:
    """Read an archive, packed or a folder, and make a bundle of each machine in it.

    Raises:
        ArchiveUnusable: it is broken, hostile, or of no known kind; the message names it.
    """
    for machine in machines_of_archive(path):
        yield machine.bundle(path.name)


def machines_of_archive(path: Path) -> list[ArchivedMachine]:
    """Read an archive, packed or a folder: each machine in it, before kmod is asked.

    Raises:
        ArchiveUnusable: it is broken, hostile, or of no known kind; the message names it.
    """
    try:
        return list(_machines(read_tree(path, _is_wanted)))
    except ArchiveUnusable as error:
        raise ArchiveUnusable(f"{printable(path.name)}: {error}") from None


def _is_wanted(path: str) -> bool:
    return any(each.WANTED.search(path) for each in (sos, insights, must_gather, supportconfig))


def _machines(tree: ArchiveTree) -> Iterator[ArchivedMachine]:
    of_sos, of_insights = sos.root_of(tree), insights.root_of(tree)
    if of_sos is not None:
        yield sos.machine_of(tree, of_sos)
    elif of_insights is not None:
        yield insights.machine_of(tree, of_insights)
    elif (of_supportconfig := supportconfig.root_of(tree)) is not None:
        yield supportconfig.machine_of(tree, of_supportconfig)
    elif must_gather.is_it(tree):
        yield from must_gather.machines_of(tree)
    else:
        raise ArchiveUnusable(f"it is not {_KINDS}: nothing in it says so")
