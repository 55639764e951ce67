"""Standard output: its reader may go away, and a CI system may read commands in it."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TextIO, cast

from nested_kvm.util.text import without_ci_commands

WhenLost = Callable[[OSError], None]

_CI: Final = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD")
"""Variables of which a CI system sets one."""


def is_ci(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a CI system reads the output."""
    return any(environment.get(name, "").lower() not in {"", "0", "false"} for name in _CI)


def for_log(text: str) -> str:
    """Return a text as it may be printed: where a CI system reads it, without commands to it."""
    return without_ci_commands(text) if is_ci() else text


def forgiving(stream: TextIO, when_lost: WhenLost = lambda _: None) -> TextIO:
    """Wrap a stream so that the audit and its reports go on where it cannot be written; `when_lost` is given why."""
    return stream if isinstance(stream, _Forgiving) else cast("TextIO", _Forgiving(stream, when_lost))


class _Forgiving:
    """A stream of which nothing raises that it cannot be written: what it is given from then on is dropped."""

    def __init__(self, stream: TextIO, when_lost: WhenLost) -> None:
        self._stream = stream
        self._when_lost = when_lost
        self._starts_line = True
        self._is_gone = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        if self._is_gone:
            return len(text)
        # The start of a chunk is not the start of a line.
        safe = self._safe(text) if ":" in text or "#" in text else text
        self._starts_line = text.endswith("\n") if text else self._starts_line
        try:
            self._stream.write(safe)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def _safe(self, text: str) -> str:
        return for_log(text) if self._starts_line else for_log(f"x{text}")[1:]

    def flush(self) -> None:
        """Flush the stream, or drop what it holds."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Send what is buffered to nowhere: the interpreter would flush it when it ends."""
        self._is_gone = True
        self._when_lost(error)
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)
            self._stream.flush()
