"""What libvirt's capabilities offer, as far as a read-only connection may ask: the domain types.

<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'><domain type='kvm'/></arch></guest></capabilities>
"""

import re
from typing import Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

SECONDS: Final = 10.0
"""How long libvirt may take: where its cached capabilities are outdated, it queries each QEMU again."""
_DAEMON: Final = re.compile(r"daemon: ([0-9]{1,5})\.([0-9]{1,5})\.([0-9]{1,5})")


def domain_types_of(capabilities: str) -> dict[str, tuple[str, ...]] | None:
    """The domain types for full virtualization by architecture; None where the text is not libvirt's XML."""
    try:
        root = fromstring(capabilities, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    if root.tag != "capabilities":
        return None
    found: dict[str, tuple[str, ...]] = {}
    for guest in root.findall("guest"):
        architecture = guest.find("arch")
        if guest.findtext("os_type") == "hvm" and architecture is not None:
            name, types = (
                architecture.get("name", ""),
                (each.get("type", "") for each in architecture.findall("domain")),
            )
            found[name] = (*found.get(name, ()), *types)
    return found


def version_of_virsh(text: str) -> int | None:
    """The version in `Running against daemon: 9.2.1` of `virsh version --daemon`, as libvirt counts: 9002001."""
    numbers = _DAEMON.search(text)
    return None if numbers is None else int(numbers[1]) * 1_000_000 + int(numbers[2]) * 1_000 + int(numbers[3])
