"""The age of evidence: a run may evaluate a bundle long after it was observed."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from nested_kvm.errors import EvidenceUnusable
from nested_kvm.evidence.bundle import Bundle, Failure

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the clock of the machine that observed may be ahead of ours."""


def age_of(bundle: Bundle, now: datetime) -> timedelta:
    """Return the time since a bundle was observed, never below zero.

    Raises:
        EvidenceUnusable: it was observed in the future, or its time has no zone: its age is unknown.
    """
    if bundle.observed_at.tzinfo is None:
        raise EvidenceUnusable(f"its time of observation {bundle.observed_at.isoformat()} has no time zone")
    age = now - bundle.observed_at
    if age < -CLOCK_SKEW:
        raise EvidenceUnusable(
            f"was observed in the future, at {bundle.observed_at.isoformat(timespec='seconds')}: check the clocks"
        )
    return max(age, timedelta(0))


def within_age(bundle: Bundle, limit: timedelta | None, now: datetime) -> Bundle:
    """Return the bundle; one that is too old or from the future as one that could not be observed."""
    if bundle.failure is not None:
        return bundle
    try:
        age = age_of(bundle, now)
    except EvidenceUnusable as error:
        return _refused(bundle, f"its evidence {error}")
    if limit is not None and age > limit:
        when = bundle.observed_at.isoformat(timespec="seconds")
        return _refused(bundle, f"its evidence is older than --max-age allows: observed at {when}")
    return bundle


def _refused(bundle: Bundle, reason: str) -> Bundle:
    return replace(bundle, failure=Failure(EvidenceUnusable.__name__, f"{bundle.target.name}: {reason}"))
