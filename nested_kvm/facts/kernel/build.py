"""Which kernel runs: its release, who built it, and which package it is of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.facts.kernel.changelog import Changelog, changelog_of
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.kernel_version import KernelVersion

_DEBIAN: Final = re.compile(
    r"\bDebian (?P<version>(?P<upstream>\d{1,4}\.\d{1,4}(?:\.\d{1,5})?)-[\w.+~]{1,60})", re.ASCII
)
"""Debian's kernels follow the stable series, and name their package in `/proc/version`."""
_UBUNTU: Final = re.compile(r"#(\d{1,6}(?:~[\d.]{1,20})?)-Ubuntu\b", re.ASCII)
_UBUNTUS_RELEASE: Final = re.compile(r"(\d{1,4}\.\d{1,4}\.\d{1,5}-\d{1,6})-[a-z][a-z0-9-]{0,60}", re.ASCII)
_VANILLA: Final = re.compile(r"\d{1,4}\.\d{1,4}(?:\.\d{1,5})?", re.ASCII)
"""A release without any suffix, as kernel.org's sources have it."""
_ID: Final = re.compile(r"^ID=[\"']?([A-Za-z0-9._-]{1,60})[\"']?\s*$", re.ASCII | re.MULTILINE)

_ENTRIES: Final = ("next_entry", "saved_entry")
"""What `grub2-reboot` and `grub2-set-default` write into grub's environment; the first one counts, for one boot."""
_ANY_RELEASE: Final = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,5}", re.ASCII)
_RESCUE: Final = "-0-rescue"
"""In the entry of the kernel that was there when the system was installed."""
_GOES_ON: Final = r"(?![\w.+~])"
_NUMBER: Final = re.compile(r"[1-9][0-9>]{0,10}", re.ASCII)

_ENABLED: Final = {True: "enabled", False: "not enabled", None: "could not be read"}


@dataclass(frozen=True, slots=True)
class LivePatch:
    """A live patch that is loaded."""

    name: str
    is_enabled: bool | None
    """None: that could not be read, or the kernel is still moving processes to it."""
    is_in_transition: bool = False
    """Whether some processes still run what it replaces: a vCPU that stays in its guest for long may be one."""

    @property
    def evidence(self) -> Evidence:
        """Where it is."""
        text = "in transition" if self.is_in_transition else _ENABLED[self.is_enabled]
        return Evidence(f"{sources.LIVE_PATCHES}/{self.name}", text)


@dataclass(frozen=True, slots=True)
class KernelBuild:
    """The running kernel, and what its package and the machine say of it.

    Source: `/proc/sys/kernel/osrelease` and `version`, os-release, `/lib/modules`, `/sys/kernel/livepatch`, and the
    changelog of the running kernel's package.
    """

    release: str
    version: str
    """The text of `/proc/sys/kernel/version`."""
    distribution: str
    """The `ID` of os-release; empty: not known."""
    package: str | None
    """The version of the package that runs, where the kernel itself names it."""
    upstream: KernelVersion | None
    """The upstream version, of an upstream or Debian kernel; None: a vendor's, of which it proves nothing."""
    changelog: Changelog | None
    """None: there is none, or it could not be read."""
    live_patches: tuple[LivePatch, ...] = ()
    installed: tuple[str, ...] | None = None
    """The releases whose modules are installed; None: not inspected."""

    @property
    def changelog_of_running(self) -> Changelog | None:
        """The changelog, where it is certainly the running kernel's, and not that of an update of its package."""
        if self.changelog is None or (self.changelog.is_dpkg and self.package != self.changelog.newest):
            return None
        return self.changelog

    @property
    def newer_package(self) -> str | None:
        """The version of the running kernel's package that is installed in its place, and not booted."""
        if self.changelog is None or not self.changelog.is_dpkg or self.package is None:
            return None
        return self.changelog.newest if self.changelog.newest != self.package else None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The release, and the version that the kernel names."""
        return (
            Evidence(sources.KERNEL_RELEASE, self.release),
            Evidence(sources.KERNEL_VERSION, self.version or "not read"),
        )


def kernel_build_of(bundle: Bundle) -> KernelBuild:
    """The running kernel, by its own texts and its package's changelog.

    Sample of `/proc/sys/kernel/version`: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)`. What earlier probes
    did not read counts as not known.

    Raises:
        ObservationError: the release or the version could not be read.
    """
    release = bundle.text(sources.KERNEL_RELEASE).strip()
    version = bundle.text(sources.KERNEL_VERSION).strip() if sources.KERNEL_VERSION in bundle.readings else ""
    debian = _DEBIAN.search(version)
    return KernelBuild(
        release=release,
        version=version,
        distribution=_distribution(bundle),
        package=debian["version"] if debian else _ubuntus(release, version),
        upstream=KernelVersion.parse(debian["upstream"] if debian else release if _VANILLA.fullmatch(release) else ""),
        changelog=changelog_of(bundle),
        live_patches=tuple(_live_patches(bundle)),
        installed=_installed(bundle),
    )


def _ubuntus(release: str, version: str) -> str | None:
    upload, abi = _UBUNTU.search(version), _UBUNTUS_RELEASE.fullmatch(release)
    return f"{abi[1]}.{upload[1]}" if upload and abi else None


def _distribution(bundle: Bundle) -> str:
    reading = bundle.readings.get(sources.OS_RELEASE)
    found = _ID.search(reading.text) if reading is not None and reading.is_ok else None
    return found[1] if found else ""


def _live_patches(bundle: Bundle) -> Iterator[LivePatch]:
    for source, reading in bundle.readings.items():
        folder, _, name = source.rpartition("/")
        if folder == sources.LIVE_PATCHES:
            values = reading.text.split() if reading.is_ok else []
            found = next((each == "enabled=1" for each in values if each.startswith("enabled=")), None)
            is_in_transition = found is True and "transition=1" in values
            yield LivePatch(name, None if is_in_transition else found, is_in_transition)


def _installed(bundle: Bundle) -> tuple[str, ...] | None:
    reading = bundle.readings.get(sources.MODULE_TREES)
    return tuple(reading.text.split()) if reading is not None and reading.is_ok else None


@dataclass(frozen=True, slots=True)
class PinnedKernel:
    """The kernel that the next boot starts in place of the running one.

    Source: `/boot/grub2/grubenv`, and the folders of `/lib/modules`.
    """

    release: str | None
    """None: which one it is, is not known."""
    reason: str
    evidence: tuple[Evidence, ...] = ()


def pinned_kernel_of(bundle: Bundle, running: str, installed: tuple[str, ...] | None) -> PinnedKernel | None:
    """The kernel that an entry of the environment names; None: it names the running one, or none.

    Sample: `saved_entry=0b1c2d-5.14.0-427.13.1.el9_4.x86_64`, or `gnulinux-advanced-0b1c>gnulinux-6.1.0-40-amd64`.

    Nor is one known where the environment is not in the evidence: L0-PER-06 reports that.
    """
    reading = bundle.readings.get(sources.GRUBENV)
    if reading is None or reading.status in {Status.ABSENT, Status.NOT_COLLECTED}:
        return None
    try:
        lines = reading.require().text.split("\n")
    except ObservationError as error:
        return PinnedKernel(None, f"which kernel boots next is not known: {error}")
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    name = next((each for each in _ENTRIES if given.get(each)), None)
    if name is None:
        return None
    return _named(bundle, Evidence(reading.source, f"{name}={given[name]}"), given[name], running, installed)


def _named(
    bundle: Bundle, evidence: Evidence, entry: str, running: str, installed: tuple[str, ...] | None
) -> PinnedKernel | None:
    if _NUMBER.fullmatch(entry) or _RESCUE in entry:
        return PinnedKernel(None, f"which kernel {evidence.text} starts is not known", (evidence,))
    if _ANY_RELEASE.search(entry) is None:
        return None
    known = [each for each in {running, *(installed or ())} if _is_named(each, entry)]
    release = max(known, key=len, default=None)
    if release == running or (release is None and _is_gone(bundle, entry)):
        return None
    if release is None:
        return PinnedKernel(None, f"{evidence.text} names a kernel that was not found", (evidence,))
    return PinnedKernel(release, f"the next boot starts {release}: {evidence.text}", (evidence,))


def _is_named(release: str, entry: str) -> bool:
    return re.search(rf"(?<![\w.+~]){re.escape(release)}{_GOES_ON}", entry.removesuffix(".conf")) is not None


def _is_gone(bundle: Bundle, entry: str) -> bool:
    """Whether no boot entry has that name any more: grub then starts the first one, which is the newest."""
    listing = bundle.readings.get(sources.BOOT_ENTRIES)
    if listing is None or not listing.is_ok or not listing.text.strip():
        return False
    return f"{entry.removesuffix('.conf')}.conf" not in listing.text.split("\n")
