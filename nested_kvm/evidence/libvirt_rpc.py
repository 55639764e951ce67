"""Asks libvirt through libvirt-python, read-only."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer
from nested_kvm.evidence.domain_xml import reduce_domain_xml
from nested_kvm.evidence.vcpu_statistics import Statistics, statistics_of_rpc, two_looks

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
    """Whether libvirt-python is installed; where libvirt's headers are missing it is not."""
    try:
        import libvirt  # noqa: F401, PLC0415 - looked for, and loaded only by a run that needs it
    except ImportError:
        return False
    return True


def ask_libvirt(uri: str, asked_uri: str | None = None) -> LibvirtAnswer:
    """List a libvirt's domains with their XML.

    Args:
        uri: where to connect to.
        asked_uri: the URI as the inventory says it, where `uri` is a tunnel to it.

    A libvirt that does not answer is an answer with a `refusal`.
    """
    import libvirt  # noqa: PLC0415 - compiled, optional, and not needed by every run

    libvirt.registerErrorHandler(_keep_quiet, None)
    shown = asked_uri or uri
    try:
        connection = libvirt.openReadOnly(uri)
        try:
            counters = two_looks(lambda: _vcpu_statistics(connection, libvirt))
            domains = [_record(domain, libvirt, counters) for domain in connection.listAllDomains()]
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        return LibvirtAnswer(shown, "libvirt", refusal=_sentence(error))
    return LibvirtAnswer(shown, "libvirt", domains=tuple(domains))


def _keep_quiet(_context: object, _error: object) -> None:
    """Take the place of libvirt's own handler, which prints to standard error."""


def _sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:500] if str(error).strip() else "libvirt gave no reason"


def _vcpu_statistics(connection: Any, libvirt: Any) -> dict[str, Statistics]:
    """The counters of the running domains by uuid; none where this libvirt gives none, or waits for a busy QEMU."""
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    try:
        answer = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_VCPU, flags)
    except libvirt.libvirtError:
        return {}
    return {domain.UUIDString(): statistics_of_rpc(statistics) for domain, statistics in answer}


def _record(domain: Any, libvirt: Any, counters: Mapping[str, tuple[Statistics, ...]]) -> DomainRecord:
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
    managed_save = ask(lambda: bool(domain.hasManagedSaveImage()))
    persistent = ask(lambda: bool(domain.isPersistent()))
    return DomainRecord(
        name=domain.name(),
        uuid=domain.UUIDString(),
        state=_STATES.get(state, "unknown"),
        is_persistent=persistent,
        has_managed_save=managed_save,
        inactive_xml=inactive,
        live_xml=live,
        problem="; ".join(dict.fromkeys(problems)) or None,
        vcpu_statistics=counters.get(domain.UUIDString(), ()),
    )
