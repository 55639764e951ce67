"""The saved states of a domain with its memory: its managed save and its snapshots, as far as they could be read."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import SavedState
from nested_kvm.evidence.libvirt.domain_xml import reduce_domain_xml, reduce_snapshot_xml
from nested_kvm.util.text import printable

LIMIT: Final = 50
"""Snapshots of one domain that are read."""

ReadXml = Callable[[], str]
"""Reads a saved state's XML; raises `NotObserved`, or what libvirt raises."""


def managed_save(read: ReadXml, refusals: tuple[type[Exception], ...] = ()) -> SavedState:
    """The managed save of a domain that has one, or why it could not be read."""
    expected: tuple[type[Exception], ...] = (NotObserved, *refusals)
    try:
        return SavedState(None, reduce_domain_xml(read()))
    except expected as error:
        return SavedState(None, problem=printable(error))


def snapshots(
    listed: Sequence[tuple[str, ReadXml]], refusals: tuple[type[Exception], ...] = ()
) -> tuple[Iterable[SavedState], str | None]:
    """The snapshots with memory among those listed, and why there may be more."""
    states = [_snapshot(name, read, refusals) for name, read in islice(listed, LIMIT)]
    more = f"only {LIMIT} of its {len(listed)} snapshots were read" if len(listed) > LIMIT else None
    return [state for state in states if state is not None], more


def _snapshot(name: str, read: ReadXml, refusals: tuple[type[Exception], ...]) -> SavedState | None:
    expected: tuple[type[Exception], ...] = (NotObserved, *refusals)
    try:
        xml = reduce_snapshot_xml(read())
    except expected as error:
        return SavedState(name, problem=printable(error))
    return None if xml is None else SavedState(name, xml)
