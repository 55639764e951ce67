"""The users of the KVM module: while it has any, it cannot be reloaded."""

from dataclasses import dataclass

from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import plural


@dataclass(frozen=True, slots=True)
class ModuleUsers:
    """The domains that libvirt reports as running, and the module's use count (None: not shown).

    Source: libvirt's running domains, and the module's use count in `/sys/module`.
    """

    domains: tuple[str, ...]
    use_count: int | None

    @property
    def text(self) -> str:
        """The module's users, for messages."""
        if self.domains:
            return f"in use by {', '.join(self.domains)}"
        if self.use_count:
            return f"in use by {plural(self.use_count, 'VM or process', 'VMs or processes')} that libvirt does not list"
        return "no running VM is known to use it"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The running domains."""
        return (Evidence("virsh list", ", ".join(self.domains)),) if self.domains else ()


Holders = ModuleUsers
"""The same class, under the name that checks import."""
