"""Parse command lines of the audit as a run does, and answer what each is refused for.

`python -m tests.support.parsed` reads lists of words as JSON, and prints a list of messages; null: it would run.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.config import _prepareconfig

ROOT = Path(__file__).parents[2]


def refusals(lines: Sequence[Sequence[str]]) -> list[str | None]:
    """What each command line is refused for before anything is inspected, by pytest or by the audit."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.support.parsed"],
        cwd=ROOT,
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str | None] = json.loads(answer.stdout)
    return found


def _refusal(words: list[str]) -> str | None:
    from nested_kvm.errors import UsageError  # noqa: PLC0415 - the plugin is imported by pytest first
    from nested_kvm.plugin.options import Options  # noqa: PLC0415 - as above

    config = None
    try:
        config = _prepareconfig(words)
        if hasattr(config.option, "inventory"):  # not so in the project's own tests
            Options.of(config)
    except (pytest.UsageError, UsageError) as error:
        return str(error)
    finally:
        if config is not None:
            config._ensure_unconfigure()
    return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps([_refusal(words) for words in json.load(sys.stdin)]))
