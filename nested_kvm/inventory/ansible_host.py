"""The Ansible variables of one host: how it is reached, and whether it is a host or a guest."""

import re
import shlex
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from nested_kvm.inventory.schema import LibvirtUri, Name, PolicySection
from nested_kvm.inventory.target import TargetLevel

_SSH: Final = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh"})
_CONTAINERS: Final = {"docker": "docker", "docker_api": "docker", "podman": "podman", "lxc": "lxc"}
_AGENT: Final = "libvirt_qemu"
_HARMLESS: Final = re.compile(
    r"(Control(Master|Persist|Path)|Compression|ServerAlive\w+|PreferredAuthentications|BatchMode|LogLevel"
    r"|StrictHostKeyChecking|ForwardAgent|ForwardX11)\s*[= ].*|UserKnownHostsFile\s*[= ]\s*/dev/null",
    re.IGNORECASE,
)
"""SSH options that change neither the destination nor the key. Host keys are checked all the same."""
_JUMP: Final = re.compile(r"ProxyJump\s*[= ]\s*(.+)", re.IGNORECASE)
_COMMAND: Final = re.compile(r"ProxyCommand\s*[= ]\s*ssh(?: -q| -W \[?%h\]?:%p)* ([^-\s]\S*)(?: -q)*", re.IGNORECASE)
_FLAGS: Final = frozenset({"-C", "-q", "-4", "-6"})


def _policy(value: Any) -> Any:
    """`nested_policy: forbidden` is short for `nested_policy: {nested: forbidden}`."""
    return {"nested": value} if isinstance(value, str) else value


class Variables(BaseModel):
    """The variables that are read; of two names for the same variable, the one that Ansible prefers."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    nested_level: TargetLevel | None = None
    nested_host: Name | None = None
    nested_domain: Name | None = None
    nested_policy: Annotated[PolicySection, BeforeValidator(_policy)] = PolicySection()
    nested_libvirt: LibvirtUri = "qemu:///system"
    connection: str = Field("ssh", validation_alias="ansible_connection")
    host: str | None = Field(None, validation_alias=AliasChoices("ansible_ssh_host", "ansible_host"))
    port: int | None = Field(None, validation_alias=AliasChoices("ansible_ssh_port", "ansible_port"))
    user: str | None = Field(None, validation_alias=AliasChoices("ansible_ssh_user", "ansible_user"))
    key: str | None = Field(
        None, validation_alias=AliasChoices("ansible_ssh_private_key_file", "ansible_private_key_file")
    )
    become: bool = Field(default=False, validation_alias="ansible_become")
    become_user: str | None = Field(None, validation_alias="ansible_become_user")
    become_method: str = Field("sudo", validation_alias="ansible_become_method")
    common_arguments: str = Field("", validation_alias="ansible_ssh_common_args")
    extra_arguments: str = Field("", validation_alias="ansible_ssh_extra_args")
    pod: str | None = Field(None, validation_alias="ansible_kubectl_pod")
    namespace: str | None = Field(None, validation_alias="ansible_kubectl_namespace")
    container: str | None = Field(None, validation_alias="ansible_kubectl_container")

    @classmethod
    def names(cls) -> frozenset[str]:
        """Return the variables' names in an inventory."""
        found: set[str] = set()
        for name, field in cls.model_fields.items():
            alias = field.validation_alias
            found.update(map(str, alias.choices) if isinstance(alias, AliasChoices) else [str(alias or name)])
        return frozenset(found)

    @property
    def kind(self) -> str:
        """The connection plugin without its collection: `docker` for `community.docker.docker`."""
        return self.connection.rpartition(".")[2]

    def address(self, name: str) -> str:
        """Return the address of the host of that name, as `Address.parse` takes it.

        Raises:
            ValueError: the connection plugin is not supported; the message names the variable.
        """
        sudo = urlencode(self._sudo())
        if self.kind in _SSH:
            options = urlencode(({"ssh_identity_file": self.key} if self.key else {}) | self._sudo())
            port = "" if self.port is None else f":{self.port}"
            return f"ssh://{_user(self.user)}{_host(self.host or name)}{port}{_query(options)}"
        if self.kind == "local":
            return f"local://{_query(sudo)}"
        if self.kind in _CONTAINERS:
            return f"{_CONTAINERS[self.kind]}://{_user(self.user)}{self.host or name}{_query(sudo)}"
        if self.kind == "kubectl":
            chosen = {"namespace": self.namespace, "container": self.container}
            options = urlencode({key: value for key, value in chosen.items() if value} | self._sudo())
            return f"kubectl://{self.pod or self.host or name}{_query(options)}"
        if self.kind == _AGENT:
            return "agent"
        raise ValueError(f"ansible_connection: {self.connection!r} is not a supported connection plugin")

    def domain(self, name: str) -> str:
        """Return the name of that guest's domain."""
        return self.nested_domain or (self.host if self.kind == _AGENT and self.host else name)

    def jump(self) -> str | None:
        """Return the jump host in the SSH arguments, as it is written there.

        Raises:
            ValueError: they hold an option that must not be ignored and is not supported.
        """
        found = None
        for variable, text in (
            ("ansible_ssh_common_args", self.common_arguments),
            ("ansible_ssh_extra_args", self.extra_arguments),
        ):
            try:
                for option in _ssh_options(shlex.split(text)):
                    found = _jump_of(option) or found
            except ValueError as error:
                raise ValueError(f"{variable}: {error}: configure it in an ssh_config, given by --ssh-config") from None
        return found

    def _sudo(self) -> dict[str, str]:
        if not self.become or (self.user == "root" and self.become_user in {None, "root"}):
            return {}
        if self.become_method.rpartition(".")[2] != "sudo":
            raise ValueError(f"ansible_become_method: {self.become_method!r} is not sudo")
        return {"sudo": "true"} | ({"sudo_user": self.become_user} if self.become_user else {})


def _ssh_options(words: list[str]) -> list[str]:
    """Return the arguments of ssh's command line as options of an ssh_config."""
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _FLAGS:
            continue
        if word.startswith("-o"):
            options.append(word[2:] or next(rest, ""))
        elif word.startswith("-J"):
            options.append(f"ProxyJump={word[2:] or next(rest, '')}")
        else:
            raise ValueError(f"{word!r} is not supported")
    return options


def _jump_of(option: str) -> str | None:
    option = option.strip()
    if _HARMLESS.fullmatch(option):
        return None
    found = _JUMP.fullmatch(option) or _COMMAND.fullmatch(option)
    if found is None:
        raise ValueError(f"{option!r} is not supported")
    return found[1].strip()


def _user(user: str | None) -> str:
    return f"{quote(user, safe='')}@" if user else ""


def _host(host: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    return f"[{quote(bare, safe=':')}]" if ":" in bare else quote(bare, safe="")


def _query(options: str) -> str:
    return f"?{options}" if options else ""
