"""Queries libvirt through libvirt-python, read-only."""

from collections.abc import Callable, Container, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer, SavedState
from nested_kvm.evidence.libvirt.capabilities import SECONDS, domain_types_of
from nested_kvm.evidence.libvirt.domain_xml import reduce_domain_xml
from nested_kvm.evidence.libvirt.saved_states import managed_save, snapshots
from nested_kvm.evidence.libvirt.vcpu_statistics import Statistics, read_twice, statistics_of_rpc

_STATES: Final = {
    0: "no state",
    1: "running",
    2: "idle",
    3: "paused",
    4: "in shutdown",
    5: "shut off",
    6: "crashed",
    7: "pmsuspended",
}
"""virDomainState, in virsh's words (libvirt-domain.h, virsh-domain-monitor.c)."""


def has_libvirt_python() -> bool:
    """Whether libvirt-python is installed; without libvirt's headers it cannot be."""
    try:
        import libvirt  # noqa: F401, PLC0415 - optional, and loaded only by a run that needs it
    except ImportError:
        return False
    return True


def ask_libvirt(uri: str, asked_uri: str | None = None) -> LibvirtAnswer:
    """List the domains of a libvirt with their XML.

    Args:
        uri: where to connect to.
        asked_uri: the URI in the inventory, where `uri` is a tunnel to it.

    A libvirt that does not respond gives an answer with a `refusal`.
    """
    import libvirt  # noqa: PLC0415 - compiled, optional, and not needed by every run

    libvirt.registerErrorHandler(_keep_quiet, None)
    shown = asked_uri or uri
    try:
        connection = libvirt.openReadOnly(uri)
        is_asking = False
        try:
            counters = read_twice(lambda: _vcpu_statistics(connection, libvirt))
            with_snapshots = _with_snapshots(connection, libvirt)
            domains = [_record(each, libvirt, counters, with_snapshots) for each in connection.listAllDomains()]
            version = _version(connection, libvirt)
            capabilities, is_asking = _within(SECONDS, connection.getCapabilities, libvirt.libvirtError)
        finally:
            if not is_asking:  # Closing it under a pending call is not safe; it is closed when the call returns.
                connection.close()
    except libvirt.libvirtError as error:
        return LibvirtAnswer(shown, "libvirt", refusal=_sentence(error))
    domain_types = None if capabilities is None else domain_types_of(capabilities)
    return LibvirtAnswer(shown, "libvirt", domains=tuple(domains), domain_types=domain_types, version=version)


def _version(connection: Any, libvirt: Any) -> int | None:
    try:
        return int(connection.getLibVersion())
    except libvirt.libvirtError:
        return None


def _within(seconds: float, ask: Callable[[], str], refusal: type[Exception]) -> tuple[str | None, bool]:
    """Query in a thread that may be abandoned: None where libvirt refuses, and true while the call is pending."""
    answers: SimpleQueue[str | None] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(ask())
        except refusal:
            answers.put(None)

    Thread(target=work, name="libvirt's capabilities", daemon=True).start()
    try:
        return answers.get(timeout=seconds), False
    except Empty:
        return None, True


def _keep_quiet(_context: object, _error: object) -> None:
    """Replace libvirt's own error handler, which prints to standard error."""


def _sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:500] if str(error).strip() else "libvirt gave no reason"


def _vcpu_statistics(connection: Any, libvirt: Any) -> dict[str, Statistics]:
    """The counters of the running domains by uuid; none where libvirt has none, or QEMU is too busy to answer."""
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    try:
        answer = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_VCPU, flags)
    except libvirt.libvirtError:
        return {}
    return {domain.UUIDString(): statistics_of_rpc(statistics) for domain, statistics in answer}


def _with_snapshots(connection: Any, libvirt: Any) -> Container[str] | str:
    """The uuids of the domains with snapshots, in one query for all; a sentence where libvirt refuses."""
    try:
        found = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
    except libvirt.libvirtError as error:
        return _sentence(error)
    return {domain.UUIDString() for domain in found}


def _saved_states(
    domain: Any, libvirt: Any, *, has_managed_save: bool, with_snapshots: Container[str] | str
) -> tuple[tuple[SavedState, ...], str | None]:
    refusals = (libvirt.libvirtError,)
    saved = [managed_save(lambda: domain.managedSaveGetXMLDesc(0), refusals)] if has_managed_save else []
    if isinstance(with_snapshots, str) or domain.UUIDString() not in with_snapshots:
        return tuple(saved), with_snapshots if isinstance(with_snapshots, str) else None
    try:
        listed = domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE)
    except libvirt.libvirtError as error:
        return tuple(saved), _sentence(error)
    found, more = snapshots([(each.getName(), partial(each.getXMLDesc, 0)) for each in listed], refusals)
    return (*saved, *found), more


def _record(
    domain: Any,
    libvirt: Any,
    counters: Mapping[str, tuple[Statistics, ...]],
    with_snapshots: Container[str] | str,
) -> DomainRecord:
    problems: list[str] = []

    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (libvirt.libvirtError, NotObserved) as error:
            problems.append(_sentence(error))
            return None

    state = ask(lambda: domain.state()[0])
    inactive = ask(lambda: reduce_domain_xml(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    live = ask(lambda: reduce_domain_xml(domain.XMLDesc(0)) if domain.isActive() else None)
    has_managed_save = ask(lambda: bool(domain.hasManagedSaveImage()))
    persistent = ask(lambda: bool(domain.isPersistent()))
    saved, saved_problem = _saved_states(
        domain, libvirt, has_managed_save=bool(has_managed_save), with_snapshots=with_snapshots
    )
    return DomainRecord(
        name=domain.name(),
        uuid=domain.UUIDString(),
        state=_STATES.get(state, "unknown"),
        is_persistent=persistent,
        has_managed_save=has_managed_save,
        inactive_xml=inactive,
        live_xml=live,
        problem="; ".join(dict.fromkeys(problems)) or None,
        vcpu_statistics=counters.get(domain.UUIDString(), ()),
        saved_states=saved,
        saved_problem=saved_problem,
    )
