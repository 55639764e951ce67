"""Which published vulnerabilities of KVM the running kernel has, what proves each, and whether guests reach them.

A version alone proves nothing of a vendor's kernel: `5.14.0-687.24.1.el9_8.x86_64` may have the fix of `6.1.177`.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.facts.kernel.build import KernelBuild, PinnedKernel
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.model.advisory import Advisories, Advisory, CpuVendor, VendorFix
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.kernel_version import KernelVersion, release_numbers

_VENDORS: Final = {CpuVendor.INTEL: Vendor.INTEL, CpuVendor.AMD: Vendor.AMD}


@dataclass(frozen=True, slots=True)
class CveState:
    """Whether the running kernel has the fix of one advisory, and what shows it."""

    advisory: Advisory
    is_fixed: Answer
    reason: str
    """What proves it, or what is missing, in words behind the advisory's id."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether guests reach what only nesting reaches: now, and after the next load of the module."""

    now: Answer
    later: Answer
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Exposure:
    """The advisories that apply to the CPU, and whether guests reach what they describe.

    Source: the facts about the running kernel, its module's parameters, and what the next load of the module does.
    """

    states: tuple[CveState, ...]
    reach: Reach
    installed_fix: Evidence | None
    """A fixed kernel that is installed, and not booted; None: none is known."""
    build: KernelBuild
    pinned: PinnedKernel | None = None
    """The kernel that the next boot starts in place of the running one."""

    @property
    def open(self) -> tuple[CveState, ...]:
        """What the running kernel certainly lacks the fix of."""
        return tuple(each for each in self.states if each.is_fixed is Answer.NO)

    @property
    def undecided(self) -> tuple[CveState, ...]:
        """What neither a version nor the changelog decides."""
        return tuple(each for each in self.states if each.is_fixed is Answer.UNKNOWN)

    def fixed_until_boot(self, lacking: Answer) -> tuple[Advisory, ...]:
        """What the running kernel has the fix of, and the next boot's lacks (`YES`), or may lack (`UNKNOWN`).

        Only what guests reach after the boot, or may reach, where the kernel lacks the fix.
        """
        pinned = self.pinned
        fixed = [each.advisory for each in self.states if pinned is not None and each.is_fixed is Answer.YES]
        return tuple(each for each in fixed if self._lacks(pinned, each) is lacking)

    def _lacks(self, pinned: PinnedKernel | None, advisory: Advisory) -> Answer:
        is_fixed = Answer.UNKNOWN if pinned is None else _is_fixed_in(self.build, pinned.release, advisory)
        if is_fixed is Answer.NO:
            return self.reach_of(advisory).later
        is_reached = self.reach_of(advisory).later is not Answer.NO
        return Answer.UNKNOWN if is_fixed is Answer.UNKNOWN and is_reached else Answer.NO

    @property
    def kernel_is_fixed(self) -> Answer:
        """Whether the running kernel has the fix of every advisory."""
        if self.open:
            return Answer.NO
        return Answer.UNKNOWN if self.undecided else Answer.YES

    @property
    def is_exposed(self) -> bool:
        """Whether guests certainly reach a certain vulnerability, now."""
        return any(self.reach_of(each.advisory).now is Answer.YES for each in self.open)

    def reach_of(self, advisory: Advisory) -> Reach:
        """Whether guests reach what an advisory describes."""
        if advisory.needs_nesting:
            return self.reach
        return Reach(Answer.YES, Answer.YES, "every guest reaches it, nested or not")

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The kernel, what proves the state of each advisory, and what opens or closes nesting."""
        proofs = tuple(Evidence(each.advisory.id, f"{_WORDS[each.is_fixed]}: {each.reason}") for each in self.states)
        quoted = tuple(dict.fromkeys(item for each in self.states for item in each.evidence))
        return (*self.build.evidence, *proofs, *quoted, *self.reach.evidence)


@dataclass(frozen=True, slots=True)
class KnownExposure:
    """The ids of the advisories that are open, and that guests reach now; none where it is not known.

    Source: as for the exposure of the host's kernel.
    """

    ids: tuple[str, ...]

    @property
    def is_exposed(self) -> bool:
        """Whether there is one."""
        return bool(self.ids)


_WORDS: Final = {Answer.YES: "fixed", Answer.NO: "open", Answer.UNKNOWN: "not decided"}


def exposure_of(
    build: KernelBuild, vendor: Vendor, advisories: Advisories, reach: Reach, pinned: PinnedKernel | None = None
) -> Exposure:
    """Whether the kernel has the fix of each advisory that applies to a CPU of that vendor."""
    applying = [each for each in advisories.entries if _VENDORS.get(each.vendor, vendor) is vendor]
    states = tuple(cve_state(build, each) for each in applying)
    open_ones = [each.advisory for each in states if each.is_fixed is Answer.NO]
    return Exposure(states, reach, _installed_fix(build, open_ones), build, pinned)


def cve_state(build: KernelBuild, advisory: Advisory) -> CveState:
    """Whether the kernel has the fix: by its changelog, by the vendor's fixed version, or by the upstream version."""
    for ask in (_by_changelog, _by_vendor, _by_upstream):
        found = ask(build, advisory)
        if found is not None:
            return _with_live_patches(build, found)
    unread = "" if build.changelog_of_running else ", and no changelog of its package was read"
    reason = f"{build.release} is a vendor's kernel, of which the version proves nothing{unread}"
    return _with_live_patches(build, CveState(advisory, Answer.UNKNOWN, reason))


def _by_changelog(build: KernelBuild, advisory: Advisory) -> CveState | None:
    changelog = build.changelog_of_running
    mention = None if changelog is None else changelog.mention(advisory.id, advisory.title)
    if mention is None:
        return None
    if not mention.is_fix:
        reason = "the changelog of the running kernel's package reverts the fix"
        return CveState(advisory, Answer.UNKNOWN, reason, (mention.evidence,))
    reason = "the changelog of the running kernel's package names it as fixed"
    return CveState(advisory, Answer.YES, reason, (mention.evidence,))


def _by_vendor(build: KernelBuild, advisory: Advisory) -> CveState | None:
    fix = next((each for each in advisory.vendors if _is_of_stream(each, build.distribution, build.release)), None)
    if fix is None:
        return None
    is_fixed = release_numbers(build.release) >= fix.fixed
    first = f"{fix.text} is the first fixed release of {fix.stream} ({fix.source})"
    return CveState(advisory, Answer.YES if is_fixed else Answer.NO, f"{build.release}; {first}", build.evidence[:1])


def _is_of_stream(fix: VendorFix, distribution: str, release: str) -> bool:
    return distribution in fix.distributions and fnmatchcase(release, fix.stream) and bool(release_numbers(release))


def _by_upstream(build: KernelBuild, advisory: Advisory) -> CveState | None:
    version = build.upstream
    if version is None:
        return None
    answer, reason = _upstream_answer(version, advisory)
    return CveState(advisory, answer, reason, build.evidence)


def _upstream_answer(version: KernelVersion, advisory: Advisory) -> tuple[Answer, str]:
    first = advisory.fixed.get(version.series)
    if version < advisory.affected_since:
        return Answer.YES, f"upstream {version}; the fault came with {advisory.affected_since}"
    if version >= advisory.mainline:
        return Answer.YES, f"upstream {version}; fixed from {advisory.mainline} on"
    if first is not None:
        answer = Answer.YES if version >= first else Answer.NO
        return answer, f"upstream {version}; fixed in {first}"
    series = "{}.{}".format(*version.series)
    if version.series in advisory.unsettled:
        return Answer.UNKNOWN, f"upstream {version}; published sources do not settle which {series} is fixed"
    return (
        Answer.NO,
        f"upstream {version}; no {series} has the fix, which came with {advisory.mainline}",
    )


def _with_live_patches(build: KernelBuild, found: CveState) -> CveState:
    """A live patch may have the fix that the kernel lacks; only its name can show it."""
    if found.is_fixed is Answer.YES:
        return found
    enabled = [each for each in build.live_patches if each.is_enabled is not False]
    named = found.advisory.id.casefold().replace("-", "_")
    naming = [each for each in enabled if each.is_enabled and _names(each.name, named)]
    if naming:
        reason = "an enabled live patch is named for it"
        return CveState(found.advisory, Answer.YES, reason, (naming[0].evidence,))
    if not enabled:
        return found
    reason = f"{found.reason}; a live patch may be enabled that has the fix"
    evidence = (*found.evidence, *(each.evidence for each in enabled))
    return CveState(found.advisory, Answer.UNKNOWN, reason, evidence)


def _names(patch: str, named: str) -> bool:
    _, found, rest = patch.casefold().replace("-", "_").partition(named)
    return bool(found) and not rest[:1].isdigit()


def _installed_fix(build: KernelBuild, advisories: list[Advisory]) -> Evidence | None:
    """An installed kernel with the fix of everything that the running one lacks."""
    if not advisories:
        return None
    newer, changelog = build.newer_package, build.changelog
    if newer is not None and changelog is not None:
        upstream = KernelVersion.parse(newer.partition("-")[0])
        by_version = (
            build.upstream is not None
            and upstream is not None
            and all(_upstream_answer(upstream, each)[0] is Answer.YES for each in advisories)
        )
        if by_version or all(_is_named(changelog.mention(each.id, each.title)) for each in advisories):
            return Evidence(changelog.source, f"{newer} is installed, {build.package} runs")
    for release in build.installed or ():
        if release != build.release and all(_release_is_fixed(build, release, each) for each in advisories):
            return Evidence(sources.MODULE_TREES, f"{release} is installed, {build.release} runs")
    return None


def _is_named(mention: object) -> bool:
    return bool(getattr(mention, "is_fix", False))


def _is_fixed_in(build: KernelBuild, release: str | None, advisory: Advisory) -> Answer:
    """Whether another release has a fix that the running one has; a later one of its series does."""
    if release is None:
        return Answer.UNKNOWN
    own, other = release_numbers(build.release), release_numbers(release)
    answer = _answer_for_release(build, release, advisory)
    is_later = bool(own) and own[:2] == other[:2] and other >= own
    return Answer.YES if answer is Answer.UNKNOWN and is_later else answer


def _release_is_fixed(build: KernelBuild, release: str, advisory: Advisory) -> bool:
    """Whether another release is certainly fixed."""
    return _answer_for_release(build, release, advisory) is Answer.YES


def _answer_for_release(build: KernelBuild, release: str, advisory: Advisory) -> Answer:
    """Whether another release is fixed, by the vendor's data; or, on Debian, by its package or its name."""
    fix = next((each for each in advisory.vendors if _is_of_stream(each, build.distribution, release)), None)
    if fix is not None:
        return Answer.YES if release_numbers(release) >= fix.fixed else Answer.NO
    if build.upstream is None:
        return Answer.UNKNOWN
    # Debian's releases name the stable release since 6.2; before it they are 6.1.0-56, of the package 6.1.192-2.
    package = build.changelog.packages.get(release) if build.changelog is not None else None
    version = KernelVersion.parse(package.partition("-")[0] if package else release.partition("+deb")[0])
    return Answer.UNKNOWN if version is None else _upstream_answer(version, advisory)[0]
