"""What `--since` came to for a target: the digest of its cheap readings, and why it was inspected again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class TargetDigest:
    """A SHA-256 for each kind of a target's cheap readings, taken just before it was inspected."""

    parts: Mapping[str, str]

    def differences(self, earlier: "TargetDigest") -> list[str]:
        """Return the kinds that are not as they were, by name; none: everything that they cover is unchanged."""
        names = sorted(self.parts.keys() | earlier.parts.keys())
        return [name for name in names if self.parts.get(name) != earlier.parts.get(name)]


@dataclass(frozen=True, slots=True)
class Incremental:
    """The result of `--since` for one target."""

    digest: TargetDigest | None
    """What a later run compares with; None: nothing can show then that the target is unchanged."""
    reason: str | None
    """Why it was inspected again; None: it was not, and its evidence is an earlier run's."""

    @property
    def is_unchanged(self) -> bool:
        """Whether the target was not inspected again."""
        return self.reason is None


def unchanged_since(observed_at: datetime) -> str:
    """Return the words of every report for a target that was not inspected again."""
    return f"not inspected again: unchanged since {observed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
