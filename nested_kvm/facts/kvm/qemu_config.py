"""What a file of `-readconfig` sets of the CPU, from those of its groups that may.

Sample, of Incus's `/run/incus/NAME/qemu.conf`::

    [machine]
    type = "q35"
    accel = "kvm"

    [global]
    driver = "ICH9-LPC"
    property = "disable_s3"
    value = "1"

Source: `qemu_config_foreach` of util/qemu-config.c; a group is an option of QEMU, so that `[global]` is `-global`, and
there is no group for `-cpu`. QEMU merges several `[machine]`: such a file is not understood here. The groups of Incus:
internal/server/instance/drivers/driver_qemu_config_template.go.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_GROUP: Final = re.compile(r"\[([\w-]+)\]")
"""Of a group with an identifier QEMU's `-set` changes the values, which the probe does not print."""
_SETTING: Final = re.compile(r"\s*([\w.-]+) = \"([^\"]*)\"")
_HARMLESS: Final = {
    "machine": frozenset({"type", "accel", "usb", "graphics", "dump-guest-core", "hmat", "kernel-irqchip"})
}
_GLOBAL: Final = frozenset({"driver", "property", "value"})


@dataclass(frozen=True, slots=True)
class QemuConfig:
    """The options in a file, as they would stand on the command line."""

    machine: str | None
    """What would follow `-machine`."""
    properties: tuple[str, ...]
    """What would follow each `-global` of a CPU type."""


def qemu_config_of(lines: Iterable[str]) -> QemuConfig | None:
    """The options in the lines of a file; None: one of them is not understood."""
    machine: str | None = None
    properties: list[str] = []
    groups = _groups(lines)
    for name, settings in groups or ():
        if name == "global" and settings.keys() == _GLOBAL:
            if settings["driver"].endswith("cpu"):
                properties.append(",".join(f"{key}={value}" for key, value in settings.items()))
        elif name == "machine" and machine is None and settings.keys() <= _HARMLESS["machine"]:
            in_order = sorted(settings.items(), key=lambda setting: setting[0] != "type")
            machine = ",".join(f"{key}={value}" for key, value in in_order)
        else:
            return None
    return None if groups is None else QemuConfig(machine, tuple(properties))


def _groups(lines: Iterable[str]) -> list[tuple[str, dict[str, str]]] | None:
    groups: list[tuple[str, dict[str, str]]] = []
    for line in lines:
        group, setting = _GROUP.fullmatch(line), _SETTING.fullmatch(line)
        if group is not None:
            groups.append((group[1], {}))
        elif setting is None or not groups or setting[1] in groups[-1][1] or "," in setting[2]:
            return None
        else:
            groups[-1][1][setting[1]] = setting[2]
    return groups
