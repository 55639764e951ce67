"""The value of `nested` that a module has where nothing sets it.

Sources: arch/x86/kvm/svm/svm.c (on since 2009), arch/x86/kvm/vmx/vmx.c (off since 3.1, on since 4.20),
arch/s390/kvm/kvm-s390.c (off), arch/powerpc/kvm/book3s_hv.c (on).
"""

from nested_kvm.facts.kernel.parameter import Setting
from nested_kvm.facts.kernel.release import KernelRelease

_INTEL_ON_SINCE = (4, 20)
_CONSTANT = {"kvm_amd": Setting.ON, "kvm_hv": Setting.ON, "kvm": Setting.OFF}


def default_nested(module: str, release: KernelRelease) -> Setting:
    """Determine a module's default for `nested`; undecided where a vendor may have changed it or nothing is known.

    For `kvm` this is the default on s390x, the only architecture where that module has the parameter.
    """
    name = module.replace("-", "_")
    if name != "kvm_intel":
        return _CONSTANT.get(name, Setting.UNDECIDED)
    on = release.has(_INTEL_ON_SINCE)
    if on is None:
        return Setting.UNDECIDED
    return Setting.ON if on else Setting.OFF
