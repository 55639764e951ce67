"""What a gate refuses of merged runs: they were evaluated at their time, and it decides on what is so now."""

from datetime import UTC, date, datetime, timedelta

from nested_kvm.evidence.age import CLOCK_SKEW
from nested_kvm.results.run import Run
from nested_kvm.util.text import printable


def too_old(run: Run, limit: timedelta, now: datetime) -> str:
    """Return which target was observed too long ago, or in the future; empty: none was.

    A run of an older version did not record when: then the start of the earliest run counts.
    """
    seen = [(_in_utc(each.observed_at or run.started), each.name) for each in run.targets if each.observed]
    if not seen:
        return ""
    (oldest, name), (newest, other) = min(seen), max(seen)
    if newest > now + CLOCK_SKEW:
        return f"{printable(other)} was observed in the future, at {_shown(newest)}: check the clocks"
    if now - oldest > limit:
        return f"{printable(name)} was observed at {_shown(oldest)}, longer ago than --max-age allows"
    return ""


def ended_waiver(run: Run, today: date) -> str:
    """Return which waiver accepts a result of these runs and has ended since; empty: none has."""
    waived = (each.waiver for each in (*run.waived(), *run.accepted()))
    ended = [each for each in waived if each is not None and not each.holds_on(today)]
    return f"a waiver expired on {ended[0].expires} ({printable(ended[0].source)})" if ended else ""


def _in_utc(time: datetime) -> datetime:
    return time.astimezone(UTC) if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
