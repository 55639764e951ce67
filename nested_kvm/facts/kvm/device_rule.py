"""Mode, group and owner that udev's rules give /dev/kvm: what chmod or chown changed lasts until udev handles it again.

/usr/lib/udev/rules.d/50-udev-default.rules:KERNEL=="kvm", GROUP="kvm", MODE="0660", OPTIONS+="static_node=kvm"
/etc/group:kvm:x:106:
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

_TERM: Final = re.compile(r'([A-Z]+(?:\{[^}]{0,80}\})?)\s{0,8}(==|!=|\+=|-=|:=|=)\s{0,8}"([^"]{0,200})"')
_ALWAYS_TRUE: Final = frozenset({"SUBSYSTEM", "ACTION", "DEVNAME", "SUBSYSTEMS"})
_SET: Final = frozenset({"MODE", "GROUP", "OWNER"})
_OF_A_GROUP: Final = "0660"
"""The mode of a node to which the rules give a group and no mode (udev-event.c)."""
_DIRECTORIES: Final = ("/etc/", "/run/", "/usr/local/lib/", "/usr/lib/", "/lib/")
_BITS: Final = "rwxrwxrwx"


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """What udev's rules set, the last assignment first to count; None: none sets it, or that is not known.

    Source: the lines of `/etc/udev/rules.d`, `/run/udev/rules.d` and `/usr/lib/udev/rules.d` that name the device, and
    the group kvm in `/etc/group`.
    """

    mode: str | None
    """As `ls` prints it, without the type: `rw-rw----`."""
    group: str | None
    unknown: str = ""
    evidence: tuple[Evidence, ...] = ()
    gives_acl: bool = False
    """Whether a rule tags the device for the accounts that are logged in at the machine."""
    owner: str | None = None
    group_id: int | None = None
    """The number of the group; None: it is not known, and the group is not compared."""

    def takes_from(self, device: KvmDevice) -> str | None:
        """Who loses access when udev next handles the device; None: no one does, as far as the mode shows."""
        if self.mode is None or device.has_acl or _may(self.mode, 6):
            return None
        now = device.mode[1:]
        lost = [
            *(
                [f"its owner ({device.owner})"]
                if device.owner and _may(now, 0) and not self._keeps_owner(device)
                else []
            ),
            *([f"its group ({device.group})"] if _may(now, 3) and not self._keeps_group(device, self.mode) else []),
            *(["other accounts"] if _may(now, 6) else []),
        ]
        return " and ".join(lost) or None

    def _keeps_owner(self, device: KvmDevice) -> bool:
        """The node is made for root; the number of a name in a rule is not known, so it is believed."""
        return self.owner is not None and decimal(self.owner) in {None, device.owner}

    def _keeps_group(self, device: KvmDevice, mode: str) -> bool:
        is_other = self.group_id is not None and device.group not in {0, self.group_id}
        return _may(mode, 3) and not is_other

    @property
    def text(self) -> str:
        """What the device becomes, for messages."""
        number = "" if self.group_id is None else f" ({self.group_id})"
        return f"{self.mode}{f' of the group {self.group}{number}' if self.group else ''}"


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
        if not directory.endswith("/udev/rules.d") or rule.lstrip().startswith("#"):
            continue
        known = files.get(name)
        if known is None or _rank(directory) < _rank(known[0]):
            files[name] = known = (directory, [])
        if known[0] == directory:
            known[1].append(rule)
    rules = [(f"{files[name][0]}/{name}", rule) for name in sorted(files) for rule in files[name][1]]
    found = _of(rules)
    gives_acl = any('TAG+="uaccess"' in rule for _, rule in rules)
    return replace(found, gives_acl=gives_acl, group_id=_number(found.group, reading.text))


def _number(group: str | None, lines: str) -> int | None:
    if group is None or decimal(group) is not None:
        return decimal(group or "")
    line = re.search(rf"^/etc/group:{re.escape(group)}:[^:\n]{{0,80}}:(\d{{1,10}}):", lines, re.MULTILINE)
    return int(line[1]) if line else None


def _rank(directory: str) -> int:
    return next((rank for rank, start in enumerate(_DIRECTORIES) if directory.startswith(start)), len(_DIRECTORIES))


def _of(rules: list[tuple[str, str]]) -> DeviceRule:
    values: dict[str, str] = {}
    final: set[str] = set()
    used: list[Evidence] = []
    for path, rule in rules:
        terms = _TERM.findall(rule)
        sets = {key: (sign, value) for key, sign, value in terms if key in _SET and sign in {"=", ":="}}
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
    if not {"MODE", "GROUP"} & set(values):
        return DeviceRule(
            None, None, "no rule of udev sets the mode of /dev/kvm", tuple(used), owner=values.get("OWNER")
        )
    mode, group, owner = _letters(values.get("MODE", _OF_A_GROUP)), values.get("GROUP"), values.get("OWNER")
    return DeviceRule(mode, group, "", tuple(used), owner=owner)


def _letters(mode: str) -> str | None:
    if re.fullmatch(r"[0-7]{3,4}", mode) is None:
        return None
    number = int(mode, 8)
    return "".join(letter if number >> (8 - place) & 1 else "-" for place, letter in enumerate(_BITS))
