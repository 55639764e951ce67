"""On s390x `nested` and `hpage` exclude each other: a load with both fails.

Source: `kvm_s390_init` in arch/s390/kvm/kvm-s390.c.
"""

from dataclasses import replace
from typing import Final

from nested_kvm.evidence.reading import Reading
from nested_kvm.facts.kernel.parameter import ParameterType, Setting, read_parameter
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.load_outcome import NextLoad, Outcome
from nested_kvm.facts.modprobe.show_depends import ShowDepends

HPAGE: Final = "hpage"
_MAY_GO_TOGETHER_SINCE: Final = (6, 19)
"""No kernel before it takes both; which one does first is not established."""


def with_hpage(next_load: NextLoad, oracle: Reading, release: KernelRelease) -> NextLoad:
    """The next load of s390x's kvm, given what kmod also hands to it."""
    options = ShowDepends.parse(next_load.module, oracle.text).options or ""
    decisive = read_parameter(options, HPAGE, ParameterType.INT, release).decisive
    if decisive is not None and decisive.setting is Setting.INVALID:
        reason = f"{decisive.word.text} is invalid for the parameter's type: the module will not load"
        return replace(next_load, outcome=Outcome.FAILS, reason=reason)
    if next_load.outcome is not Outcome.ON or decisive is None or decisive.setting is Setting.OFF:
        return next_load
    both = f"{next_load.value or 'nested'} and {decisive.word.text}"
    if decisive.setting is Setting.UNDECIDED or release.has(_MAY_GO_TOGETHER_SINCE) is not False:
        return replace(next_load, outcome=Outcome.UNKNOWN, reason=f"whether this kernel takes {both} is not known")
    reason = f"{both} exclude each other: the module will not load"
    return replace(next_load, outcome=Outcome.FAILS, reason=reason)
