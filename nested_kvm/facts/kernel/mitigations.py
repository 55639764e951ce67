"""The kernel's own report on the attacks that reach a host from its guests."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.verdict import Evidence

_VULNERABLE: Final = re.compile(r"\bVulnerable|VMX: vulnerable")
"""The second is l1tf's text where flushing for guests is off (arch/x86/kernel/cpu/bugs.c)."""
FROM_GUESTS: Final = ("itlb_multihit", "l1tf")
"""The attacks that nested guests make easier: iTLB multihit by shadow EPT, L1TF by what an L1 maps for its L2."""


@dataclass(frozen=True, slots=True)
class Mitigations:
    """The kernel's text for each attack; None where this kernel does not report on it.

    Source: `/sys/devices/system/cpu/vulnerabilities`.
    """

    texts: Mapping[str, str | None]

    @property
    def missing(self) -> tuple[str, ...]:
        """The attacks to which the kernel reports itself vulnerable; `SMT vulnerable` is only a residual risk."""
        return tuple(name for name, text in self.texts.items() if text is not None and _VULNERABLE.search(text))

    @property
    def unknown(self) -> tuple[str, ...]:
        """The attacks that this kernel does not report on."""
        return tuple(name for name, text in self.texts.items() if text is None)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The kernel's texts."""
        return tuple(
            Evidence(f"{sources.VULNERABILITIES}/{name}", text) for name, text in self.texts.items() if text is not None
        )


def mitigations_of(bundle: Bundle) -> Mitigations:
    """The kernel's texts by `/sys/devices/system/cpu/vulnerabilities`.

    Raises:
        ObservationError: a file exists and could not be read.

    Sample of l1tf: `Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable`
    """
    texts = {name: bundle.text_if_present(f"{sources.VULNERABILITIES}/{name}") for name in FROM_GUESTS}
    return Mitigations({name: None if text is None else text.strip() for name, text in texts.items()})
