"""The mode and group that udev's rules give /dev/kvm: what a chmod changed lasts until udev next handles the device.

/usr/lib/udev/rules.d/50-udev-default.rules:KERNEL=="kvm", GROUP="kvm", MODE="0660", OPTIONS+="static_node=kvm"
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.model.verdict import Evidence

_TERM: Final = re.compile(r'([A-Z]+(?:\{[^}]{0,80}\})?)\s{0,8}(==|!=|\+=|-=|:=|=)\s{0,8}"([^"]{0,200})"')
_ALWAYS_TRUE: Final = frozenset({"SUBSYSTEM", "ACTION", "DEVNAME", "SUBSYSTEMS"})
_DIRECTORIES: Final = ("/etc/", "/run/", "/usr/local/lib/", "/usr/lib/", "/lib/")
_BITS: Final = "rwxrwxrwx"


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """What udev's rules set, the last assignment first to count; None: none sets it, or that is not known.

    Source: the lines of `/etc/udev/rules.d`, `/run/udev/rules.d` and `/usr/lib/udev/rules.d` that name the device.
    """

    mode: str | None
    """As `ls` prints it, without the type: `rw-rw----`."""
    group: str | None
    unknown: str = ""
    evidence: tuple[Evidence, ...] = ()
    gives_acl: bool = False
    """Whether a rule tags the device for the accounts that are logged in at the machine."""

    def takes_from(self, device: KvmDevice) -> str | None:
        """Who loses access when udev next handles the device; None: no one does, as far as the mode shows."""
        if self.mode is None or device.has_acl:
            return None
        lost = [
            who
            for who, start in (("its group", 3), ("other accounts", 6))
            if _may(device.mode[1:], start) and not _may(self.mode, start)
        ]
        return " and ".join(lost) or None


def _may(mode: str, start: int) -> bool:
    return mode[start : start + 2] == "rw"


def device_rule_of(bundle: Bundle) -> DeviceRule:
    """The rules in udev's order: by the names of their files, of equal names the one in the higher directory."""
    reading = bundle.readings.get(sources.UDEV_RULES)
    if reading is None or not reading.is_ok:
        return DeviceRule(None, None, "udev's rules were not inspected")
    files: dict[str, tuple[str, list[str]]] = {}
    for line in reading.text.split("\n"):
        path, _, rule = line.partition(":")
        directory, _, name = path.rpartition("/")
        if not rule or rule.lstrip().startswith("#"):
            continue
        known = files.get(name)
        if known is None or _rank(directory) < _rank(known[0]):
            files[name] = known = (directory, [])
        if known[0] == directory:
            known[1].append(rule)
    rules = [(f"{files[name][0]}/{name}", rule) for name in sorted(files) for rule in files[name][1]]
    return replace(_of(rules), gives_acl=any('TAG+="uaccess"' in rule for _, rule in rules))


def _rank(directory: str) -> int:
    return next((rank for rank, start in enumerate(_DIRECTORIES) if directory.startswith(start)), len(_DIRECTORIES))


def _of(rules: list[tuple[str, str]]) -> DeviceRule:
    values: dict[str, str] = {}
    final: set[str] = set()
    used: list[Evidence] = []
    for path, rule in rules:
        terms = _TERM.findall(rule)
        sets = {key: (sign, value) for key, sign, value in terms if key in {"MODE", "GROUP"} and sign in {"=", ":="}}
        if not sets or not any(key == "KERNEL" and sign == "==" and value == "kvm" for key, sign, value in terms):
            continue
        used.append(Evidence(path, rule.strip()))
        if any(sign in {"==", "!="} and key not in {"KERNEL", *_ALWAYS_TRUE} for key, sign, _ in terms):
            return DeviceRule(None, None, f"a rule in {path} has conditions that were not evaluated", tuple(used))
        for key, (sign, value) in sets.items():
            if key not in final:
                values[key] = value
            if sign == ":=":
                final.add(key)
    if "MODE" not in values:
        return DeviceRule(None, values.get("GROUP"), "no rule of udev sets the mode of /dev/kvm", tuple(used))
    return DeviceRule(_letters(values["MODE"]), values.get("GROUP"), "", tuple(used))


def _letters(mode: str) -> str | None:
    if re.fullmatch(r"[0-7]{3,4}", mode) is None:
        return None
    number = int(mode, 8)
    return "".join(letter if number >> (8 - place) & 1 else "-" for place, letter in enumerate(_BITS))
