"""The published failures for `nested-kvm explain`.

`python -m tests.support.field_json > nested_kvm/command/field-failures.json` writes them.
"""

import json
import sys
from collections.abc import Iterator

from tests.support.field_failure import FieldFailure, failures


def field_json() -> str:
    """Return the file's text."""
    return json.dumps([_entry(each) for each in failures().values()], indent=1, ensure_ascii=False) + "\n"


def _entry(failure: FieldFailure) -> dict[str, object]:
    about, thread = " ".join(failure.about.split()), failure.thread
    return {"title": failure.title, "thread": thread, "about": about, "reported": list(_reported(failure))}


def _reported(failure: FieldFailure) -> Iterator[str]:
    outcomes = {**failure.told(), **failure.told_before_maintenance()}
    yield from dict.fromkeys(f"{control} {outcome}" for (_, control), outcome in outcomes.items())
    yield from dict.fromkeys(each.cause for each in failure.diagnoses().values() if each.cause)


if __name__ == "__main__":
    sys.stdout.write(field_json())
