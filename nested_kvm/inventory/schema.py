"""The schema of the inventory file. Unknown keys and values of another type are errors."""

import re
import unicodedata
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from nested_kvm.errors import InventoryError
from nested_kvm.inventory.address import AGENT, Address
from nested_kvm.inventory.estate import DEFAULT_ADDRESS, IP, NAME, EstateSource, KubernetesCluster
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.policy import Nested, Persistence, Undeclared
from nested_kvm.util.empty_keys import WithoutEmptyKeys

NO_LIBVIRT = "none"
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LIBVIRT_URI = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9]+)?://[^\s]*")


def _name(text: str) -> str:
    if not text.strip() or any(unicodedata.category(letter).startswith("C") for letter in text):
        raise ValueError("a name has at least one visible character, and no control characters")
    if len(text.encode()) > 250:  # noqa: PLR2004 - what fits a file name beside its suffix
        raise ValueError("a name has at most 250 bytes")
    return text


def _address(text: str) -> str:
    try:
        Address.parse(text)
    except InventoryError as error:
        raise ValueError(str(error)) from None
    return text


def _host_address(text: str) -> str:
    if text == AGENT:
        raise ValueError("`agent` reaches a guest through its host: it cannot be the address of a host")
    return _address(text)


def _estate_address(text: str) -> str:
    _host_address(text.replace(NAME, "name").replace(IP, "192.0.2.1"))
    if NAME not in text and IP not in text:
        raise ValueError(f"{text!r} is the same for every host: it needs {NAME} or {IP}")
    return text


def libvirt_uri(text: str) -> str:
    """Return a libvirt URI, or `none`.

    Raises:
        ValueError: it is neither.
    """
    if text != NO_LIBVIRT and not _LIBVIRT_URI.fullmatch(text):
        raise ValueError(f"{text!r} is not a libvirt URI of the form qemu:///system, nor `none`")
    return text


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise ValueError(f"{text!r} is not a valid account name")
    return text


def _namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        raise ValueError(f"{text!r} is not a valid name of a namespace")
    return text


Name = Annotated[str, AfterValidator(_name)]
Namespace = Annotated[str, AfterValidator(_namespace)]
LibvirtUri = Annotated[str, AfterValidator(libvirt_uri)]


class _Section(WithoutEmptyKeys):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySection(_Section):
    """`policy:`, and the same keys wherever a host or a guest overrides them."""

    nested: Nested | None = None
    persistence: Persistence | None = None
    undeclared: Undeclared | None = None


class GuestSection(PolicySection):
    """One entry of a host's `guests:`."""

    domain: Name | None = None
    address: Annotated[str, AfterValidator(_address)] | None = None
    via: Literal["host"] | None = None
    account: Annotated[str, AfterValidator(_account)] | None = None


class HostSection(PolicySection):
    """One entry of `hosts:`."""

    address: Annotated[str, AfterValidator(_host_address)] | None = None
    level: TargetLevel = TargetLevel.L0
    libvirt: LibvirtUri = "qemu:///system"
    group: Name | None = None
    account: Annotated[str, AfterValidator(_account)] | None = None

    @model_validator(mode="after")
    def _account_is_a_guests(self) -> Self:
        if self.account is not None and self.level is TargetLevel.L0:
            raise ValueError("`account` is an option of guests: move it to one, or add `level: L1`")
        return self

    guests: dict[Name, GuestSection] = Field(default_factory=dict)


class KubernetesSection(_Section):
    """`kubernetes:` of an estate, a cluster of KubeVirt that is read live; `{}` is the current context."""

    context: Name | None = None
    namespaces: Annotated[tuple[Namespace, ...], Field(min_length=1)] = ()


class EstateSection(_Section):
    """`estate:`, where the hosts and guests are listed by the estate's own client or folder, or by a live cluster."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"oneOf": [{"required": ["file"]}, {"required": ["kubernetes"]}]},
    )

    may_be_empty = frozenset({"file", "kubernetes"})
    file: Annotated[str, AfterValidator(_name)] | None = None
    kubernetes: KubernetesSection | None = None
    address: Annotated[str, AfterValidator(_estate_address)] = DEFAULT_ADDRESS

    @model_validator(mode="after")
    def _is_read_from_one_place(self) -> Self:
        if (self.file is None) == (self.kubernetes is None):
            raise ValueError("it needs one of `file` and `kubernetes` (`kubernetes: {}` is your current context)")
        return self

    def source(self, folder: Path) -> EstateSource:
        """Where the estate is read from; a file is relative to `folder`."""
        if self.kubernetes is not None:
            return KubernetesCluster(self.kubernetes.context, tuple(dict.fromkeys(self.kubernetes.namespaces)))
        assert self.file is not None
        return folder / self.file


class InventoryFile(_Section):
    """The whole file: `hosts`, or an `estate` that lists them."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "anyOf": [{"required": ["hosts"], "properties": {"hosts": {"minProperties": 1}}}, {"required": ["estate"]}]
        },
    )

    policy: PolicySection = Field(default_factory=PolicySection)
    estate: EstateSection | None = None
    guests: dict[Name, PolicySection] = Field(default_factory=dict)
    hosts: dict[Name, HostSection] = Field(default_factory=dict)
