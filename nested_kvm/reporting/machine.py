"""The reports for programs, each under the name of its file."""

from collections.abc import Iterator

from nested_kvm.reporting.json_results import results_json
from nested_kvm.results import Run, Threshold


def machine_reports(run: Run, threshold: Threshold) -> Iterator[tuple[str, str]]:
    """Name and text of each."""
    yield "results.json", results_json(run)
