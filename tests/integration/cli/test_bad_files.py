"""A waiver file, a baseline: one that cannot be used ends the run with 4 before anything is looked at."""

import json
import os
from collections.abc import Mapping

import pytest

from tests.support.recorded import record
from tests.support.suite import SuiteRun, run_many

SIGNED = "target: kvm-a, reason: known, approver: ops"

WAIVERS = {
    "no file": (None, ": No such file or directory"),
    "an empty file": ("", ":1: the file: is empty: it must be a mapping"),
    "a list": ("- control: L0-LIB-01\n", ":1: the file: must be a mapping"),
    "no list": ("waivers: {control: L0-LIB-01}\n", ":1: waivers: must be a list"),
    "no YAML": ("waivers: [\n", ":2: "),
    "a huge comment": ("waivers:\n  # " + "# " * 1_000_000, ":2: has a comment in a line of more than 8 KiB"),
    "no UTF-8": ("waivers:\n  - control: \udcff\n", ":2: is not UTF-8 text"),
    "an unknown key of the file": ("waiver: []\nwaivers: []\n", ":1: waiver: unknown key"),
    "an unknown key": (
        f"waivers:\n  - {{control: A, {SIGNED}, permanent: true}}\n  - {{control: A,\n     expire: x, {SIGNED}}}",
        ":4: waivers.1.expire: unknown key",
    ),
    "a key twice": (
        "waivers:\n  - control: A\n    control: B\n",
        ':3: found duplicate key "control": each may stand once',
    ),
    "no end": (f"waivers:\n  - {{control: A, {SIGNED}}}\n", ":2: waivers.0.expires: is missing: write the last day"),
    "an end that is empty": (
        "waivers:\n  - control: A\n    target: B\n    reason: C\n    approver: D\n    expires:\n",
        ":6: waivers.0.expires: is missing",
    ),
    "no end, and not permanent": (
        f"waivers:\n  - {{control: A, {SIGNED}, permanent: false}}\n",
        ":2: waivers.0.expires: is missing",
    ),
    "two ends": (
        f"waivers:\n  - {{control: A, {SIGNED}, permanent: true, expires: 2999-01-01}}\n",
        ":2: waivers.0.expires: contradicts `permanent: true`",
    ),
    "permanent in another word": (
        f"waivers:\n  - {{control: A, {SIGNED}, permanent: 'yes'}}\n",
        ":2: waivers.0.permanent: ",
    ),
    "a day that no calendar has": (
        f"waivers:\n  - {{control: A, {SIGNED}, expires: 2999-02-29}}\n",
        ":2: waivers.0.expires: '2999-02-29' is not a date: there is no such day",
    ),
    "a time": (
        f"waivers:\n  - {{control: A, {SIGNED}, expires: 2999-01-01T00:00:00Z}}\n",
        ":2: waivers.0.expires: '2999-01-01T00:00:00Z' is not a date (use YYYY-MM-DD)",
    ),
    "a number of seconds": (
        f"waivers:\n  - {{control: A, {SIGNED}, expires: 1893456000}}\n",
        ":2: waivers.0.expires: '1893456000' is not a date",
    ),
    "words for a date": (
        f'waivers:\n  - {{control: A, {SIGNED}, expires: "next \\e[31m week"}}\n',
        ":2: waivers.0.expires: 'next [31m week' is not a date",
    ),
    "nobody who answers": (
        "waivers:\n  - control: A\n    target: B\n    reason: C\n    approver: ' '\n    permanent: true\n",
        ":5: waivers.0.approver: is empty",
    ),
    "no reason": (
        "waivers:\n  - {control: A, target: B, approver: C, permanent: true}\n",
        ":2: waivers.0.reason: is m",
    ),
    "no target": (
        "waivers:\n  - {control: A, reason: B, approver: C, permanent: true}\n",
        ":2: waivers.0.target: is m",
    ),
    "an empty pattern": (
        "waivers:\n  - {control: '', target: A, reason: B, approver: C, permanent: true}\n",
        ":2: waivers.0.control: is not a valid pattern",
    ),
}
"""A waiver file, and what follows its name in the message."""

RUN = {"id": "1", "started": "2026-01-01T00:00:00Z"}
GOOD = {"schema": "nested-kvm-compliance/results/1", "run": RUN, "targets": [{"name": "kvm-a"}], "results": []}

BASELINES = {
    "no file": (None, "No such file or directory"),
    "no JSON": ("{", "is not a results.json: Invalid JSON"),
    "an empty file": ("", "is not a results.json: Invalid JSON"),
    "a list": ("[]", "is not a results.json: "),
    "nested deeply": ("[" * 100_000, "is not a results.json: Invalid JSON: recursion limit exceeded"),
    "no schema": ("{}", "is of schema 'None', not 'nested-kvm-compliance/results/1'"),
    "a newer schema": (
        json.dumps({**GOOD, "schema": "nested-kvm-compliance/results/2"}),
        "is of schema 'nested-kvm-compliance/results/2', not",
    ),
    "evidence": (
        json.dumps({"schema": "nested-kvm-compliance/evidence/1"}),
        "is of schema 'nested-kvm-compliance/evidence/1', not",
    ),
    "no results": (json.dumps({**GOOD, "results": None}), "is not a results.json: results: Input should be a valid"),
    "a broken result": (
        json.dumps({**GOOD, "results": [{}]}),
        "is not a results.json: results.0.control: Field required",
    ),
    "another fleet": (
        json.dumps({**GOOD, "targets": [{"name": "web-\u202e1"}]}),
        "is of another fleet: it has none of these targets (it has web- 1)",
    ),
    "no fleet": (json.dumps({**GOOD, "targets": []}), "is of another fleet: it has none of these targets"),
}
"""A baseline, and what follows its name in the message."""

OPTIONS = {
    "drift without a baseline": (["--fail-on-drift"], "--fail-on-drift needs a --baseline to compare with"),
    "a folder of waivers": (["--waivers={folder}"], "{folder}: Is a directory"),
    "a folder for a baseline": (["--baseline={folder}"], "--baseline: {folder}/results.json: No such file"),
    "a FIFO of waivers": (["--waivers={folder}/fifo"], "{folder}/fifo: is not a regular file"),
    "a FIFO for an inventory": (["--inventory={folder}/fifo"], "{folder}/fifo: is not a regular file"),
    "a device for an inventory": (["--inventory=/dev/zero"], "/dev/zero: is not a regular file"),
    "a FIFO for a domain": (["--domain-xml={folder}/fifo"], "--domain-xml: {folder}/fifo: is not a regular file"),
}
"""A command line, and a part of the message."""

Refusals = Mapping[str, tuple[SuiteRun, str]]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Refusals:
    """Every file of this module, used; and what its message must hold."""
    folder = tmp_path_factory.mktemp("files")
    os.mkfifo(folder / "fifo")
    evidence = record(folder / "evidence", "kvm-a").parent
    cases = {
        name: ([word.format(folder=folder) for word in words], part.format(folder=folder))
        for name, (words, part) in OPTIONS.items()
    }
    for option, files, suffix in (("waivers", WAIVERS, ""), ("baseline", BASELINES, " ")):
        for number, (name, (text, part)) in enumerate(files.items()):
            path = folder / f"{option}-{number}"
            if text is not None:
                path.write_bytes(text.encode(errors="surrogateescape"))
            between = ": " if text is None and suffix else suffix
            cases[f"{option}: {name}"] = ([f"--{option}={path}"], f"{path}{between}{part}")
    lines = [[f"--evidence={evidence}", *words] for words, _ in cases.values()]
    runs = run_many(lines, report_dir=folder / "reports")
    return {name: (run, part) for (name, (_, part)), run in zip(cases.items(), runs, strict=True)}


@pytest.mark.parametrize(
    "case", [*OPTIONS, *(f"waivers: {name}" for name in WAIVERS), *(f"baseline: {name}" for name in BASELINES)]
)
def test_a_file_that_cannot_be_used_ends_with_4_and_names_its_place(refusals: Refusals, case: str) -> None:
    run, part = refusals[case]
    assert (run.status, run.output) == (4, "")
    assert part in run.errors
    assert "Traceback" not in run.errors
    assert "".join(run.errors.split("\n")).isprintable()


def test_one_error_is_one_line(refusals: Refusals) -> None:
    lines = {name: len(run.errors.strip().splitlines()) for name, (run, _) in refusals.items()}
    assert {name for name, count in lines.items() if count != 1} == {"waivers: an unknown key"}, "it lacks its end, too"


def test_such_a_run_leaves_no_report(refusals: Refusals) -> None:
    assert not next(iter(refusals.values()))[0].report_dir.exists()
