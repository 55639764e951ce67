"""Domain XML, reduced to what is evaluated, so that no password or token in it is ever kept."""

from typing import Final
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.libvirt.qemu_arguments import deciding_arguments

QEMU: Final = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_KEPT: Final = ("name", "uuid", "vcpu", "os/type", "cpu", "devices/emulator")
"""Everything else (graphics passwords, kernel command lines, cloud-init, disks) stays on the host."""


_WITHOUT_MEMORY: Final = frozenset({"shutoff", "disk-snapshot"})
"""The states of a snapshot without memory, where an older libvirt does not say so."""


def parse_domain_xml(text: str, root_tag: str = "domain") -> Element:
    """Parse domain XML, or a document that contains one, without entities and without a DTD.

    Raises:
        NotObserved: the XML is not well-formed, or uses either.
    """
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except ParseError as error:
        raise NotObserved(f"the domain's XML is not well-formed: {error}") from None
    except (DefusedXmlException, ValueError) as error:
        raise NotObserved(f"the domain's XML is refused: {type(error).__name__}") from None
    if root.tag != root_tag:
        raise NotObserved(f"the domain's XML starts with <{root.tag[:40]}>, not <{root_tag}>")
    for element in root.iter():
        _forget_namespaces(element)
    return root


def _forget_namespaces(element: Element) -> None:
    """Name attributes as libvirt finds them: xmlGetProp(3) takes the first of a name, whatever its namespace."""
    if any(key.startswith("{") for key in element.attrib):
        named: dict[str, str] = {}
        for key, value in element.attrib.items():
            named.setdefault(key.rpartition("}")[2], value)
        element.attrib = named


def reduce_domain_xml(text: str) -> str:
    """Keep of a domain's XML its type, name, uuid, CPU, machine, emulator, and what may decide the CPU beside them.

    That is the type of its memory encryption, and those arguments passed to QEMU that may change the CPU.

    Raises:
        NotObserved: the text is not domain XML.
    """
    return _reduced(parse_domain_xml(text))


def reduce_snapshot_xml(text: str) -> str | None:
    """Keep of a snapshot's XML the domain as it was then, reduced; None: the snapshot has no memory.

    Raises:
        NotObserved: the text is not a snapshot's XML, or does not show the domain's CPU.
    """
    root = parse_domain_xml(text, "domainsnapshot")
    memory, domain = root.find("memory"), root.find("domain")
    if (root.findtext("state") in _WITHOUT_MEMORY) if memory is None else memory.get("snapshot") == "no":
        return None
    if domain is None or "type" not in domain.attrib:
        raise NotObserved("the snapshot's XML does not show the domain's CPU")
    return _reduced(domain)


def _reduced(root: Element) -> str:
    kept = Element("domain", {key: root.attrib[key] for key in ("type", "id") if key in root.attrib})
    for path in _KEPT:
        for found in root.findall(path):
            parent = kept if "/" not in path else SubElement(kept, path.partition("/")[0])
            parent.append(found)
    for encryption in root.findall("launchSecurity"):
        SubElement(kept, "launchSecurity", {"type": encryption.get("type", "")})
    arguments = list(deciding_arguments(passed_arguments(root), under_kvm=root.get("type") == "kvm"))
    if arguments:
        commandline = SubElement(kept, f"{QEMU}commandline")
        for value in arguments:
            SubElement(commandline, f"{QEMU}arg", {"value": value})
    try:
        return tostring(kept, encoding="unicode")
    except RecursionError:
        raise NotObserved("the domain's XML is nested too deeply") from None


def passed_arguments(domain: Element) -> list[str]:
    """The arguments that `<qemu:commandline>` passes to QEMU."""
    return [argument.get("value", "") for argument in domain.findall(f"{QEMU}commandline/{QEMU}arg")]
