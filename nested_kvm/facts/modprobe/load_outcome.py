"""The vocabulary for how the next load of a KVM module ends."""

import re
from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.evidence.reading import Evidence
from nested_kvm.model.answer import Answer

_GOES_ON = re.compile(r"[;&|`\n]|\$\(")
"""By which a shell runs a second command: kmod gives the line to system(3)."""
_COMMENT = re.compile(r"\s#.*")
_NO_EFFECT = (
    "/bin/false",
    "/bin/true",
    "/usr/bin/false",
    "/usr/bin/true",
    "/sbin/nologin",
    ":",
    "false",
    "true",
)


class LoadOutcome(StrEnum):
    """How the next load ends."""

    ON = "on"
    OFF = "off"
    FAILS = "fails"
    """A value is invalid for the parameter's type: the module does not load, and there is no /dev/kvm."""
    COMMAND = "command"
    """An `install` command replaces the module, or one that it depends on."""
    UNKNOWN = "unknown"


class Authority(StrEnum):
    """What determines the value."""

    FILE = "modprobe.d"
    COMMAND_LINE = "kernel command line"
    DEFAULT = "kernel default"
    UNTRACED = "untraced"
    """kmod passes the value, and no line that was read accounts for it."""


@dataclass(frozen=True, slots=True)
class NextLoad:
    """The next load of one module.

    `value` is the deciding word as written (`nested=y`). `origin` quotes what determines it, `overridden` the
    other lines that set the parameter. `reason` is a sentence wherever the outcome is neither on nor off.

    Source: `modprobe --show-depends` and `modinfo`; the files of modprobe.d and `/proc/cmdline` show
    where the value comes from, and for a built-in module what it is.
    """

    module: str
    outcome: LoadOutcome
    authority: Authority | None = None
    value: str | None = None
    reason: str = ""
    is_built_in: bool = False
    is_replaced: bool = False
    """Whether an `install` command replaces the module itself, and not one that it depends on."""
    blacklisting: tuple[Evidence, ...] = ()
    """The modprobe.d lines that keep udev from loading the module at boot."""
    loaded_by_name: str = ""
    """Why a boot may load the module in spite of `blacklisting`; empty: nothing names it."""
    refused: str | None = None
    """The module of which an option other than `nested` fails the load."""
    doubt: str = ""
    """Why the load may fail although nested is decided; empty: it does not fail."""
    origin: tuple[Evidence, ...] = ()
    overridden: tuple[Evidence, ...] = ()
    contradicted: tuple[Evidence, ...] = ()
    """The overridden lines that set something else: `nested=1` and `nested=Y` agree."""

    @property
    def nested(self) -> bool | None:
        """Whether nested will be on; None where the load fails or its result is unknown."""
        return {LoadOutcome.ON: True, LoadOutcome.OFF: False}.get(self.outcome)

    default: bool | None = None
    """What nested is without any setting; None: that is not known."""

    @property
    def fails(self) -> bool:
        """Whether the module will not load, because of a value."""
        return self.outcome is LoadOutcome.FAILS

    @property
    def said_by(self) -> str:
        """What determines the value, in words: `nested=0 in /etc/modprobe.d/kvm.conf:1`."""
        if self.value is None or self.authority in {None, Authority.DEFAULT}:
            return "the kernel's default"
        return f"{self.value} in {self.origin[0].source}" if self.origin else self.value

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The lines that determine the value, those that they override, and those that prevent the load at boot."""
        return (*self.origin, *self.overridden, *self.blacklisting)

    @property
    def is_explicit(self) -> bool | None:
        """Whether a modprobe.d line, or for a built-in module the command line, determines the value; None: unknown."""
        if self.authority is None or self.authority is Authority.UNTRACED:
            return None
        return self.authority is (Authority.COMMAND_LINE if self.is_built_in else Authority.FILE)

    @property
    def is_blocked(self) -> bool:
        """Whether the `install` command is one that loads nothing (`/bin/false`), and the only one of its line."""
        line = _COMMENT.sub("", self.value or "")
        command = line.split()[:1]
        is_harmless = bool(command) and command[0] in _NO_EFFECT and not _GOES_ON.search(line)
        return self.outcome is LoadOutcome.COMMAND and is_harmless

    def is_left_alone(self, *, is_loaded: bool) -> Answer:
        """Whether a blacklist line keeps the module, which is not loaded, from loading: no one asks for it by name."""
        if is_loaded or not self.blacklisting:
            return Answer.NO
        return Answer.UNKNOWN if self.loaded_by_name else Answer.YES

    @property
    def never_happens(self) -> bool:
        """Whether the module itself is replaced by a command that loads nothing."""
        return self.is_blocked and self.is_replaced
