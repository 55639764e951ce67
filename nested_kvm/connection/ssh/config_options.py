"""The options of an ssh-config for one host, parsed. See ssh_config(5)."""

import getpass
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_USER_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_GLOBAL_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_HIGHEST_PORT = 65535

Values = Mapping[str, str | list[str] | None]


@dataclass(frozen=True, slots=True)
class SshOptions:
    """The keywords that are supported. None: the config does not set the option."""

    hostname: str
    port: int | None
    user: str | None
    identity_files: tuple[Path, ...]
    certificate_files: tuple[Path, ...]
    identities_only: bool
    identity_agent: str | None
    """A socket's path, `none`, or `SSH_AUTH_SOCK`."""
    user_known_hosts: tuple[Path, ...]
    global_known_hosts: tuple[Path, ...]
    accept_unknown_host_key: bool
    wants_new_keys_recorded: bool
    """`StrictHostKeyChecking accept-new`, which is refused: without a record, no change of a key would be noticed."""
    connect_timeout: float | None
    host_key_alias: str | None
    proxy_jump: str | None
    """The jump hosts, as they are written; at most one of this and `proxy_command` is set."""
    proxy_command: str | None

    @classmethod
    def from_values(cls, values: Values) -> Self:
        """Parse the values of paramiko's lookup, by keyword in lower case.

        Raises:
            ValueError: a value is invalid for its keyword; the message names both.
        """
        text = {keyword: value for keyword, value in values.items() if isinstance(value, str)}
        return cls(
            hostname=text["hostname"],
            port=_port(text.get("port")),
            user=text.get("user"),
            identity_files=_identity_files(values.get("identityfile")),
            certificate_files=_paths(text.get("certificatefile", "none"), text),
            identities_only=text.get("identitiesonly", "no").lower() == "yes",
            identity_agent=text.get("identityagent"),
            user_known_hosts=_paths(text.get("userknownhostsfile", _USER_KNOWN_HOSTS), text),
            global_known_hosts=_paths(text.get("globalknownhostsfile", _GLOBAL_KNOWN_HOSTS), text),
            accept_unknown_host_key=_accepts_unknown(text.get("stricthostkeychecking", "ask")),
            wants_new_keys_recorded=text.get("stricthostkeychecking", "").lower() == "accept-new",
            connect_timeout=_seconds(text.get("connecttimeout")),
            host_key_alias=text.get("hostkeyalias"),
            proxy_jump=_proxy(values, "proxyjump"),
            proxy_command=_proxy(values, "proxycommand"),
        )


def _port(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdecimal() or not 0 < int(value) <= _HIGHEST_PORT:
        raise ValueError(f"Port {value!r} is not a valid port")
    return int(value)


def _seconds(value: str | None) -> float | None:
    if value is None or value.lower() == "none":
        return None
    if not value.isdecimal() or int(value) == 0:
        raise ValueError(f"ConnectTimeout {value!r} is not a number of seconds")
    return float(value)


def _identity_files(value: str | Sequence[str] | None) -> tuple[Path, ...]:
    files = value if isinstance(value, list) else []
    return tuple(Path(file.strip('"')).expanduser() for file in files if file.lower() != "none")


def _accepts_unknown(value: str) -> bool:
    """Return whether an unknown host key is accepted.

    `ask` would prompt, and `accept-new` would write to known_hosts: here both mean `yes`.
    """
    if value.lower() not in {"yes", "ask", "no", "off", "accept-new"}:
        raise ValueError(f"StrictHostKeyChecking {value!r} is not one of yes, ask, accept-new, no, off")
    return value.lower() in {"no", "off"}


def _paths(value: str, values: Mapping[str, str]) -> tuple[Path, ...]:
    return tuple(_path(file, values) for file in shlex.split(value) if file.lower() != "none")


def _path(file: str, values: Mapping[str, str]) -> Path:
    user = getpass.getuser()
    tokens = {
        "%%": "%",
        "%d": str(Path.home()),
        "%h": values["hostname"],
        "%u": user,
        "%r": values.get("user", user),
    }
    for token, meaning in tokens.items():
        file = file.replace(token, meaning)
    return Path(file).expanduser()


def _proxy(values: Values, keyword: str) -> str | None:
    """Return the value of `keyword` if it is set before the other: the first one wins, even as `none`."""
    first = next((each for each in values if each in {"proxyjump", "proxycommand"}), None)
    value = values.get(keyword) if first == keyword else None
    return value if isinstance(value, str) and value.lower() != "none" else None
