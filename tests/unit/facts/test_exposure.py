"""Whether a kernel is fixed: proven by its changelog, the vendor's release or the upstream version, or not decided."""

from datetime import UTC, datetime

import pytest

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.advisories.advisory_file import packaged_advisories
from nested_kvm.facts.kernel.build import kernel_build_of
from nested_kvm.facts.kernel.changelog import changelog_of
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.exposure import CveState, Reach, cve_state, exposure_of
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.policy import Policy

JANUSCAPE = "CVE-2026-53359"
TITLE = "KVM: x86: Fix shadow paging use-after-free due to unexpected role"
DPKG = "gzip -dc /usr/share/doc/linux-image-6.1.0-56-amd64/changelog.gz"
RPM = "rpm -qf --changelog /lib/modules/5.14.0-687.el9_8.x86_64/vmlinuz"
DEBIAN = "#1 SMP PREEMPT_DYNAMIC Debian {} (2026-11-16)"


def bundle(release: str, version: str = "", distribution: str = "", **more: str) -> Bundle:
    texts = {
        "/proc/sys/kernel/osrelease": release,
        "/proc/sys/kernel/version": version,
        "/etc/os-release": f"ID={distribution}",
        **more,
    }
    target = Target("kvm-a", TargetLevel.L0, Address.parse("kvm-a"), Policy())
    readings = {source: Reading(source, Status.OK, text) for source, text in texts.items()}
    return Bundle(target, datetime(2026, 1, 1, tzinfo=UTC), "0", readings)


def state(seen: Bundle, identifier: str = JANUSCAPE) -> CveState:
    advisory = packaged_advisories().named(identifier)
    assert advisory is not None
    return cve_state(kernel_build_of(seen), advisory)


@pytest.mark.parametrize(
    ("release", "answer"),
    [
        ("6.1.176", Answer.NO),
        ("6.1.177", Answer.YES),
        ("6.12.94", Answer.NO),
        ("6.12.117", Answer.YES),
        ("7.0.7", Answer.NO),
        ("7.1.2", Answer.NO),
        ("7.1.3", Answer.YES),
        ("7.2", Answer.YES),
        ("7.3.4", Answer.YES),
        ("6.16.12", Answer.NO),
        ("2.6.35", Answer.YES),
        ("5.15.222", Answer.UNKNOWN),
        ("5.15.211", Answer.UNKNOWN),
    ],
)
def test_an_upstream_version_decides(release: str, answer: Answer) -> None:
    assert state(bundle(release)).is_fixed is answer


@pytest.mark.parametrize(
    "release",
    [
        "5.14.0-687.24.1.el9_8.x86_64",
        "6.12.95-talos",
        "6.12.200-1-pve",
        "6.8.0-140-generic",
        "7.2.13-200.fc45.x86_64",
        "7.3.0-rc1",
        "6.1.190+",
        "6.18.44-fc-v669",
        "",
        "not a version",
        "6.1.177.177",
        "99999999999.1.1",
        "\x00",
        "6.1.\u0661\u0667\u0667",
    ],
)
def test_the_version_of_any_other_kernel_proves_nothing(release: str) -> None:
    assert state(bundle(release)).is_fixed is Answer.UNKNOWN


@pytest.mark.parametrize(("package", "answer"), [("6.1.176-1", Answer.NO), ("6.1.192-2", Answer.YES)])
def test_debians_kernel_names_its_version(package: str, answer: Answer) -> None:
    found = state(bundle("6.1.0-56-amd64", DEBIAN.format(package), "debian"))
    assert found.is_fixed is answer
    assert any(package in item.text for item in found.evidence)


@pytest.mark.parametrize(
    ("distribution", "release", "answer"),
    [
        ("almalinux", "5.14.0-687.23.1.el9_8.x86_64", Answer.YES),
        ("almalinux", "5.14.0-687.5.1.el9_8.x86_64", Answer.NO),
        ("almalinux", "5.14.0-687.el9_8.x86_64", Answer.NO),
        ("rocky", "5.14.0-687.23.1.el9_8.x86_64", Answer.NO),
        ("rhel", "5.14.0-687.24.1.el9_8.x86_64", Answer.UNKNOWN),
        ("almalinux", "5.14.0-999.1.1.el9_9.x86_64", Answer.UNKNOWN),
        ("fedora", "7.1.3-200.fc44.x86_64", Answer.YES),
        ("fedora", "7.1.2-200.fc44.x86_64", Answer.NO),
        ("talos", "6.18.38-talos", Answer.YES),
        ("talos", "6.18.36-talos", Answer.NO),
    ],
)
def test_a_vendors_release_is_compared_within_its_stream_only(distribution: str, release: str, answer: Answer) -> None:
    found = state(bundle(release, distribution=distribution))
    assert found.is_fixed is answer
    assert answer is Answer.UNKNOWN or "https://" in found.reason


def dpkg(*lines: str, running: str = "6.1.150-1") -> Bundle:
    text = "\n".join([f"linux ({running}) bookworm-security; urgency=high", *lines])
    return bundle("6.1.0-56-amd64", DEBIAN.format("6.1.150-1"), "debian", **{DPKG: text})


def test_the_changelog_of_the_running_package_proves_a_fix() -> None:
    found = state(dpkg(f"  * Backport:     - {TITLE}      ({JANUSCAPE})"))
    assert found.is_fixed is Answer.YES
    assert any(JANUSCAPE in item.text and "6.1.150-1" in item.source for item in found.evidence)


@pytest.mark.parametrize(
    ("heading", "running", "answer"),
    [
        ("linux-signed-amd64 (6.1.150+1)", "6.1.150-1", Answer.YES),
        ("linux-signed-amd64 (6.1.150+1~bpo12+1)", "6.1.150-1~bpo12+1", Answer.YES),
        ("linux-signed-amd64 (6.1.150+2)", "6.1.150-1", Answer.NO),
        ("linux (6.1.150+1)", "6.1.150-1", Answer.NO),
    ],
)
def test_a_signed_package_names_the_version_that_was_signed(heading: str, running: str, answer: Answer) -> None:
    text = f"{heading} bookworm-security; urgency=high\n  * {TITLE} ({JANUSCAPE})"
    assert state(bundle("6.1.0-56-amd64", DEBIAN.format(running), "debian", **{DPKG: text})).is_fixed is answer


def test_the_changelog_of_an_update_that_does_not_run_proves_nothing() -> None:
    assert state(dpkg(f"  * {TITLE} ({JANUSCAPE})", running="6.1.192-2")).is_fixed is Answer.NO


@pytest.mark.parametrize(
    "line",
    [
        f"  * This kernel is not affected by {JANUSCAPE}",
        f"  * {JANUSCAPE}: unaffected, KVM is not built",
        f"  * Document that {JANUSCAPE} is still open",
        f"  * KVM: switch nesting off as a workaround ({JANUSCAPE})",
        f"  * KVM: mitigate {JANUSCAPE}",
        f"  * {TITLE} ({JANUSCAPE}0)",
        f"  * {TITLE} (X-{JANUSCAPE})",
        f"  * blacklist.conf: add {TITLE} ({JANUSCAPE})",
    ],
)
def test_a_mention_that_is_no_fix_proves_nothing(line: str) -> None:
    assert state(dpkg(line)).is_fixed is Answer.NO


@pytest.mark.parametrize(
    "line",
    [
        f'  * Revert "{TITLE}"',
        f'  * Revert "{TITLE}" ({JANUSCAPE})',
        f"  * revert: {TITLE}",
        f'  * [x86] Revert "{TITLE[:50]}"',
        f"  * Delete     patches.suse/KVM-x86-Fix-shadow-paging-use-after-free-due-to.patch ({JANUSCAPE})",
        f"  * KVM:     - Temporarily disable patches.suse/KVM-x86-Fix-shadow.patch ({JANUSCAPE} bsc#1270001)",
        f'  * [x86] Drop "{TITLE}" ({JANUSCAPE})',
        f"  * Back out {TITLE} ({JANUSCAPE})",
    ],
)
def test_a_fix_that_was_taken_back_is_not_decided(line: str) -> None:
    older = ["linux (6.1.140-1) bookworm; urgency=low", f"  * {TITLE} ({JANUSCAPE})"]
    assert state(dpkg(line, *older)).is_fixed is Answer.UNKNOWN
    together = dpkg(line, f"  * {TITLE} ({JANUSCAPE})")
    assert state(together).is_fixed is Answer.UNKNOWN


def test_a_fix_that_was_applied_again_is_one() -> None:
    older = ["linux (6.1.140-1) bookworm; urgency=low", f'  * Revert "{TITLE}"']
    assert state(dpkg(f"  * {TITLE} ({JANUSCAPE})", *older)).is_fixed is Answer.YES


@pytest.mark.parametrize("subject", ["revert the reuse of shadow pages", "x86/mmu: Drop/zap the present SPTE"])
def test_a_patch_that_reverts_something_else_is_a_fix(subject: str) -> None:
    assert state(dpkg(f"  * KVM: {subject} ({JANUSCAPE})")).is_fixed is Answer.YES


@pytest.mark.parametrize(
    ("line", "answer"),
    [(f"   - {TITLE} {{{JANUSCAPE}}}", Answer.YES), (f'   - Revert "{TITLE}"', Answer.UNKNOWN), ("", Answer.UNKNOWN)],
)
def test_an_rpm_changelog_is_the_running_kernels(line: str, answer: Answer) -> None:
    text = f"* Thu Jul 09 2026 Builder <b@example.net> [5.14.0-687.24.1.el9_8]\n{line}"
    assert state(bundle("5.14.0-687.24.1.el9_8.x86_64", distribution="rhel", **{RPM: text})).is_fixed is answer


def test_ubuntus_changelog_names_the_cve_above_its_patches() -> None:
    source = "gzip -dc /usr/share/doc/linux-modules-6.8.0-140-generic/changelog.Debian.gz"
    text = f"linux (6.8.0-140.142) noble; urgency=medium\n  * {JANUSCAPE}     - KVM: x86: Fix shadow paging"
    seen = bundle("6.8.0-140-generic", "#142-Ubuntu SMP PREEMPT_DYNAMIC", "ubuntu", **{source: text})
    assert kernel_build_of(seen).package == "6.8.0-140.142"
    assert state(seen).is_fixed is Answer.YES


@pytest.mark.parametrize(
    "text", ["", "rpm: no such file", "\x00" * 5000, "linux\n  * nothing", f"  * {TITLE} ({JANUSCAPE})"]
)
def test_what_is_no_changelog_is_none(text: str) -> None:
    assert changelog_of(bundle("6.1.177", **{DPKG: text})) is None
    assert changelog_of(bundle("6.1.177", **{RPM: text})) is None


@pytest.mark.parametrize(
    ("name", "enabled", "answer"),
    [
        ("kpatch_6_1_176", "enabled=1", Answer.UNKNOWN),
        ("livepatch_CVE_2026_53359", "enabled=1", Answer.YES),
        ("livepatch-cve-2026-53359-2", "enabled=1", Answer.YES),
        ("livepatch_CVE_2026_533591", "enabled=1", Answer.UNKNOWN),
        ("livepatch_CVE_2026_53359", "enabled=0", Answer.NO),
        ("livepatch_CVE_2026_53359", "enabled!", Answer.UNKNOWN),
    ],
)
def test_a_live_patch_counts_by_its_name_only(name: str, enabled: str, answer: Answer) -> None:
    seen = bundle("6.1.176", **{f"/sys/kernel/livepatch/{name}": f"{enabled}\ntransition=0"})
    assert state(seen).is_fixed is answer


@pytest.mark.parametrize(("enabled", "answer"), [("enabled=1", Answer.UNKNOWN), ("enabled=0", Answer.NO)])
def test_a_live_patch_in_transition_is_not_in_every_process(enabled: str, answer: Answer) -> None:
    found = state(bundle("6.1.176", **{"/sys/kernel/livepatch/livepatch_CVE_2026_53359": f"{enabled}\ntransition=1"}))
    assert found.is_fixed is answer
    assert (answer is Answer.UNKNOWN) is any("transition" in item.text for item in found.evidence)


OLD_PACKAGE = "gzip -dc /usr/share/doc/linux-image-6.1.0-47-amd64/changelog.gz"
STATUS = """linux-signed-amd64 (6.1.170+3) bookworm-security; urgency=high
Package: linux-image-6.1.0-47-amd64
Status: install ok installed
Version: 6.1.170-3
Package: linux-image-6.1.0-56-amd64
Status: {status}
Version: {version}
"""


@pytest.mark.parametrize(
    ("status", "version", "trees", "is_found"),
    [
        ("install ok installed", "6.1.192-2", "6.1.0-47-amd64\n6.1.0-56-amd64", True),
        ("install ok installed", "6.1.176-1", "6.1.0-47-amd64\n6.1.0-56-amd64", False),
        ("deinstall ok config-files", "6.1.192-2", "6.1.0-47-amd64\n6.1.0-56-amd64", False),
        ("install ok installed", "6.1.192-2", "6.1.0-47-amd64", False),
        ("install ok installed", "no version", "6.1.0-47-amd64\n6.1.0-56-amd64", False),
    ],
)
def test_debians_package_shows_that_another_installed_kernel_is_fixed(
    status: str, version: str, trees: str, *, is_found: bool
) -> None:
    """Its release names only the first of its series."""
    status_file = STATUS.format(status=status, version=version)
    more = {"/lib/modules": trees, OLD_PACKAGE: status_file}
    build = kernel_build_of(bundle("6.1.0-47-amd64", DEBIAN.format("6.1.170-3"), "debian", **more))
    reach = Reach(Answer.YES, Answer.YES, "nested is on")
    installed = exposure_of(build, Vendor.AMD, packaged_advisories(), reach).installed_fix
    assert (installed is not None) is is_found
    if installed is not None:
        assert installed.text == "6.1.0-56-amd64 is installed, 6.1.0-47-amd64 runs"
