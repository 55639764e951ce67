"""Asks for the passphrases of encrypted keys: once for each, before anything starts, and only on a terminal."""

import getpass
import os
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from nested_kvm.connection.base import Settings
from nested_kvm.connection.ssh.agent import Agent, agent_socket
from nested_kvm.connection.ssh.credentials import Credentials
from nested_kvm.connection.ssh.endpoint import Endpoint
from nested_kvm.connection.ssh.key_file import KeyEncryptedError, KeyUnusableError, load_key, public_half, unlock_key
from nested_kvm.errors import NestedKvmError, UsageError
from nested_kvm.inventory.address import Address
from nested_kvm.util.text import printable

_TRIES = 3


def unlock_keys(addresses: Iterable[Address], settings: Settings) -> None:
    """Ask for each passphrase that a login at these addresses needs, on the way there too.

    Without a terminal nothing is asked: a target that needs such a key has that in its error.
    """
    if not has_terminal():
        return
    for file in dict.fromkeys(file for address in addresses for file in _locked_files(address, settings)):
        _ask(file)


def check_identity_file(settings: Settings) -> None:
    """Check `--ssh-identity-file` before anything starts.

    Raises:
        UsageError: it is not a private key, or is encrypted and there is neither an agent nor a terminal.
    """
    file = settings.ssh_identity_file
    if file is None:
        return
    try:
        load_key(file.expanduser())
    except FileNotFoundError:
        raise UsageError(f"--ssh-identity-file: {file} does not exist") from None
    except KeyEncryptedError as error:
        if not has_terminal() and _is_locked_for_all(file.expanduser()):
            raise UsageError(f"--ssh-identity-file: {error} (there is no terminal to ask for its passphrase)") from None
    except KeyUnusableError as error:
        raise UsageError(f"--ssh-identity-file: {error}") from None


def has_terminal() -> bool:
    """Return whether there is a terminal for prompts. In CI there is none, even if the runner provides one."""
    if os.environ.get("CI"):
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()  # in the background a question would stop the run
    except OSError:
        return False
    finally:
        os.close(terminal)


def _is_locked_for_all(file: Path) -> bool:
    with closing(Agent(agent_socket(None))) as agent:
        public = public_half(file)
        return public is None or agent.key(public) is None


def _locked_files(address: Address, settings: Settings) -> list[Path]:
    """Return the encrypted keys that are needed. An address that cannot be looked up fails at its connection."""
    if not address.is_ssh:
        return []
    ends: list[Endpoint] = []
    with suppress(NestedKvmError):
        ends.append(Endpoint.of(address, settings, address.host))
        ends.extend(ends[0].hops())
    return [file for end in ends for file in Credentials.of(end.options, end.settings).locked_files()]


def _ask(file: Path) -> None:
    for _ in range(_TRIES):
        passphrase = getpass.getpass(f"Passphrase of {printable(file)} (empty: skip this key): ")
        if not passphrase or unlock_key(file, passphrase):
            return
