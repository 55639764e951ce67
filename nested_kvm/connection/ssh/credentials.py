"""The credentials for a login: keys in files and in an agent, and their certificates. No passwords."""

import copy
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob

from nested_kvm.connection.base import Settings
from nested_kvm.connection.ssh.agent import Agent, agent_socket
from nested_kvm.connection.ssh.certificate import Certificate, CertificateUnusableError
from nested_kvm.connection.ssh.config_options import SshOptions
from nested_kvm.connection.ssh.key_file import KeyEncryptedError, KeyUnusableError, load_key, public_half

_DEFAULT_FILES = tuple(Path("~/.ssh") / name for name in ("id_ed25519", "id_ecdsa", "id_rsa"))


@dataclass
class Credentials:
    """The keys to offer, in order. `problems` is filled while they are read."""

    files: tuple[Path, ...]
    certificate_files: tuple[Path, ...]
    agent_socket: str | None
    only_files: bool
    """Whether the agent may serve only the keys that the files name: IdentitiesOnly."""
    required: bool
    """Whether the files are configured: then a missing one is a problem."""
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, options: SshOptions, settings: Settings) -> "Credentials":
        """Choose as ssh(1) does: `--ssh-identity-file`, else every IdentityFile, else the default files."""
        named = (settings.ssh_identity_file,) if settings.ssh_identity_file else options.identity_files
        return cls(
            tuple(file.expanduser() for file in named or _DEFAULT_FILES),
            options.certificate_files,
            agent_socket(options.identity_agent),
            only_files=options.identities_only,
            required=bool(named),
        )

    def keys(self) -> Generator[paramiko.PKey, None, None]:
        """Yield each key once: files first, so that a full agent does not use up sshd's MaxAuthTries.

        The agent's keys can sign until the generator is closed.
        """
        offered: set[bytes] = set()
        certificates = [each for each in map(self._certificate, self.certificate_files) if each is not None]
        with closing(Agent(self.agent_socket)) as agent:
            for file, key in self._keys_of_files(agent):
                beside = self._certificate(Path(f"{file}-cert.pub"), may_be_absent=True)
                offered.add(key.asbytes())
                yield from _certified(key, [*certificates, *([beside] if beside else [])])
                yield key
            if not self.only_files:
                for key in (each for each in agent.keys if each.blob not in offered):
                    yield from _certified(key, certificates)
                    yield key
            self.problems += [agent.problem] if agent.problem else []

    def locked_files(self) -> list[Path]:
        """Return the encrypted files whose passphrase is needed: their keys are not in the agent.

        The default files count only where the agent has no key at all.
        """
        with closing(Agent(self.agent_socket)) as agent:
            locked = [file for file in self.files if _is_locked(file) and not _held_by(agent, file)]
            return [] if locked and not self.required and agent.keys and not self.only_files else locked

    def _keys_of_files(self, agent: Agent) -> Iterator[tuple[Path, paramiko.PKey]]:
        for file in self.files:
            try:
                yield file, load_key(file)
            except (KeyUnusableError, FileNotFoundError) as error:
                key = _held_by(agent, file)
                if key is not None:
                    yield file, key
                elif isinstance(error, KeyUnusableError):
                    self.problems.append(str(error))
                elif self.required:
                    self.problems.append(f"{file} does not exist")

    def _certificate(self, file: Path, *, may_be_absent: bool = False) -> Certificate | None:
        try:
            return Certificate.from_file(file)
        except OSError as error:
            if not (may_be_absent and isinstance(error, FileNotFoundError)):
                self.problems.append(f"the certificate {file} cannot be read ({error.strerror})")
        except CertificateUnusableError as error:
            self.problems.append(f"the certificate {file} cannot be used: {error}")
        return None


def _certified(key: paramiko.PKey, certificates: list[Certificate]) -> Iterator[paramiko.PKey]:
    """Yield the key once with each certificate issued for it."""
    for certificate in {each.blob: each for each in certificates if each.key == key.asbytes()}.values():
        certified = _copy(key)
        certified.public_blob = PublicBlob(certificate.key_type, certificate.blob)
        yield certified


def _copy(key: paramiko.PKey) -> paramiko.PKey:
    """Copy a key. An agent's key cannot be copied by `copy`: it delegates the attributes that it lacks."""
    return paramiko.AgentKey(key.agent, key.blob) if isinstance(key, paramiko.AgentKey) else copy.copy(key)


def _held_by(agent: Agent, file: Path) -> paramiko.PKey | None:
    public = public_half(file)
    return None if public is None else agent.key(public)


def _is_locked(file: Path) -> bool:
    try:
        load_key(file)
    except KeyEncryptedError:
        return True
    except (KeyUnusableError, OSError):
        return False
    return False
