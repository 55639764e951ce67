"""A flag that the guest's CPU shows, and that KVM in it may not be able to use."""

import pytest

from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.libvirt.usable_flag import why_not_usable
from tests.support.defined import only

AMD, INTEL = Vendor.AMD, Vendor.INTEL


@pytest.mark.parametrize(
    ("argument", "properties", "amd", "intel"),
    [
        ("host", (), True, True),
        ("host,vendor=GenuineIntel", (), False, True),
        ("host,vendor=AuthenticAMD", (), True, False),
        ("host,vendor=HygonGenuine", (), True, False),
        ("host,vendor=KVMKVMKVMKVM", (), False, False),
        ("host,vendor=AuthenticAMD,vendor=GenuineIntel", (), False, True),
        ("host", ("cpu.vendor=GenuineIntel",), False, True),
        ("host", ("driver=cpu,property=vendor,value=GenuineIntel",), False, True),
        ("host", ("property=vendor,value=GenuineIntel,driver=cpu",), False, True),
        ("host", ("cpu.hv-vendor-id=GenuineIntel",), True, True),
        ("EPYC,+svm,+vmx", (), True, False),
        ("EPYC-Milan-v2,vmx=on", (), True, False),
        ("EPYC,+vmx,+vmx-ept", (), True, True),
        ("EPYC,vmx=on,vmx-ept=on", (), True, True),
        ("EPYC,vmx=on,vmx-ept=off", (), True, False),
        ("EPYC,+vmx,-vmx-ept", (), True, False),
        ("Haswell,vmx=on", (), True, True),
        ("kvm64,vmx=on", (), True, True),
        (None, ("cpu.vmx=on",), True, False),
    ],
)
def test_a_process_shows_a_vendor_and_has_controls_or_not(
    argument: str | None, properties: tuple[str, ...], *, amd: bool, intel: bool
) -> None:
    definition = qemu_cpu_definition(argument, properties=properties)
    usable = [why_not_usable(definition, vendor) is None for vendor in (AMD, INTEL)]
    assert usable == [amd, intel]


@pytest.mark.parametrize(
    ("cpu", "amd", "intel"),
    [
        ("host", True, True),
        ("EPYC,flags=+nested-virt", True, False),
        ("Haswell,flags=+nested-virt", False, True),
        ("kvm64,flags=+nested-virt", True, True),
        ("qemu64,flags=+nested-virt", True, False),
        ("x86-64-v2-AES,flags=+nested-virt", True, False),
        ("x86-64-v4,flags=+nested-virt", True, False),
        ("custom-x,flags=+nested-virt", True, False),
    ],
)
def test_proxmox_shows_the_vendor_of_its_model(cpu: str, *, amd: bool, intel: bool) -> None:
    models = ("cpu-models.conf", "cpu-model: x\n    reported-model EPYC-Rome\n")
    found = only(("100.conf", f"name: ci-1\ncpu: {cpu}\n"), models)
    assert [found.why_not_usable([vendor]) is None for vendor in (AMD, INTEL)] == [amd, intel]


def test_what_proxmox_is_given_as_args_shows_the_hosts_vendor() -> None:
    found = only(("100.conf", "name: ci-1\ncpu: Haswell\nargs: -cpu EPYC,+svm\n"))
    assert found.why_not_usable([AMD]) is None


def test_a_flag_that_is_not_given_has_nothing_to_be_used() -> None:
    found = only(("a.xml", "<domain type='kvm'><name>a</name><cpu><model>EPYC</model></cpu></domain>"))
    assert found.why_not_usable([AMD, INTEL]) is None
