"""The age of evidence: what was observed too long ago, or in the future, says nothing about today."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from nested_kvm.errors import EvidenceUnusable
from nested_kvm.evidence.bundle import Bundle, Failure

CLOCK_SKEW: Final = timedelta(minutes=5)
"""By how much the clock of another controller may be fast."""


def within_age(bundle: Bundle, limit: timedelta | None, now: datetime) -> Bundle:
    """The bundle, as one that could not be observed where its evidence is too old, or from the future."""
    if bundle.failure is not None:
        return bundle
    observed = bundle.observed_at if bundle.observed_at.tzinfo is not None else bundle.observed_at.replace(tzinfo=UTC)
    when = observed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if observed > now + CLOCK_SKEW:
        return _refused(bundle, f"its evidence is from the future: observed at {when}")
    if limit is not None and now - observed > limit:
        return _refused(bundle, f"its evidence is older than --max-age allows: observed at {when}")
    return bundle


def _refused(bundle: Bundle, reason: str) -> Bundle:
    return replace(bundle, failure=Failure(EvidenceUnusable.__name__, f"{bundle.target.name}: {reason}"))
