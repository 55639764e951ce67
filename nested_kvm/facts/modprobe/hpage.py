"""On s390x `nested` and `hpage` exclude each other: a load with both fails.

Source: `kvm_s390_init` in arch/s390/kvm/kvm-s390.c.
"""

from dataclasses import replace
from typing import Final

from nested_kvm.evidence.reading import Reading
from nested_kvm.facts.kernel.parameter import ParameterType, Setting, read_parameter
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.load_outcome import LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.show_depends import ShowDepends

HPAGE: Final = "hpage"
_MAY_GO_TOGETHER_SINCE: Final = (6, 19)
"""No kernel before it accepts both; which release was the first is not established."""


def with_hpage(next_load: NextLoad, oracle: Reading, release: KernelRelease) -> NextLoad:
    """The next load of s390x's kvm, with the option `hpage` that kmod passes to it as well."""
    options = ShowDepends.parse(next_load.module, oracle.text).options or ""
    decisive = read_parameter(options, HPAGE, ParameterType.INT, release).decisive
    if decisive is not None and decisive.setting is Setting.INVALID:
        reason = f"{decisive.word.text} is not an integer"
        return replace(next_load, outcome=LoadOutcome.FAILS, reason=reason)
    if next_load.outcome is not LoadOutcome.ON or decisive is None or decisive.setting is Setting.OFF:
        return next_load
    both = f"{next_load.value or 'nested'} and {decisive.word.text}"
    if decisive.setting is Setting.UNDECIDED or release.has(_MAY_GO_TOGETHER_SINCE) is not False:
        return replace(
            next_load, outcome=LoadOutcome.UNKNOWN, reason=f"it is not known whether this kernel accepts {both}"
        )
    reason = f"{both} exclude each other"
    return replace(next_load, outcome=LoadOutcome.FAILS, reason=reason)
