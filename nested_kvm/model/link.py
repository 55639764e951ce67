"""The links of the chain on which a guest's nesting depends."""

from enum import StrEnum


class LinkName(StrEnum):
    """The links in order: each needs all before it."""

    L0_CPU = "l0-cpu"
    L0_FIRMWARE = "l0-firmware"
    L0_MODULE = "l0-module"
    L0_NESTED = "l0-nested"
    DOMAIN_TYPE = "domain-type"
    DOMAIN_DEFINITION = "domain-definition"
    DOMAIN_RUNNING = "domain-running"
    L1_CPU = "l1-cpu"
    L1_MODULE = "l1-module"
    L1_DEVICE = "l1-device"
    L2_BOOT = "l2-boot"
