"""The textual form of a uuid, as libvirt and SMBIOS print it."""

import re
from typing import Final

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether the text has the form of a uuid: a domain may be named so, and is then found by its own uuid only."""
    return _UUID.fullmatch(text) is not None
