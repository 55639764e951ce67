"""The kernel's own word on the attacks that reach a host from its guests."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.verdict import Evidence

DIRECTORY: Final = "/sys/devices/system/cpu/vulnerabilities"
_VULNERABLE: Final = re.compile(r"\bVulnerable|VMX: vulnerable")
"""The second is what l1tf says where the flushes for guests are off (arch/x86/kernel/cpu/bugs.c)."""
FROM_GUESTS: Final = ("itlb_multihit", "l1tf")
"""Those that nested guests widen: iTLB multihit by shadow EPT, L1TF by what an L1 maps for its L2."""


@dataclass(frozen=True, slots=True)
class Mitigations:
    """What the kernel says of each; None where this kernel does not know the attack.

    Source: `/sys/devices/system/cpu/vulnerabilities`.
    """

    texts: Mapping[str, str | None]

    @property
    def missing(self) -> tuple[str, ...]:
        """The attacks to which the kernel calls itself vulnerable; `SMT vulnerable` only says what is left open."""
        return tuple(name for name, text in self.texts.items() if text is not None and _VULNERABLE.search(text))

    @property
    def unknown(self) -> tuple[str, ...]:
        """The attacks that this kernel does not speak of."""
        return tuple(name for name, text in self.texts.items() if text is None)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The kernel's texts."""
        return tuple(Evidence(f"{DIRECTORY}/{name}", text) for name, text in self.texts.items() if text is not None)


def mitigations_of(bundle: Bundle) -> Mitigations:
    """The kernel's texts by `/sys/devices/system/cpu/vulnerabilities`.

    Raises:
        ObservationError: one is there and could not be read.
    """
    texts = {name: bundle.text_if_present(f"{DIRECTORY}/{name}") for name in FROM_GUESTS}
    return Mitigations({name: None if text is None else text.strip() for name, text in texts.items()})
