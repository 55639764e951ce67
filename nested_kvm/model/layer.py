"""The hypervisors and clouds that a machine may run on, by the names that it shows."""

import re
from enum import StrEnum
from typing import Final


class Layer(StrEnum):
    """A hypervisor below a machine, or a cloud that is known by its own name."""

    QEMU = "QEMU/KVM"
    PROXMOX = "Proxmox VE"
    HYPER_V = "Hyper-V"
    WSL = "WSL2"
    VMWARE = "VMware"
    VIRTUALBOX = "VirtualBox"
    XEN = "Xen"
    CLOUD_HYPERVISOR = "Cloud Hypervisor"
    FIRECRACKER = "Firecracker"
    LIBKRUN = "libkrun"
    CROSVM = "crosvm"
    STRATOVIRT = "StratoVirt"
    OPENVMM = "OpenVMM"
    KVMTOOL = "kvmtool"
    EC2 = "Amazon EC2"
    GOOGLE = "Google Compute Engine"
    AZURE = "Azure"
    APPLE = "Apple's Virtualization framework"
    PARALLELS = "Parallels"
    BHYVE = "bhyve"
    NUTANIX = "Nutanix AHV"
    CLOUD = "a cloud"


_BY_DMI: Final = {
    Layer.VIRTUALBOX: r"innotek|virtualbox",
    Layer.VMWARE: r"vmware",
    Layer.CLOUD_HYPERVISOR: r"cloud.hypervisor",
    Layer.FIRECRACKER: r"firecracker",
    Layer.LIBKRUN: r"libkrun",
    Layer.CROSVM: r"crosvm",
    Layer.STRATOVIRT: r"stratovirt",
    Layer.OPENVMM: r"openvmm|hvlite",
    Layer.BHYVE: r"bhyve",
    Layer.NUTANIX: r"nutanix.*ahv|\bahv\b",
    Layer.PARALLELS: r"parallels",
    Layer.APPLE: r"apple virtualization",
    # A bare-metal instance is not on a hypervisor.
    Layer.EC2: r"amazon ec2(?!.*\bmetal)",
    Layer.GOOGLE: r"google compute engine",
    Layer.HYPER_V: r"microsoft corporation.*virtual machine",
    Layer.XEN: r"^xen\b|hvm domu",
    Layer.QEMU: r"\bqemu\b|\bkvm\b|bochs|openstack|ovirt|rhev|kubevirt|\bstandard pc\b",
    # The names by which cloud-init's ds-identify knows them.
    Layer.CLOUD: r"digitalocean|droplet|hetzner.*vserver|alibaba cloud ecs|linode|vultr|upcloud|scaleway|exoscale"
    r"|3ds outscale|smartdc|e24cloud|\bnwcs\b",
}
"""Words of the manufacturer and the product, in lower case, in the order in which they are tried."""
_DMI: Final = {layer: re.compile(words) for layer, words in _BY_DMI.items()}
_WSL: Final = re.compile(r"microsoft-standard|-wsl2?\b|-microsoft\b", re.IGNORECASE)
_KRUN: Final = re.compile(r"(?:^|\s)init=/init\.krun\b|\bKRUN_INIT=")
"""What libkrun puts on the command line of its guests, whatever DMI names there."""
_AZURE: Final = re.compile(r"-azure\b")
_PHYSICAL: Final = re.compile(
    r"dell|hewlett|\bhpe?\b|lenovo|supermicro|super micro|asus|gigabyte|asrock|micro-star|intel corporation|fujitsu"
    r"|cisco|quanta|inspur|wistron|acer|framework|system manufacturer|apple inc\..*mac",
    re.IGNORECASE,
)


def is_physical(dmi: str) -> bool:
    """Whether manufacturer and product are those of a physical machine; a name that is not known proves nothing."""
    return _PHYSICAL.search(dmi) is not None


def layer_of(dmi: str, release: str, cmdline: str = "") -> Layer | None:
    """The hypervisor below a machine of these names; None: they name none.

    >>> layer_of("VMware, Inc. VMware20,1", "6.12.95-amd64").value
    'VMware'
    """
    if _WSL.search(release):
        return Layer.WSL
    if _KRUN.search(cmdline):
        return Layer.LIBKRUN
    named = dmi.lower()
    found = next((layer for layer, words in _DMI.items() if words.search(named)), None)
    if found is Layer.HYPER_V and _AZURE.search(release):
        return Layer.AZURE
    if found is None and not dmi:
        return _by_cmdline(cmdline)
    return found


def _by_cmdline(cmdline: str) -> Layer | None:
    """The VMMs that show no DMI, by the words that they put on the command line of their guests."""
    words = cmdline.split()
    if "pci=off" in words and "reboot=k" in words:
        return Layer.FIRECRACKER
    return None
