"""Real kernel packages: what their changelog proves and what their version proves never contradict each other."""

import os

import pytest

from nested_kvm.facts.advisories.advisory_file import packaged_advisories
from nested_kvm.model.answer import Answer
from tests.support.kernel_packages import LEAST, KernelPackage, NotAvailable, kernel_packages, table

pytestmark = [pytest.mark.slow, pytest.mark.heavy, pytest.mark.needs("apt-get", "dpkg-deb")]
IDENTIFIERS = [each.id for each in packaged_advisories().entries]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[KernelPackage]:
    try:
        found = kernel_packages(tmp_path_factory.mktemp("kernels"))
    except NotAvailable as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI the kernel packages must be there, but {reason}", pytrace=False)
        pytest.skip(f"no kernel packages: {reason}")
    print("\n".join(table(found)))  # noqa: T201 - shown by -s, and where a test fails
    return found


def test_there_are_enough_of_them_of_several_series(packages: list[KernelPackage]) -> None:
    assert len(packages) >= LEAST
    series = {each.build.upstream.series for each in packages if each.build.upstream is not None}
    assert len(series) >= 4


def test_each_says_itself_which_package_it_is_of(packages: list[KernelPackage]) -> None:
    for package in packages:
        assert package.build.package == package.version
        assert package.build.changelog_of_running is not None, package.name
        assert package.build.newer_package is None


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_what_the_changelog_names_the_version_does_not_deny(packages: list[KernelPackage], identifier: str) -> None:
    for package in packages:
        named = package.states(with_version=False)[identifier]
        by_version = package.states(with_changelog=False)[identifier]
        both = package.states()[identifier]
        if named.is_fixed is Answer.YES:
            assert by_version.is_fixed is not Answer.NO, f"{package.name}: {by_version.reason}; {named.evidence}"
            assert both.is_fixed is Answer.YES
        else:
            assert named.is_fixed is Answer.UNKNOWN, "without a version a changelog proves no fault"
            assert both.is_fixed is by_version.is_fixed


def test_vulnerable_and_fixed_kernels_are_both_in_the_archive(packages: list[KernelPackage]) -> None:
    answers = {state.is_fixed for package in packages for state in package.states().values()}
    assert answers >= {Answer.YES, Answer.NO}
    assert any(
        state.is_fixed is Answer.YES for package in packages for state in package.states(with_version=False).values()
    ), "no changelog names any advisory: the reading of changelogs is broken"
