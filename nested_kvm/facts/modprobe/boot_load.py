"""Whether the next boot loads the KVM module that is loaded now again, or only someone who runs modprobe does.

udev loads it by its alias, which a blacklist line forbids; systemd-modules-load by a line that names it, unless that is
forbidden as well (`KMOD_PROBE_APPLY_BLACKLIST` in its modules-load.c); an init script may do so all the same:

    alias:          cpu:type:x86,ven*fam*mod*:feature:*0085*
    /etc/modules-load.d/kvm.conf:kvm_intel
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.facts.modprobe.nested_lines import NestedLines
from nested_kvm.facts.modprobe.show_depends import module_name
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_ALIAS: Final = re.compile(r"alias:\s+(?:x86cpu:|cpu:type:|devname:kvm\b)")
"""By which udev finds the module for this CPU, or the kernel when /dev/kvm is opened (s390x, ppc64)."""
_ALIAS_SINCE: Final = (4, 0)
"""Since then at the latest every module of KVM has such an alias."""
_NAMING: Final = re.compile(r"(?:^|\s)(?:rd\.)?modules[-_]load=(\S{1,400})")


@dataclass(frozen=True, slots=True)
class BootLoad:
    """Whether the next boot loads the module again; None: it is not loaded now.

    Source: `modinfo` of the modules that kmod would load, the lines of modprobe.d, `/etc/modules` and modules-load.d,
    `/proc/cmdline`, and udev's rules.
    """

    loads: Answer | None
    reason: str
    evidence: tuple[Evidence, ...] = ()
    blocked_by: tuple[Evidence, ...] = ()
    """The lines that keep it from loading."""


def boot_load_of(bundle: Bundle, next_load: NextLoad, lines: NestedLines) -> BootLoad:
    """Decide by what is certain: a line that forbids it or one that names it, its alias, or that there is neither."""
    module = next_load.module
    if next_load.is_built_in:
        return BootLoad(Answer.YES, f"{module} is part of the kernel")
    naming = tuple(naming_lines(bundle, module))
    if lines.blocking and naming:
        # systemd-modules-load heeds a blacklist line; an init script that runs modprobe by the name does not.
        reason = f"{naming[0].source} names {module}, and {lines.blocking[0].source} keeps it from loading"
        return BootLoad(Answer.UNKNOWN, reason, (*naming, *lines.blocking), lines.blocking)
    if lines.blocking:
        reason = f"{lines.blocking[0].text} in {lines.blocking[0].source} keeps {module} from loading at boot"
        return BootLoad(Answer.NO, reason, lines.blocking, lines.blocking)
    if naming:
        return BootLoad(Answer.YES, f"{naming[0].source} names {module}", naming)
    if lines.unknown:
        reason = f"whether a line keeps {module} from loading at boot is not known: {lines.unknown}"
        return BootLoad(Answer.UNKNOWN, reason)
    return _by_alias(bundle, module, lines.redirecting)


def _by_alias(bundle: Bundle, module: str, redirecting: tuple[Evidence, ...]) -> BootLoad:
    if redirecting:
        reason = f"{redirecting[0].text} in {redirecting[0].source} may lead udev to another module"
        return BootLoad(Answer.UNKNOWN, reason, redirecting)
    has_alias, reading = _has_alias(bundle, module), bundle.readings.get(sources.UDEV_RULES)
    if has_alias is None or reading is None or not reading.is_ok:
        return BootLoad(Answer.UNKNOWN, f"whether udev finds {module} by an alias is not known")
    if not has_alias:
        reason = f"{module} has no alias by which udev would load it, and no line of modules-load.d names it"
        return BootLoad(Answer.NO, reason, (Evidence(sources.EVERY_MODULE, f"{module} without an alias"),))
    if "/udev/rules.d/" not in reading.text:
        reason = f"no rule of udev names /dev/kvm: whether udev runs here, which would load {module}, is not known"
        return BootLoad(Answer.UNKNOWN, reason)
    return BootLoad(Answer.YES, f"udev loads {module} by its alias")


def naming_lines(bundle: Bundle, module: str) -> Iterator[Evidence]:
    """Yield the lines by which a boot may load the module whatever its aliases are."""
    reading, cmdline = bundle.readings.get(sources.UDEV_RULES), bundle.readings.get(sources.CMDLINE)
    for line in reading.text.split("\n") if reading is not None and reading.is_ok else ():
        path, _, words = line.partition(":")
        is_of_systemd = "/modules-load.d/" in path and path.endswith(".conf")
        # To systemd the whole line is the name; an init script takes what follows the name for options.
        named = words.strip() if is_of_systemd else "".join(words.split()[:1])
        if (is_of_systemd or path == "/etc/modules") and named.replace("-", "_") == module:
            yield Evidence(path, words.strip())
    for found in _NAMING.finditer(cmdline.text if cmdline is not None and cmdline.is_ok else ""):
        if module in found[1].replace("-", "_").split(","):
            yield Evidence(sources.CMDLINE, found[0].strip())


def _has_alias(bundle: Bundle, module: str) -> bool | None:
    reading, release = bundle.readings.get(sources.EVERY_MODULE), bundle.readings.get(sources.KERNEL_RELEASE)
    named = ""
    if reading is not None and reading.is_ok:
        for line in reading.text.split("\n"):
            if line.startswith("filename:"):
                named = module_name(line.partition(":")[2].strip())
            elif named == module and _ALIAS.match(line):
                return True
    version = KernelRelease.parse(release.text).version if release is not None and release.is_ok else None
    if version is not None and version >= _ALIAS_SINCE:
        return True
    return False if reading is not None and f"{module}.ko" in reading.text.replace("-", "_") else None
