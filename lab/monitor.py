"""QEMU's monitor: one connection, one command after another."""

import json
import os
import socket
from pathlib import Path
from typing import Any, Self

from lab.errors import HostLostError

ANSWER_LIMIT = 60


class Monitor:
    """An open connection to the monitor whose socket is at `path`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_LIMIT)
        # The address of a socket is short, and a checkout's path may be long.
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{directory}/{path.name}")
        except OSError:
            self._socket.close()
            raise
        finally:
            os.close(directory)
        self._lines = self._socket.makefile("rw")

    def __enter__(self) -> Self:
        try:
            self._lines.readline()
            self.execute("qmp_capabilities")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> dict[str, Any]:
        """Run a command; its answer.

        Raises:
            HostLostError: QEMU refused the command, did not answer in time, or closed the connection.
        """
        try:
            return self._execute(command, arguments)
        except OSError as error:
            raise HostLostError(f"QEMU did not answer {command}: {error}") from error

    def _execute(self, command: str, arguments: dict[str, object]) -> dict[str, Any]:
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        for line in self._lines:
            message = json.loads(line)
            if "return" in message:
                answer: dict[str, Any] = message["return"]
                return answer
            if "error" in message:
                raise HostLostError(f"QEMU refused {command}: {message['error'].get('desc')}")
        raise HostLostError(f"QEMU closed its monitor during {command}")
