"""The forms in which a guest that is not deployed yet may be written down."""

from enum import StrEnum


class Form(StrEnum):
    """A form, as people call it."""

    LIBVIRT = "libvirt domain XML"
    KUBEVIRT = "KubeVirt manifest"
    PROXMOX = "Proxmox VE conf"
    INCUS = "Incus instance"
    TERRAFORM = "Terraform plan"
    NOVA = "nova.conf"
    VIRT_INSTALL = "virt-install command line"
    KCLI = "kcli plan"
