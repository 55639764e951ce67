"""What published failures have in common, in other words, of other vendors, on other architectures, on L0 and L1."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kernel.modules import ModuleTree, kernel_modules_of
from nested_kvm.facts.kvm.device import kvm_device_of
from nested_kvm.facts.kvm.device_rule import device_rule_of
from nested_kvm.facts.kvm.other_vmm import cloud_hypervisor_version, other_vmm_definition
from nested_kvm.facts.kvm.vmm_process import vmm_processes_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from nested_kvm.model.cause import Cause
from nested_kvm.model.layer import Layer, is_physical, layer_of
from tests.support.bundles import TARGET, bundle_of, ok

RELEASE = "6.12.95-generic"
CPUS = {
    "kvm_intel": "processor: 0\nvendor_id: GenuineIntel\nflags: fpu vmx",
    "kvm_amd": "processor: 0\nvendor_id: AuthenticAMD\nflags: fpu svm",
    "kvm": "processor: 0\nFeatures: fp asimd",
}
NOT_FOUND = {
    "kmod": "modprobe: FATAL: Module {module} not found in directory /lib/modules/{release}",
    "module-init-tools": "FATAL: Module {module} not found.",
    "busybox": "modprobe: module {module} not found in modules.dep",
}
TREE_IS_MISSING = {
    "kmod": "modprobe: ERROR: libkmod.c:586 could not open moddep file '/lib/modules/{release}/modules.dep.bin'"
    "\nmodprobe: FATAL: Module {module} not found in directory /lib/modules/{release}",
    "module-init-tools": "FATAL: Could not load /lib/modules/{release}/modules.dep: No such file or directory",
    "busybox": "modprobe: can't change directory to '{release}': No such file or directory",
}


def machine(module: str, answer: str, listing: Reading | None, level: TargetLevel) -> Machine:
    readings = [
        Reading(sources.show_depends(module), Status.FAILED, answer, 1),
        ok(sources.KERNEL_RELEASE, f"{RELEASE}\n"),
        ok(sources.KERNEL_LOG, ""),
        *([] if listing is None else [listing]),
    ]
    uname = "aarch64" if module == "kvm" else "x86_64"
    bundle = bundle_of(*readings, uname=uname, cpuinfo=CPUS[module], modules="")
    return Machine(replace(bundle, target=replace(TARGET, level=level)))


@pytest.mark.parametrize("level", [TargetLevel.L0, TargetLevel.L1])
@pytest.mark.parametrize("module", ["kvm_intel", "kvm_amd", "kvm"])
@pytest.mark.parametrize("words", NOT_FOUND.values(), ids=NOT_FOUND)
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_kernel_without_kvm_is_one_on_both_levels(
    level: TargetLevel, module: str, words: str, *, is_listed: bool
) -> None:
    listing = ok(sources.MODULE_TREES, f"5.4.0-1\n{RELEASE}") if is_listed else None
    absence = machine(module, words.format(module=module, release=RELEASE), listing, level).kvm_absence
    expected = Cause.KERNEL_LACKS_KVM if level is TargetLevel.L0 else Cause.GUEST_KERNEL_LACKS_KVM
    assert (absence.cause, RELEASE in absence.reason) == (expected, True)


@pytest.mark.parametrize("level", [TargetLevel.L0, TargetLevel.L1])
@pytest.mark.parametrize("module", ["kvm_intel", "kvm_amd"])
@pytest.mark.parametrize("words", TREE_IS_MISSING.values(), ids=TREE_IS_MISSING)
@pytest.mark.parametrize("is_listed", [True, False])
def test_modules_that_are_gone_are_told_from_a_kernel_without(
    level: TargetLevel, module: str, words: str, *, is_listed: bool
) -> None:
    listing = ok(sources.MODULE_TREES, "6.12.107-generic") if is_listed else None
    absence = machine(module, words.format(module=module, release=RELEASE), listing, level).kvm_absence
    assert absence.cause is Cause.MODULES_GONE


@pytest.mark.parametrize("level", [TargetLevel.L0, TargetLevel.L1])
@pytest.mark.parametrize("module", ["kvm_intel", "kvm_amd"])
@pytest.mark.parametrize("status", [Status.OK, Status.ABSENT])
def test_without_any_module_on_disk_it_is_a_container_or_an_initrd(
    level: TargetLevel, module: str, status: Status
) -> None:
    words = NOT_FOUND["kmod"].format(module=module, release=RELEASE)
    listing = Reading(sources.MODULE_TREES, status, "")
    assert machine(module, words, listing, level).kvm_absence.cause is Cause.NO_MODULES


@pytest.mark.parametrize(
    ("flags", "words", "cause"),
    [
        ("fpu svm", "a vendor's words of no known kind", Cause.MODULE_LOAD_FAILED),
        ("fpu", "a vendor's words of no known kind", Cause.MODULE_NOT_LOADED),
        ("fpu", "disabled by bios", Cause.MODULE_LOAD_FAILED),
    ],
)
def test_words_of_no_kind_explain_nothing_beside_a_missing_flag(flags: str, words: str, cause: Cause) -> None:
    readings = [
        Reading(sources.show_depends("kvm_amd"), Status.OK, "insmod /lib/modules/1/kvm-amd.ko", 0),
        ok(sources.KERNEL_RELEASE, f"{RELEASE}\n"),
        ok(sources.KERNEL_LOG, f"[    0.362449] kvm: {words}"),
    ]
    cpus = f"processor: 0\nvendor_id: AuthenticAMD\nflags: {flags}"
    bundle = bundle_of(*readings, uname="x86_64", cpuinfo=cpus, modules="")
    absence = Machine(replace(bundle, target=replace(TARGET, level=TargetLevel.L1))).kvm_absence
    assert absence.cause is cause


@pytest.mark.parametrize("status", [Status.TIMED_OUT, Status.MISSING])
def test_a_kmod_that_did_not_answer_proves_nothing(status: Status) -> None:
    readings = Reading(sources.show_depends("kvm_amd"), status), ok(sources.KERNEL_RELEASE, RELEASE)
    assert kernel_modules_of(bundle_of(*readings), "kvm_amd").tree is ModuleTree.UNKNOWN


@pytest.mark.parametrize(
    ("dmi", "release", "layer"),
    [
        ("QEMU Standard PC (i440FX + PIIX, 1996)", "6.1.0", Layer.QEMU),
        ("Red Hat KVM", "4.18.0", Layer.QEMU),
        ("OpenStack Foundation OpenStack Nova", "5.15.0", Layer.QEMU),
        ("VMware, Inc. VMware Virtual Platform", "5.15.0", Layer.VMWARE),
        ("innotek GmbH VirtualBox", "5.15.0", Layer.VIRTUALBOX),
        ("Xen HVM domU", "6.1.0", Layer.XEN),
        ("Microsoft Corporation Virtual Machine", "6.1.0", Layer.HYPER_V),
        ("Microsoft Corporation Virtual Machine", "6.8.0-1030-azure", Layer.AZURE),
        ("", "5.15.167.4-microsoft-standard-WSL2", Layer.WSL),
        ("Amazon EC2 m5.large", "6.1.0", Layer.EC2),
        ("Amazon EC2 m5.metal", "6.1.0", None),
        ("Google Google Compute Engine", "6.1.0", Layer.GOOGLE),
        ("Cloud Hypervisor cloud-hypervisor", "6.1.0", Layer.CLOUD_HYPERVISOR),
        ("Apple Inc. Apple Virtualization Generic Platform", "6.8.0", Layer.APPLE),
        ("Dell Inc. PowerEdge R650", "6.1.0", None),
        ("Microsoft Corporation Surface Laptop 4", "6.1.0", None),
        ("Google Eve", "6.1.0", None),
        ("", "6.1.0", None),
    ],
)
def test_the_layer_below_is_named(dmi: str, release: str, layer: Layer | None) -> None:
    assert layer_of(dmi, release) is layer
    assert not (layer is not None and is_physical(dmi))


@pytest.mark.parametrize(
    ("cmdline", "layer"),
    [
        ("reboot=k panic=-1 quiet init=/init.krun", Layer.LIBKRUN),
        ("console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw", Layer.FIRECRACKER),
        ("root=/dev/sda1 reboot=k", None),
    ],
)
def test_a_vmm_without_dmi_is_named_by_its_command_line(cmdline: str, layer: Layer | None) -> None:
    assert layer_of("", "6.1.0", cmdline) is layer


@pytest.mark.parametrize(
    ("cpus", "version", "vendor", "given"),
    [
        ("boot=4", 48, Vendor.AMD, Answer.YES),
        ("boot=4", 48, Vendor.INTEL, Answer.YES),
        ("boot=4,nested=off", 51, Vendor.INTEL, Answer.NO),
        ("boot=4,nested=off", 52, Vendor.AMD, Answer.NO),
        ("boot=4,nested=off", 51, Vendor.AMD, Answer.YES),
        ("boot=4,nested=off", None, Vendor.AMD, Answer.UNKNOWN),
        ("boot=4,nested=on", 52, Vendor.AMD, Answer.YES),
        ("boot=4,topology=1:2:2:1", 37, Vendor.AMD, Answer.NO),
        ("boot=4,topology=1:2:2:1", 38, Vendor.AMD, Answer.YES),
        ("boot=4,topology=1:2:2:1", None, Vendor.AMD, Answer.UNKNOWN),
        ("boot=4,topology=1:2:2:1", 37, Vendor.INTEL, Answer.YES),
        (None, 52, Vendor.AMD, Answer.UNKNOWN),
    ],
)
def test_cloud_hypervisor_is_judged_by_its_arguments_and_version(
    cpus: str | None, version: int | None, vendor: Vendor, given: Answer
) -> None:
    text = "7 program=cloud-hypervisor\n" + ("" if cpus is None else f"7 cpus={cpus}\n")
    shown = [] if version is None else [ok(sources.CLOUD_HYPERVISOR, f"cloud-hypervisor v{version}.0.1")]
    bundle = bundle_of(ok(sources.VMM_PROCESSES, text), *shown)
    (process,) = vmm_processes_of(bundle).processes
    assert cloud_hypervisor_version(bundle) == version
    assert other_vmm_definition(process, version).promise(vendor).gives_flag is given


@pytest.mark.parametrize("program", ["firecracker", "openvmm", "krunvm", "krun"])
@pytest.mark.parametrize("vendor", [Vendor.AMD, Vendor.INTEL])
def test_what_a_vmm_does_not_show_is_unknown_and_named(program: str, vendor: Vendor) -> None:
    (process,) = vmm_processes_of(bundle_of(ok(sources.VMM_PROCESSES, f"7 program={program}\n"))).processes
    promise = other_vmm_definition(process, None).promise(vendor)
    assert (promise.gives_flag, program in promise.reason) == (Answer.UNKNOWN, True)
    assert process.layer is not Layer.QEMU


@pytest.mark.parametrize("program", ["crosvm", "stratovirt", "lkvm"])
@pytest.mark.parametrize("vendor", [Vendor.AMD, Vendor.INTEL])
def test_a_vmm_that_filters_nothing_hands_on_what_kvm_offers(program: str, vendor: Vendor) -> None:
    (process,) = vmm_processes_of(bundle_of(ok(sources.VMM_PROCESSES, f"7 program={program}\n"))).processes
    promise = other_vmm_definition(process, None).promise(vendor)
    assert (promise.gives_flag, process.layer is Layer.QEMU) == (Answer.YES, False)


@pytest.mark.parametrize(("platform", "encryption"), [("sev_snp=on", "sev_snp"), ("tdx=on", "tdx"), ("uuid=1", None)])
def test_an_encrypted_guest_of_cloud_hypervisor_is_seen_from_outside(platform: str, encryption: str | None) -> None:
    text = f"7 program=cloud-hypervisor\n7 cpus=boot=1\n7 platform={platform}\n"
    (process,) = vmm_processes_of(bundle_of(ok(sources.VMM_PROCESSES, text))).processes
    assert other_vmm_definition(process, 52).memory_encryption == encryption


def rules(*lines: tuple[str, str]) -> Reading:
    return ok(sources.UDEV_RULES, "\n".join(f"{path}:{rule}" for path, rule in lines))


DEFAULT = ("/usr/lib/udev/rules.d/50-udev-default.rules", 'KERNEL=="kvm", GROUP="kvm", MODE="0660"')


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        ([DEFAULT], "rw-rw----"),
        ([DEFAULT, ("/etc/udev/rules.d/99-kvm.rules", 'KERNEL=="kvm", MODE="0666"')], "rw-rw-rw-"),
        ([DEFAULT, ("/etc/udev/rules.d/10-kvm.rules", 'KERNEL=="kvm", MODE="0666"')], "rw-rw----"),
        ([DEFAULT, ("/etc/udev/rules.d/10-kvm.rules", 'KERNEL=="kvm", MODE:="0666"')], "rw-rw-rw-"),
        ([DEFAULT, ("/etc/udev/rules.d/50-udev-default.rules", 'KERNEL=="kvm", MODE="0600"')], "rw-------"),
        ([DEFAULT, ("/lib/udev/rules.d/50-udev-default.rules", DEFAULT[1])], "rw-rw----"),
        ([DEFAULT, ("/etc/udev/rules.d/99-kvm.rules", '# KERNEL=="kvm", MODE="0666"')], "rw-rw----"),
        ([DEFAULT, ("/lib/udev/rules.d/70-uaccess.rules", 'KERNEL=="kvm", TAG+="uaccess"')], "rw-rw----"),
        ([DEFAULT, ("/etc/udev/rules.d/99-x.rules", 'KERNEL=="kvm", ENV{X}=="1", MODE="0666"')], None),
        ([], None),
    ],
)
def test_the_last_rule_by_name_gives_the_mode(lines: list[tuple[str, str]], mode: str | None) -> None:
    rule = device_rule_of(bundle_of(rules(*lines)))
    assert rule.mode == mode
    assert bool(rule.unknown) is (mode is None)


@given(text=st.text(max_size=300))
def test_any_rules_are_taken(text: str) -> None:
    """No text but a rule of udev's about the device gives a mode."""
    rule = device_rule_of(bundle_of(ok(sources.UDEV_RULES, text)))
    assert rule.mode is None
    assert rule.unknown


@pytest.mark.parametrize(("modules", "is_kvm"), [("kvm kvm_amd", True), ("kvm", True), ("vboxdrv", False), ("", False)])
def test_a_node_without_kvm_in_the_kernel_is_no_device(modules: str, *, is_kvm: bool) -> None:
    node = ok(sources.DEV_KVM, "crw-rw-rw- 1 0 0 10, 232 Nov 21 00:21 /dev/kvm")
    device = kvm_device_of(bundle_of(node, modules=modules))
    assert (device.is_kvm, bool(device.flaw)) == (is_kvm, not is_kvm)
