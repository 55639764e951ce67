"""What a kernel's version proves."""

import pytest

from nested_kvm.facts.kernel.parameter import Setting
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.default_value import default_nested

ON_SINCE = (4, 20)
ENTERPRISE = (
    "3.10.0-1160.el7.x86_64",
    "4.18.0-553.el8_10.x86_64",
    "4.12.14-122.37-default",
    "4.15.18-30-pve",
    "4.14.336-257.562.amzn2.x86_64",
    "3.10.0-1160.41.1.vz7.183.5",
    "4.14.35-2047.el7uek.x86_64",
    "4.19.0+1.xs8",
    "4.19.90-2107.6.0.0100.oe1.x86_64",
    "4.19.91-27.al7.x86_64",
)
UPSTREAM = (
    "4.19.0",
    "4.19.325",
    "4.19.0-27-amd64",
    "4.19.0-0.deb10.1-cloud-amd64",
    "4.15.0-213-generic",
    "4.15.0-1160-aws",
    "4.19.104-microsoft-standard",
    "4.19.12-arch1-1-ARCH",
)


@pytest.mark.parametrize("release", ENTERPRISE)
def test_an_old_version_of_an_enterprise_kernel_proves_nothing(release: str) -> None:
    assert default_nested("kvm_intel", KernelRelease.parse(release)) is Setting.UNDECIDED


@pytest.mark.parametrize("release", UPSTREAM)
def test_an_old_version_that_follows_upstream_proves_the_default(release: str) -> None:
    assert default_nested("kvm_intel", KernelRelease.parse(release)) is Setting.OFF


@pytest.mark.parametrize("release", ["4.20.0-rc1", "5.14.0-570.el9.x86_64", "6.8.12-4-pve", "6.1.192-2"])
def test_a_newer_version_proves_it_wherever_it_comes_from(release: str) -> None:
    assert default_nested("kvm_intel", KernelRelease.parse(release)) is Setting.ON
    assert KernelRelease.parse(release).has(ON_SINCE)
