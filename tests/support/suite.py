"""The audit as its users start it: a separate process, and the reports that it leaves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import parse

from tests.support.started_pytest import OPTIONS, SECONDS, started_pytest

ROOT = Path(__file__).parents[2]
REPORTS = {
    "results.json",
    "report.html",
    "junit.xml",
    "sarif.json",
    "hdf.json",
    "metrics.prom",
    "summary.md",
    "ocsf.json",
    "results.csv",
    "problems.csv",
    "SHA256SUMS",
}
"""What each run leaves beside its evidence."""
PYTEST = (sys.executable, "-m", "pytest", *OPTIONS)

MANY = """\
import contextlib, io, json, sys
import pytest
for words in json.load(sys.stdin):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = int(pytest.main(words))
    print(json.dumps([status, output.getvalue(), errors.getvalue()]))
"""
"""Runs one command line after the other in one process, which saves the time to start it."""

EACH = MANY.replace("json.load(sys.stdin)", "map(json.loads, sys.stdin)").replace("]))", "]), flush=True)")
"""The same, each as it is asked."""


@dataclass
class SuiteRun:
    """What one run came to."""

    status: int
    output: str
    errors: str
    report_dir: Path

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return self.output + self.errors

    @property
    def reports(self) -> Path:
        return self.report_dir / "latest"

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return `results.json`."""
        found: dict[str, Any] = json.loads((self.reports / "results.json").read_text())
        return found

    @cached_property
    def html(self) -> str:
        return (self.reports / "report.html").read_text()

    @cached_property
    def junit(self) -> Element:
        root = parse(self.reports / "junit.xml").getroot()
        assert root is not None
        return root

    def evidence(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "evidence" / f"{name}.json").read_text())
        return found

    def outcomes(self, subject: str) -> dict[str, str]:
        """Map each control to what it says of the subject."""
        return {each["control"]: each["outcome"] for each in self.document["results"] if each["subject"] == subject}

    def messages(self, subject: str) -> set[str]:
        return {each["message"] for each in self.document["results"] if each["subject"] == subject}

    def target(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(each for each in self.document["targets"] if each["name"] == name)
        return found


def environment(home: Path) -> dict[str, str]:
    """Return what a user's shell gives the audit; nothing of the tests' own pytest, no user's ssh_config."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LD_LIBRARY_PATH"}}
    return {**kept, "HOME": str(home), "COLUMNS": "120"}


def command_line(*arguments: object, report_dir: Path) -> list[str]:
    return [*PYTEST, f"--report-dir={report_dir}", *map(str, arguments)]


def run_many(command_lines: Iterable[Sequence[object]], *, report_dir: Path) -> list[SuiteRun]:
    """Run the audit several times: for runs that end before anything is observed."""
    lines = [[f"--report-dir={report_dir}", *map(str, words)] for words in command_lines]
    ended = subprocess.run(
        [sys.executable, "-c", MANY],
        cwd=ROOT,
        env=environment(report_dir.parent),
        input=json.dumps(lines),
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS * max(1, len(lines)),
        check=True,
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    return [SuiteRun(status, output, errors, report_dir) for status, output, errors in answers]


class Runner:
    """One process that runs the audit again and again."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", EACH],
            cwd=ROOT,
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, *arguments: object, report_dir: Path) -> SuiteRun:
        """Run the audit in the project's folder and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([f"--report-dir={report_dir}", *map(str, arguments)]) + "\n")
        status, output, errors = json.loads(self._process.stdout.readline())
        return SuiteRun(status, output, errors, report_dir)

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=SECONDS)


def run_suite(*arguments: object, report_dir: Path, root: Path = ROOT) -> SuiteRun:
    """Run the audit in its folder and wait for its end."""
    if root == ROOT:
        words = (f"--report-dir={report_dir}", *arguments)
        done = started_pytest(*words, cwd=ROOT, env=environment(report_dir.parent))
        return SuiteRun(done.returncode, done.stdout, done.stderr, report_dir)
    ended = subprocess.run(
        command_line(*arguments, report_dir=report_dir),
        cwd=root,
        env=environment(report_dir.parent),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return SuiteRun(ended.returncode, ended.stdout, ended.stderr, report_dir)
