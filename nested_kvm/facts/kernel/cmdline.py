"""The kernel command line as the kernel itself reads it, which is what applies to a built-in module.

Sources: the kernel's Documentation/admin-guide/kernel-parameters.rst, `parse_args` in kernel/params.c, `blacklisted`
in kernel/module/main.c.
"""

from nested_kvm.facts.kernel.parameter import ParameterReading, ParameterType, read_parameter, words
from nested_kvm.facts.kernel.release import KernelRelease


def builtin_parameter(
    cmdline: str, module: str, name: str, kind: ParameterType | None, release: KernelRelease
) -> ParameterReading:
    """Find the assignments of a built-in module's parameter (`kvm-amd.nested=0`), up to a lone `--`.

    An invalid value does not prevent a built-in module from starting: `ParameterReading.last_valid` counts.
    """
    return read_parameter(cmdline, f"{module}.{name}", kind, release)


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
