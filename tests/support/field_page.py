"""The published failures as a page: `python -m tests.support.field_page > docs/field-failures.md`."""

import sys
from collections.abc import Iterator

from tests.support.field_failure import FieldFailure, failures
from tests.support.scenario import Diagnosis

_PREFACE = """\
# Failures from the field

Made by `python -m tests.support.field_page > docs/field-failures.md` from `tests/data/field/`.

People ran into these failures and published them. The project's own tests replay each of them: what the reporter posted
is recorded as evidence, the rest of the machine is filled in from a recorded one, and each file says which is which.
The last column is what the audit reports. Where the thread does not show enough, the audit says so and names what is
missing.

| thread | what people saw | what the audit reports |
|---|---|---|
"""


def _page() -> str:
    return _PREFACE + "".join(f"{_row(each)}\n" for each in failures().values())


def _row(failure: FieldFailure) -> str:
    said = list(_said(failure))
    if failure.missing:
        said.append(f"missing: {failure.missing}")
    return f"| [{failure.title}]({failure.thread}) | {failure.about} | {'<br>'.join(said)} |"


def _said(failure: FieldFailure) -> Iterator[str]:
    several = len(failure.domains) > 1
    for (subject, control), outcome in (failure.told() | failure.told_before_maintenance()).items():
        word, _, cause = outcome.partition(" ")
        yield f"{f'{subject}: ' if several and subject else ''}{control} {word}{f' `{cause}`' if cause else ''}"
    for subject, diagnosis in failure.diagnoses().items():
        yield _diagnosed(subject if several else "the guest", diagnosis)


def _diagnosed(guest: str, diagnosis: Diagnosis) -> str:
    words = {
        "yes": f"{guest} can nest",
        "no": f"{guest} cannot nest",
        "unknown": f"whether {guest} can nest is unknown",
    }
    cause = f" (`{diagnosis.cause}`)" if diagnosis.cause else ""
    link = f": `{diagnosis.broken_link}` is broken{cause}" if diagnosis.broken_link else cause
    return f"{words[diagnosis.can_nest]}{link}"


if __name__ == "__main__":
    sys.stdout.write(_page())
