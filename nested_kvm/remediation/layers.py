"""How the layer below a machine is made to give it the virtualization flag: each in its own words."""

from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.layer import Layer

_EXPOSE: Final = {
    Layer.QEMU: (
        "# on its host: libvirt: virt-xml DOMAIN --edit --cpu host-passthrough; Proxmox: qm set ID --cpu host;",
        "# plain QEMU: -enable-kvm -cpu host",
    ),
    Layer.PROXMOX: ("# on its host: qm set ID --cpu host (an `args: -cpu` line of the guest wins over that)",),
    Layer.WSL: (
        "# on Windows, in %UserProfile%\\.wslconfig: [wsl2] nestedVirtualization=true, then: wsl --shutdown",
        "# that needs Windows 11: on Windows 10 the setting is ignored, and nothing gives the flag",
    ),
    Layer.HYPER_V: (
        "# on its host, in PowerShell: Stop-VM NAME; Set-VMProcessor NAME -ExposeVirtualizationExtensions $true;",
        "# Start-VM NAME (AMD: Windows Server 2022 or Windows 11, and a VM of a configuration version of theirs)",
    ),
    Layer.AZURE: (
        "# choose a VM size whose documentation lists nested virtualization, with the security type Standard",
    ),
    Layer.VMWARE: (
        '# power it off and set vhv.enable = "TRUE" in its .vmx ("Expose hardware assisted virtualization")',
    ),
    Layer.VIRTUALBOX: ("# on its host, with the VM off: VBoxManage modifyvm NAME --nested-hw-virt on",),
    Layer.XEN: (
        "# Xen: nestedhvm=1 in the guest's configuration (XCP-ng 8.3: platform:nested-virt=true, before that",
        "# platform:exp-nested-hvm=true); Xen calls it experimental, and an L2 under KVM can bring this machine down:",
        "# prefer another layer",
    ),
    Layer.CLOUD_HYPERVISOR: (
        "# on its host: start cloud-hypervisor without nested=off in --cpus; before version 38 a topology= there takes",
        "# svm from AMD guests: update it, or leave the topology out",
    ),
    Layer.FIRECRACKER: (
        "# on its host: start it without a CPU template that clears {flag} (T2, C3, T2S and T2CL clear vmx), with",
        "# nested on in the host's KVM module; or use another VMM for this guest",
    ),
    Layer.LIBKRUN: (
        "# libkrun withholds it by default: podman run --runtime=krun --annotation krun.nested_virt=1 (crun of 2026 or",
        "# later), krunkit --nested; and the kernel of its libkrunfw must have KVM built in",
    ),
    Layer.CROSVM: ("# crosvm hands on what KVM offers: switch nested on in the host's KVM module",),
    Layer.STRATOVIRT: ("# StratoVirt hands on what KVM offers: switch nested on in the host's KVM module",),
    Layer.OPENVMM: ("# on its host: start openvmm with nested virtualization, on a hypervisor that offers it",),
    Layer.KVMTOOL: (
        "# lkvm hands on what KVM offers: switch nested on in the host's KVM module (on arm64: lkvm run --nested)",
    ),
    Layer.EC2: (
        "# choose an instance type that supports nested virtualization (C8i, M8i, R8i), stop it, and start it with the",
        "# CPU option NestedVirtualization=enabled; or a .metal one: on any other type nothing gives it",
    ),
    Layer.GOOGLE: (
        "# gcloud compute instances export NAME --destination=FILE; set advancedMachineFeatures:",
        "# enableNestedVirtualization: true; instances update-from-file NAME --source=FILE (Intel machine types only)",
    ),
    Layer.APPLE: ("# macOS 15 or later on an M3 or later: nested virtualization in the tool that starts the VM",),
    Layer.PARALLELS: (
        "# with the VM off: prlctl set NAME --nested-virt on (on Apple silicon before the M3 it then does not start)",
    ),
    Layer.NUTANIX: ("# Nutanix does not support nested virtualization on AHV: use another layer",),
    Layer.BHYVE: ("# bhyve clears the flag for every guest: use another layer",),
    Layer.CLOUD: ("# the provider decides by the machine type whether its hosts give the flag: ask for one that does",),
}
_WITHHOLD: Final = {
    Layer.CLOUD_HYPERVISOR: "# start cloud-hypervisor with nested=off in --cpus (since version 50; on AMD since 52)",
    Layer.FIRECRACKER: "# give Firecracker a CPU template that clears {flag} (vmx: T2 and its kin; svm: a custom one)",
    Layer.LIBKRUN: "# start it without its option for nested virtualization: libkrun withholds the flag by default",
    Layer.EC2: "# stop the instance and set its CPU option NestedVirtualization to disabled",
    Layer.WSL: "# in %UserProfile%\\.wslconfig: [wsl2] nestedVirtualization=false, then: wsl --shutdown",
    Layer.HYPER_V: "# in PowerShell: Stop-VM NAME; Set-VMProcessor NAME -ExposeVirtualizationExtensions $false",
    Layer.VMWARE: '# with the VM off: vhv.enable = "FALSE" in its .vmx',
    Layer.VIRTUALBOX: "# with the VM off: VBoxManage modifyvm NAME --nested-hw-virt off",
    Layer.XEN: "# nestedhvm=0 in the guest's configuration (XCP-ng: platform:nested-virt=false)",
    Layer.PROXMOX: "# qm set ID --cpu with a named model, and no `args: -cpu` line with +{flag}",
}
_ANY: Final = (
    "# on the host of this machine: expose {flag} (libvirt: <cpu mode='host-passthrough'/>; clouds offer it on some",
    "# machine types only)",
)


def layer_of_machine(machine: Machine, host: Machine | None = None) -> Layer | None:
    """The layer below a machine; by its host's kernel where that is known to be Proxmox's."""
    try:
        layer = machine.platform.layer
    except ObservationError:
        layer = None
    if layer in {Layer.QEMU, None} and host is not None and _is_proxmox(host):
        return Layer.PROXMOX
    return layer


def _is_proxmox(host: Machine) -> bool:
    try:
        return host.identity.kernel_release.endswith("-pve")
    except ObservationError:
        return False


def expose_below(subject: Subject, flag: str) -> list[str]:
    """Have the layer below give the flag."""
    return expose_by(layer_of_machine(subject.machine, subject.host), flag)


def expose_by(layer: Layer | None, flag: str) -> list[str]:
    """Have a layer give the flag; None: which layer is below is not known."""
    lines = tuple(line.format(flag=flag) for line in _ANY) if layer is None else _EXPOSE[layer]
    return [
        *lines,
        "# shut this machine down and start it: a reboot is not enough; then verify here:",
        f"grep -cw {flag} /proc/cpuinfo",
    ]


def withhold_by(layer: Layer | None, flag: str) -> list[str]:
    """Have a layer withhold the flag; one without its own words takes it by the host's KVM, from all guests."""
    usual = f"# have {layer or 'the hypervisor'} hide {flag}, or switch nested off in its host's KVM module"
    return [
        _WITHHOLD.get(layer, usual).format(flag=flag) if layer is not None else usual,
        "# shut the guest down and start it: a reboot is not enough; then, inside it, this must print 0:",
        f"grep -cw {flag} /proc/cpuinfo",
    ]
