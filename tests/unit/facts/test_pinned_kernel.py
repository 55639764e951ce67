"""A fixed kernel that runs, and another one that grub starts next: what the next boot loses."""

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.advisories.advisory_file import packaged_advisories
from nested_kvm.facts.kernel.build import PinnedKernel, kernel_build_of, pinned_kernel_of
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.exposure import Exposure, Reach, exposure_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Outcome
from nested_kvm.remediation.escape import start_this_kernel
from tests.support.bundles import bundle_of, ok
from tests.support.evaluation import evaluate, readings_of

NEW, OLD = "5.14.0-687.24.1.el9_8.x86_64", "5.14.0-600.1.1.el9_7.x86_64"
DEBUG = f"{NEW}+debug"
ID = "0b1c2d3e4f"
OPEN = Reach(Answer.YES, Answer.YES, "nested is on")


def pinned(environment: str, *entries: str, running: str = NEW) -> PinnedKernel | None:
    listing = "\n".join(f"{each}.conf" for each in entries)
    bundle = bundle_of(ok(sources.GRUBENV, environment), ok(sources.BOOT_ENTRIES, listing))
    return pinned_kernel_of(bundle, running, (NEW, OLD, DEBUG))


@pytest.mark.parametrize(
    ("environment", "release"),
    [
        (f"saved_entry={ID}-{OLD}", OLD),
        (f"saved_entry={ID}-{OLD}.conf", OLD),
        (f"saved_entry={ID}-{DEBUG}", DEBUG),
        (f"saved_entry={ID}-{NEW}\nnext_entry={ID}-{OLD}", OLD),
        (f"saved_entry=gnulinux-advanced-0b1c>gnulinux-{OLD}-advanced-0b1c", OLD),
        (f"saved_entry=Red Hat Enterprise Linux ({OLD}) 9.8 (Plow)", OLD),
        ("saved_entry=2", None),
        (f"saved_entry={ID}-0-rescue", None),
        ("saved_entry=1>2", None),
        (f"saved_entry={ID}-5.14.0-1.el9.x86_64", None),
    ],
)
def test_the_environment_names_another_kernel(environment: str, release: str | None) -> None:
    found = pinned(environment)
    assert found is not None
    assert found.release == release
    assert found.evidence[0].text in environment


@pytest.mark.parametrize(
    ("environment", "entries"),
    [
        ("", ()),
        ("# GRUB Environment Block\n####", ()),
        ("saved_entry=\nnext_entry=", ()),
        ("saved_entry=0", ()),
        (f"saved_entry={ID}-{NEW}", ()),
        (f"saved_entry=Red Hat Enterprise Linux ({NEW}) 9.8 (Plow)", ()),
        ("saved_entry=SLES 15-SP5", ()),
        (f"saved_entry={ID}-5.14.0-1.el9.x86_64", (f"{ID}-{NEW}", f"{ID}-{OLD}")),
        (f"next_entry=\nsaved_entry={ID}-{NEW}", (f"{ID}-{NEW}",)),
    ],
)
def test_the_environment_names_the_running_kernel_or_none(environment: str, entries: tuple[str, ...]) -> None:
    assert pinned(environment, *entries) is None


@pytest.mark.parametrize("status", [Status.UNREADABLE, Status.TIMED_OUT])
def test_an_environment_that_cannot_be_read_may_name_any(status: Status) -> None:
    found = pinned_kernel_of(bundle_of(Reading(sources.GRUBENV, status)), NEW, (NEW,))
    assert found is not None
    assert found.release is None


def exposure(release: str | None, reach: Reach = OPEN, *, running: str = "6.1.192") -> Exposure:
    build = kernel_build_of(bundle_of(ok(sources.KERNEL_RELEASE, running), ok(sources.KERNEL_VERSION, "#1 SMP")))
    return exposure_of(build, Vendor.AMD, packaged_advisories(), reach, PinnedKernel(release, "a reason"))


def test_an_older_release_lacks_what_the_running_one_has() -> None:
    found = exposure("6.1.150")
    assert "CVE-2026-53359" in {each.id for each in found.fixed_until_boot(Answer.YES)}
    assert found.open == ()


@pytest.mark.parametrize("release", ["6.1.193", "7.3.1"])
def test_a_later_one_lacks_nothing(release: str) -> None:
    found = exposure(release)
    assert (found.fixed_until_boot(Answer.YES), found.fixed_until_boot(Answer.UNKNOWN)) == ((), ())


@pytest.mark.parametrize("release", [None, "6.1.0-47-amd64", "5.14.0-600.1.1.el9_7.x86_64"])
def test_of_what_no_version_shows_nothing_is_known(release: str | None) -> None:
    found = exposure(release)
    assert found.fixed_until_boot(Answer.YES) == ()
    assert found.fixed_until_boot(Answer.UNKNOWN)


def test_what_no_guest_reaches_after_the_boot_does_not_matter() -> None:
    closed = Reach(Answer.NO, Answer.NO, "nested is off")
    for release in ("6.1.150", None):
        lost = [exposure(release, closed).fixed_until_boot(each) for each in (Answer.YES, Answer.UNKNOWN)]
        assert not [each.id for some in lost for each in some if each.needs_nesting]


CHANGELOG = "gzip -dc /usr/share/doc/linux-image-6.1.0-56-amd64/changelog.gz"
PACKAGE = """
Package: linux-image-6.1.0-40-amd64
Status: install ok installed
Version: 6.1.153-1
"""


@pytest.mark.parametrize(
    ("entry", "packages", "outcome"),
    [
        ("6.1.0-40-amd64", PACKAGE, Outcome.FAIL),
        ("6.1.0-40-amd64", PACKAGE.replace("install ok", "hold ok"), Outcome.FAIL),
        ("6.1.0-40-amd64", "", Outcome.INFORMATIONAL),
        ("6.1.0-56-amd64", PACKAGE, Outcome.PASS),
    ],
)
def test_a_fixed_kernel_that_the_next_boot_does_not_start_is_no_pass(
    entry: str, packages: str, outcome: Outcome
) -> None:
    readings = {target: dict(own) for target, own in readings_of("intel-passes").items()}
    (own,) = readings.values()
    own[sources.GRUBENV] = ok(sources.GRUBENV, f"saved_entry={ID}-{entry}")
    own[sources.MODULE_TREES] = ok(sources.MODULE_TREES, "6.1.0-40-amd64\n6.1.0-56-amd64")
    own[CHANGELOG] = ok(CHANGELOG, own[CHANGELOG].text + packages)
    answers = evaluate("intel-passes", readings)
    assert {found.outcome for (_, control), found in answers.items() if control == "L0-SEC-03"} == {outcome}


@pytest.mark.parametrize(("name", "unset"), [("saved_entry", False), ("next_entry", True)])
def test_the_remedy_is_to_start_the_kernel_that_runs(name: str, *, unset: bool) -> None:
    commands = start_this_kernel(f"{name}={ID}-{OLD}")
    assert any("unset next_entry" in each for each in commands) is unset
    assert any(each.startswith("grubby --set-default") for each in commands)
