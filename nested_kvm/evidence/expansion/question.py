"""The question to a host's libvirt about a guest that it does not have: the CPU definition, without any device.

A file that anyone may have written defines the guest, and libvirt runs the emulator that a domain names. So a new XML
is written, of words that were checked one by one: the type, the machine and the `<cpu>`. Everything else of the guest
stays here: nothing in `<features>`, `<clock>` or the devices changes svm or vmx.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from nested_kvm.evidence.libvirt.domain_xml import QEMU, passed_arguments
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments
from nested_kvm.util.text import printable

FEATURES: Final = 400
"""How many features a definition may name: libvirt itself knows fewer."""
LIMIT: Final = 16 * 1024
"""Characters of a question."""
_WORD: Final = re.compile(r"[A-Za-z0-9_.:+-]{1,100}", re.ASCII)
_EMULATOR: Final = re.compile(r"/[A-Za-z0-9_./+-]{1,200}", re.ASCII)
_ARCHITECTURES: Final = frozenset({None, "x86_64", "i686"})
_ATTRIBUTES: Final = frozenset({"mode", "match", "check", "migratable"})
_CHILDREN: Final = {"model": {"fallback", "vendor_id"}, "vendor": set[str](), "feature": {"name", "policy"}}
"""What of a `<cpu>` is sent, with the attributes of each element."""
_NOT_SENT: Final = frozenset({"topology", "numa", "cache", "maxphysaddr"})
"""What of a `<cpu>` has nothing to do with its flags."""


@dataclass(frozen=True, slots=True)
class NotAskable:
    """Why libvirt cannot be asked about a definition."""

    reason: str


@dataclass(frozen=True, slots=True)
class Question:
    """One definition, as it is sent."""

    xml: str
    emulator: str | None = None
    """The QEMU that the guest's definition names. It is not sent: the answer of another one does not count."""

    @property
    def id(self) -> str:
        """The digest of the whole question: an answer is found by it, and so is never that of another definition."""
        return hashlib.sha256(f"{self.emulator or ''}\n{self.xml}".encode()).hexdigest()


class _Unfit(Exception):
    """Something of the definition is not sent, and may decide the CPU."""


def question_of(domain: Element) -> Question | NotAskable:
    """The question about a `<domain>` as libvirt would get it."""
    try:
        return _question(domain)
    except _Unfit as reason:
        return NotAskable(str(reason))


def _question(domain: Element) -> Question:
    _check_surroundings(domain)
    sent = Element("domain", {"type": "kvm"})
    SubElement(sent, "name").text = "nested-kvm-candidate"
    SubElement(sent, "memory", {"unit": "MiB"}).text = "64"
    SubElement(sent, "vcpu").text = "1"
    SubElement(sent, "os").append(_os_type(domain))
    SubElement(SubElement(sent, "features"), "acpi")
    cpus = domain.findall("cpu")
    if len(cpus) > 1:
        raise _Unfit("it has several <cpu>")
    sent.extend([_cpu(each) for each in cpus])
    devices = SubElement(sent, "devices")
    SubElement(devices, "controller", {"type": "usb", "model": "none"})
    SubElement(devices, "memballoon", {"model": "none"})
    xml = tostring(sent, encoding="unicode")
    if len(xml) > LIMIT:
        raise _Unfit(f"its <cpu> has more than {LIMIT} characters")
    return Question(xml, _emulator(domain))


def _check_surroundings(domain: Element) -> None:
    if domain.get("type") != "kvm":
        raise _Unfit("its type is not kvm")
    if domain.find("launchSecurity") is not None:
        raise _Unfit("its memory is encrypted, which may change the CPU")
    if any(child.tag.startswith(QEMU.partition("}")[0]) and child.tag != f"{QEMU}commandline" for child in domain):
        raise _Unfit("it changes what libvirt knows of QEMU")
    if list(deciding_arguments(passed_arguments(domain), under_kvm=True)):
        raise _Unfit("<qemu:commandline> may change the CPU")


def _os_type(domain: Element) -> Element:
    found = domain.findall("os/type")
    if len(found) != 1 or (found[0].text or "").strip() != "hvm":
        raise _Unfit("its <os> has not exactly one type, which is hvm")
    architecture, machine = found[0].get("arch"), found[0].get("machine")
    if architecture not in _ARCHITECTURES:
        raise _Unfit(f"its architecture is {printable(architecture or '', 40)}")
    given = {"arch": architecture, "machine": machine}
    sent = Element("type", {name: _word(value, name) for name, value in given.items() if value is not None})
    sent.text = "hvm"
    return sent


def _cpu(cpu: Element) -> Element:
    sent = Element("cpu", _attributes(cpu, _ATTRIBUTES))
    for child in cpu:
        if child.tag in _NOT_SENT:
            continue
        if child.tag not in _CHILDREN or len(child):
            raise _Unfit(f"its <cpu> has <{printable(child.tag, 40)}>, which is not known")
        copied = SubElement(sent, child.tag, _attributes(child, _CHILDREN[child.tag]))
        if child.tag != "feature" and child.text:
            copied.text = _word(child.text, child.tag)
    for tag, most in (("model", 1), ("vendor", 1), ("feature", FEATURES)):
        if len(sent.findall(tag)) > most:
            raise _Unfit(f"its <cpu> has more than {most} <{tag}>")
    return sent


def _attributes(element: Element, known: frozenset[str] | set[str]) -> dict[str, str]:
    unknown = next((name for name in element.attrib if name not in known), None)
    if unknown is not None:
        raise _Unfit(f"<{element.tag}> has the attribute {printable(unknown, 40)}, which is not known")
    return {name: _word(value, name) for name, value in element.attrib.items()}


def _word(text: str, what: str) -> str:
    if _WORD.fullmatch(text) is None:
        raise _Unfit(f"its {what} {printable(text, 40)!r} is not a word")
    return text


def _emulator(domain: Element) -> str | None:
    found = domain.findall("devices/emulator")
    if not found:
        return None
    path = (found[0].text or "").strip()
    if len(found) > 1 or _EMULATOR.fullmatch(path) is None:
        raise _Unfit("its <emulator> is not one path")
    return path
