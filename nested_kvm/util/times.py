"""Points in time as text."""

from datetime import UTC, datetime


def iso_time(moment: datetime) -> str:
    """Return a time in UTC, to the second: `2026-01-31T23:59:59Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
