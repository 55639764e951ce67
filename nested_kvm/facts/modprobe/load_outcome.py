"""How the next load of a KVM module ends: the vocabulary."""

from dataclasses import dataclass
from enum import StrEnum

from nested_kvm.evidence.reading import Evidence

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


class Outcome(StrEnum):
    """How the next load ends."""

    ON = "on"
    OFF = "off"
    FAILS = "fails"
    """A value is invalid for the parameter's type: the module does not load, and there is no /dev/kvm."""
    COMMAND = "command"
    """An `install` command runs in the place of the module, or of one that it needs."""
    UNKNOWN = "unknown"


class Authority(StrEnum):
    """Who says the value."""

    FILE = "modprobe.d"
    COMMAND_LINE = "kernel command line"
    DEFAULT = "kernel default"
    UNTRACED = "untraced"
    """kmod says it, and no line that was read accounts for it."""


@dataclass(frozen=True, slots=True)
class NextLoad:
    """The next load of one module.

    `value` is the deciding word as written (`nested=y`). `origin` quotes what decides, `overridden` the other lines
    that name the parameter and lose. `reason` is a sentence wherever the outcome is neither on nor off.

    Source: `modprobe --show-depends` and `modinfo --parameters`; the files of modprobe.d and `/proc/cmdline` say
    where the value comes from, and for a built-in module what it is.
    """

    module: str
    outcome: Outcome
    authority: Authority | None = None
    value: str | None = None
    reason: str = ""
    is_built_in: bool = False
    origin: tuple[Evidence, ...] = ()
    overridden: tuple[Evidence, ...] = ()
    contradicted: tuple[Evidence, ...] = ()
    """Those of the overridden lines that want something else: `nested=1` and `nested=Y` agree."""

    @property
    def nested(self) -> bool | None:
        """Whether nested will be on; None where the load fails or nothing can be told."""
        return {Outcome.ON: True, Outcome.OFF: False}.get(self.outcome)

    @property
    def fails(self) -> bool:
        """Whether the module will not load, because of a value."""
        return self.outcome is Outcome.FAILS

    @property
    def said_by(self) -> str:
        """Who says the value, in words."""
        if self.value is None or self.authority in {None, Authority.DEFAULT}:
            return "the kernel's default"
        return f"{self.value} in {self.origin[0].source}" if self.origin else self.value

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What decides, then what loses."""
        return (*self.origin, *self.overridden)

    @property
    def is_explicit(self) -> bool | None:
        """Whether a modprobe.d line, or for a built-in module the command line, decides; None: it cannot be told."""
        if self.authority is None or self.authority is Authority.UNTRACED:
            return None
        return self.authority is (Authority.COMMAND_LINE if self.is_built_in else Authority.FILE)

    @property
    def is_blocked(self) -> bool:
        """Whether the `install` command is one that plainly loads nothing (`/bin/false`)."""
        command = (self.value or "").split()[:1]
        return self.outcome is Outcome.COMMAND and bool(command) and command[0] in _NO_EFFECT
