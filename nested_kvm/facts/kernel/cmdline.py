"""The kernel command line as the kernel itself reads it, which is what applies to a built-in module.

Sources: the kernel's Documentation/admin-guide/kernel-parameters.rst, `parse_args` in kernel/params.c, `blacklisted`
in kernel/module/main.c.
"""

from collections.abc import Iterable
from typing import Final

from nested_kvm.facts.kernel.parameter import ParameterReading, ParameterType, Setting, read_parameter, words
from nested_kvm.facts.kernel.release import KernelRelease


def builtin_parameter(
    cmdline: str, module: str, name: str, kind: ParameterType | None, release: KernelRelease
) -> ParameterReading:
    """Find the assignments of a built-in module's parameter (`kvm-amd.nested=0`), up to a lone `--`.

    An invalid value does not prevent a built-in module from starting: `ParameterReading.last_valid` counts.
    """
    return read_parameter(cmdline, f"{module}.{name}", kind, release)


_INITIALIZERS: Final = {
    "kvm_amd": frozenset({"svm_init"}),
    "kvm_intel": frozenset({"vmx_init", "vt_init"}),
    "kvm_hv": frozenset({"kvmppc_book3s_init_hv"}),
    "kvm": frozenset({"kvm_x86_init", "kvm_s390_init", "kvm_arm_init"}),
}
"""The functions that a module's start calls, over the kernel's versions."""


def skipped_initcalls(cmdline: str, modules: Iterable[str]) -> tuple[str, ...]:
    """Name the init functions of the modules that `initcall_blacklist=` skips, of loadable and built-in modules alike.

    Source: `initcall_blacklist` and `do_one_initcall` in the kernel's init/main.c.
    """
    wanted = frozenset[str]().union(*(_INITIALIZERS.get(each, frozenset()) for each in modules))
    lists = [word.value or "" for word in words(cmdline) if word.name.replace("-", "_") == "initcall_blacklist"]
    return tuple(name for each in lists for name in each.split(",") if name in wanted)


def refused_modules(cmdline: str) -> frozenset[str]:
    """Name the modules that the kernel refuses to load: `module_blacklist=`, of which the last one counts.

    Names are compared literally: `kvm-amd` refuses nothing, because the module's own name is `kvm_amd`.
    """
    lists = [
        word.value
        for word in words(cmdline)
        if word.name.replace("-", "_") == "module_blacklist" and word.value is not None
    ]
    return frozenset(name for name in lists[-1].split(",") if name) if lists else frozenset()


def word_against_modules(cmdline: str) -> str | None:
    """The word by which the kernel loads no module at all (`nomodule`); None: it does not say so.

    Source: `core_param(nomodule, modules_disabled, bint, 0)` in the kernel's kernel/module/main.c.
    """
    decisive = read_parameter(cmdline, "nomodule", ParameterType.BOOL).last_valid
    return decisive.word.text if decisive is not None and decisive.setting is Setting.ON else None


_FLAGS: Final = {"kvm_intel": frozenset({"vmx", "133"}), "kvm_amd": frozenset({"svm", "194"})}
"""The CPU's flag that each module needs, and its number (arch/x86/include/asm/cpufeatures.h)."""


def cleared_flags(cmdline: str, module: str) -> tuple[str, ...]:
    """Name what `clearcpuid=` takes away of the flag that a module needs; of several the last one counts.

    Then the CPU's alias, by which udev finds the module, lacks it as well. Source: `parse_set_clear_cpuid` in the
    kernel's arch/x86/kernel/cpu/common.c.
    """
    lists = [word.value or "" for word in words(cmdline) if word.name == "clearcpuid"]
    return tuple(name for name in lists[-1].split(",") if name in _FLAGS.get(module, ())) if lists else ()
