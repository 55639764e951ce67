"""Changes to all of Testinfra's backends."""

from testinfra.backend.base import BaseBackend
from typing_extensions import override

from nested_kvm.connection.shell_command import sudo_command


class PlainBackend(BaseBackend):
    """A backend that never prompts, and runs nothing on the target by itself."""

    @override
    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        return sudo_command(command, sudo_user)

    @override
    def decode(self, data: bytes) -> str:
        """Decode without asking the target for its encoding: Testinfra runs python3 there to find it."""
        return data.decode(errors="replace")

    @override
    def encode(self, data: str) -> bytes:
        return data.encode(errors="surrogateescape")
