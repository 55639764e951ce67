"""What holds the KVM module: it is reloaded only when nothing does."""

from dataclasses import dataclass

from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Holders:
    """The domains that libvirt says run, and the module's own count of its users (None: not shown).

    Source: libvirt's running domains, and the module's use count in `/sys/module`.
    """

    domains: tuple[str, ...]
    use_count: int | None

    @property
    def text(self) -> str:
        """Who holds it, in words."""
        if self.domains:
            return f"held by {', '.join(self.domains)}"
        if self.use_count:
            return f"held by {self.use_count} users that libvirt does not name"
        return "no guest is known to hold it"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The domains that run."""
        return (Evidence("virsh list", ", ".join(self.domains)),) if self.domains else ()
