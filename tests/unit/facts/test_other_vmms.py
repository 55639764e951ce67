"""The guests of Cloud Hypervisor and Firecracker: whether their VMM exposes nesting."""

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.other_vmm import other_vmm_definition
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_guest import VmmGuests, vmm_guests_of
from nested_kvm.facts.kvm.vmm_process import VmmProcess, vmm_processes_of
from tests.support.bundles import bundle_of


def guests(lines: str, vendor: Vendor) -> VmmGuests:
    bundle = bundle_of(Reading("/proc/[0-9]*/cmdline", Status.OK, lines))
    return vmm_guests_of(vmm_processes_of(bundle), VmHolders((7,), are_all=True), vendor)


@pytest.mark.parametrize("vendor", [Vendor.INTEL, Vendor.AMD])
@pytest.mark.parametrize("cpus", ["boot=4", "boot=4,nested=on", "boot=1,max=8"])
def test_cloud_hypervisor_exposes_nesting_by_default(cpus: str, vendor: Vendor) -> None:
    found = guests(f"7 program=cloud-hypervisor\n7 cpus={cpus}", vendor)
    assert found.with_flag == ("cloud-hypervisor-7",)
    assert any(cpus in item.text for item in found.evidence)


@pytest.mark.parametrize("off", ["nested=off", "nested=OFF", "nested=false", 'nested="off"', "nested= off"])
def test_nested_off_counts_on_intel_and_not_on_amd(off: str) -> None:
    lines = f"7 program=cloud-hypervisor\n7 cpus=boot=4,{off}"
    on_intel, on_amd = guests(lines, Vendor.INTEL), guests(lines, Vendor.AMD)
    assert (on_intel.with_flag, on_intel.undecided) == ((), ())
    assert on_amd.with_flag == ()
    assert "version" in on_amd.undecided[0]


@pytest.mark.parametrize(("program", "said"), [("cloud-hypervisor", "its API"), ("firecracker", "CPU template")])
def test_what_the_arguments_do_not_show_is_not_known(program: str, said: str) -> None:
    found = guests(f"7 program={program}", Vendor.INTEL)
    assert found.with_flag == ()
    assert said in found.undecided[0]


@pytest.mark.parametrize("platform", ["tdx=on", "tdx=On", "sev_snp=true", 'num_pci_segments=1,tdx="on"'])
def test_memory_is_encrypted_however_cloud_hypervisor_is_told(platform: str) -> None:
    process = VmmProcess(7, "cloud-hypervisor", cpus="boot=4", platform=platform)
    assert other_vmm_definition(process, None).memory_encryption in {"tdx", "sev_snp"}
