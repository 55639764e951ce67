"""Which estate a file or folder is, by its content."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nested_kvm.errors import InventoryError, NotObserved
from nested_kvm.fleet.estates import incus, kubevirt, openstack, proxmox
from nested_kvm.fleet.estates.reading import JSON_LIMIT, DefinedEstate, read_text
from nested_kvm.util.document import json_document

KNOWN: Final = f"`{kubevirt.SAVE}`, a copy of the folder /etc/pve, `{incus.SAVE}`, or `{openstack.SAVE}`"


def read_estate(path: Path, hosts: Sequence[str] = ()) -> DefinedEstate:
    """Read an estate, whose kind its content shows.

    Raises:
        InventoryError: it is of no known kind, cannot be read, or has no host; the message names the file.
    """
    if path.is_dir():
        if not proxmox.is_it(path):
            raise InventoryError(
                f"{path}: is a folder without `nodes`, so it is not a copy of Proxmox VE's /etc/pve; "
                "any other inventory is a file"
            )
        return proxmox.proxmox_estate(path)
    text = read_text(path, JSON_LIMIT)
    try:
        document = json_document(text)
        if kubevirt.is_it(document):
            return kubevirt.kubevirt_estate(path, document)
        if openstack.is_it(document):
            return openstack.openstack_estate(document)
        if incus.is_it(document):
            return incus.incus_estate(path, document, hosts)
    except (NotObserved, InventoryError) as error:
        raise InventoryError(f"{path}: {error}") from None
    raise InventoryError(f"{path}: is not an estate that is known: {KNOWN}")
