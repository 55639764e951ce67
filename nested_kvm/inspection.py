"""One machine, inspected for other programs: `observe` for any, and the fixture `nested_kvm` for Testinfra suites."""

from collections.abc import MutableMapping
from functools import cached_property
from typing import Any, Final

from nested_kvm.connection import Connection, Host, Settings, connect, foreign_connection
from nested_kvm.controls.machine_diagnosis import MachineDiagnosis, diagnose_machine
from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.observe import observe as observe_target
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Policy

_LIBVIRT: Final = "qemu:///system"
_FACTS: Final = tuple(
    name for name, found in vars(Machine).items() if isinstance(found, cached_property) and name[0] != "_"
)


class Inspection:
    """A machine as it was inspected once, with the facts that controls take, each read when it is first asked for.

    `cpu`, `kvm_module`, `nesting`, `next_load`, `libvirt` and all others that `pytest --fixtures` of the audit lists.
    A fact that could not be read raises `ObservationError`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._machine = Machine(bundle)

    @cached_property
    def _diagnosed(self) -> MachineDiagnosis:
        return diagnose_machine(self._machine)

    @property
    def target(self) -> Target:
        """The machine's name and level."""
        return self._machine.target

    @property
    def can_nest(self) -> bool:
        """Whether a host's VMs can run VMs themselves; for a guest, whether it can run them.

        Raises:
            NotObserved: the evidence does not decide; it is neither true nor false then.
        """
        return self._decided(self._diagnosed.can_nest)

    @property
    def runs_vms(self) -> bool:
        """Whether the machine itself can run VMs under KVM.

        Raises:
            NotObserved: the evidence does not decide.
        """
        return self._decided(self._diagnosed.runs_vms)

    @property
    def diagnosis(self) -> str:
        """Why the machine can nest, cannot, or why that is not known, in one sentence."""
        words = {Answer.YES: "can nest", Answer.NO: "cannot nest", Answer.UNKNOWN: "may or may not nest"}
        return f"{self.target.name} {words[self._diagnosed.can_nest]}: {self._diagnosed.explanation}"

    @property
    def remediation(self) -> tuple[str, ...]:
        """The commands that fix it, one a line; empty where nothing has to be, or can be, fixed on this machine."""
        return self._diagnosed.remediation

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works now and will not after the next reboot."""
        return self._diagnosed.warnings

    def _decided(self, answer: Answer) -> bool:
        if answer is Answer.UNKNOWN:
            raise NotObserved(self.diagnosis)
        return answer is Answer.YES

    def __getattr__(self, name: str) -> Any:
        """Read a fact."""
        if name not in _FACTS:
            known = ", ".join(sorted(_FACTS))
            raise AttributeError(f"there is no fact {name!r}; the facts are {known}")
        return getattr(self._machine, name)

    def __dir__(self) -> list[str]:
        """List the facts as well."""
        return sorted({*super().__dir__(), *_FACTS})

    def __repr__(self) -> str:
        """Return the diagnosis, which is what a failed assertion shows."""
        return f"<{self.diagnosis}>"


def observe(where: str | Host, *, libvirt: str | None = _LIBVIRT, settings: Settings | None = None) -> Inspection:
    """Inspect a machine once, by the one read-only probe of the audit.

    Args:
        where: a host spec such as `local://` or `ssh://root@kvm-a`, or a Testinfra host, whose connection is used then.
        libvirt: the URI of its libvirt; None: there is none.
        settings: time limits, ssh_config and sudo, for a host spec.

    Raises:
        InventoryError: `where` is not a host spec.
        ObservationError: the machine could not be inspected.
    """
    if not isinstance(where, str):
        connection = foreign_connection(where)
        return _inspect(connection, connection.address, libvirt, settings or Settings())
    chosen, address = settings or Settings(), Address.parse(where)
    own = connect(address, chosen, name=address.spec)
    try:
        return _inspect(own, address, libvirt, chosen)
    finally:
        own.close()


def inspection_of(host: Host, seen: MutableMapping[object, Inspection | Exception]) -> Inspection:
    """Return the inspection of a host; each is inspected once, also where that fails.

    Raises:
        ObservationError: it could not be inspected.
    """
    key = foreign_connection(host).key
    if key not in seen:
        try:
            seen[key] = observe(host)
        except Exception as error:  # noqa: BLE001 - raised below, and again for each further test
            seen[key] = error
    found = seen[key]
    if isinstance(found, Exception):
        raise found
    return found


def _inspect(connection: Connection, address: Address, libvirt: str | None, settings: Settings) -> Inspection:
    target = Target(connection.name, TargetLevel.AUTO, address, Policy(), libvirt=libvirt)
    return Inspection(observe_target(target, connection, settings))
