"""What a probe's answer shows of the layer below the machine, before anything else is known of it."""

import re
from collections.abc import Mapping
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.layer import Layer, layer_of

DMI_NAMES: Final = ("sys_vendor", "product_name")


def dmi_names(readings: Mapping[str, Reading]) -> str:
    """Manufacturer and product, by DMI; empty where it shows neither."""
    names = (_text(readings, f"{sources.DMI}/{name}") for name in DMI_NAMES)
    return " ".join(name for name in names if name)


def layer_of_readings(readings: Mapping[str, Reading]) -> Layer | None:
    """The hypervisor or cloud that the machine names; None: it names none."""
    return layer_of(dmi_names(readings), _text(readings, sources.KERNEL_RELEASE), _text(readings, sources.CMDLINE))


def is_guest(readings: Mapping[str, Reading]) -> bool:
    """Whether the machine is a guest: a CPU has the `hypervisor` flag, which can be hidden, or a name says so."""
    flags = re.search(r"^flags[ \t]*:.*\bhypervisor\b", _text(readings, sources.CPUINFO), re.MULTILINE)
    return flags is not None or layer_of_readings(readings) is not None


def _text(readings: Mapping[str, Reading], source: str) -> str:
    reading = readings.get(source)
    return reading.text.strip() if reading is not None and reading.status is Status.OK else ""
