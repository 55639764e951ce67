"""The reports that are files, by name."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from nested_kvm.errors import UsageError
from nested_kvm.reporting.formats.csv_tables import problems_csv, results_csv
from nested_kvm.reporting.formats.hdf import hdf_json
from nested_kvm.reporting.formats.json_results import results_json
from nested_kvm.reporting.formats.junit import junit_xml
from nested_kvm.reporting.formats.markdown import LEAST, LIMIT, summary_markdown
from nested_kvm.reporting.formats.metrics import metrics_pieces
from nested_kvm.reporting.formats.ocsf import ocsf_json
from nested_kvm.reporting.formats.sarif import sarif_json
from nested_kvm.results.run import Run

STEP_SUMMARY: Final = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub Actions names the file that it shows on a run's page."""


def report_files(run: Run) -> Iterator[tuple[str, Iterable[str]]]:
    """Return the name and text of each report; large ones are generated while they are written."""
    yield "results.json", results_json(run)
    yield "sarif.json", sarif_json(run)
    yield "hdf.json", hdf_json(run)
    yield "ocsf.json", ocsf_json(run)
    yield "results.csv", results_csv(run)
    yield "problems.csv", problems_csv(run)
    yield "junit.xml", junit_xml(run)
    yield "metrics.prom", metrics_pieces(run)
    yield "summary.md", [summary_markdown(run)]


def append_step_summary(run: Run) -> None:
    """Append the summary to the page of a GitHub Actions run, as far as there is room.

    Raises:
        UsageError: the file that the environment names cannot be written.
    """
    name = os.environ.get(STEP_SUMMARY)
    if not name:
        return
    try:
        with Path(name).open("ab") as file:
            room = LIMIT - file.tell()
            if room > LEAST:
                file.write(summary_markdown(run, room).encode(errors="replace"))
    except OSError as error:
        raise UsageError(f"{STEP_SUMMARY}: {name}: {error.strerror}") from None
