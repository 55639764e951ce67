"""A host that could not be reached, or no host at all, passes in no mode, and in no report."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.recorded import record
from tests.support.suite import SuiteRun, run_many, run_suite
from tests.support.suite_copy import suite_with

MODES = {
    "": 6,
    "--gate": 1,
    "--fail-on=critical": 6,
    "--fail-on=critical --gate": 1,
    "--fail-on-drift --baseline={baseline}": 6,
    "--fail-on-drift --baseline={baseline} --gate": 1,
    "--waivers={waivers}": 6,
    "--waivers={waivers} --gate": 1,
    "--domain-xml={domain}": 6,
    "--domain-xml={domain} --gate": 1,
    "--nagios": 3,
    "--nagios --fail-on=critical": 3,
    "--nagios --waivers={waivers}": 3,
    "--nagios --fail-on-drift --baseline={baseline}": 3,
    "--nagios --domain-xml={domain}": 3,
    "-k cpu_shows": 6,
    "-k cpu_shows --nagios": 3,
    "-x": 6,
    "-x --nagios": 3,
}
"""A mode, and the exit status of a run in which one of two hosts was unreachable."""

NO_HOST = ["", "--gate", "--fail-on=critical", "--domain-xml={domain}", "--waivers={waivers}"]
EMPTY = ["--inventory={empty}", "--hosts=,", "--evidence={folder}/none", "--inventory={folder}/absent.yaml"]

DOMAIN = "<domain type='kvm'><name>ci-new</name><cpu mode='host-passthrough'/></domain>"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("closed")
    (folder / "none").mkdir()
    places = {name: folder / name for name in ("waivers", "domain", "empty", "fleet", "baseline")}
    entry = {"control": "*", "target": "*", "reason": "all of it", "approver": "nobody", "permanent": True}
    places["waivers"].write_text(json.dumps({"waivers": [entry]}))
    places["domain"].write_text(DOMAIN)
    places["empty"].write_text("hosts: {}\n")
    hosts = "hosts: {kvm-a: {address: 'ssh://kvm-a'}, kvm-b: {address: 'ssh://kvm-b'}}\n"
    places["fleet"].write_text(hosts)
    record(folder / "evidence", "kvm-a")
    return {**places, "folder": folder}


@pytest.fixture(scope="module")
def unreachable(places: Mapping[str, Path]) -> Path:
    """The evidence of a run in which `kvm-b` refused its connection, beside a recorded `kvm-a`."""
    folder = places["folder"]
    inventory = folder / "refusing.yaml"
    inventory.write_text("hosts: {kvm-b: {address: 'ssh://127.0.0.1:1'}}\n")
    run = run_suite(f"--inventory={inventory}", report_dir=folder / "refusing")
    assert "unreachable" in run.target("kvm-b")["error"]
    (folder / "evidence" / "kvm-b.json").write_bytes((run.reports / "evidence" / "kvm-b.json").read_bytes())
    places["baseline"].write_bytes((run.reports / "results.json").read_bytes())
    return folder / "evidence"


@pytest.fixture(scope="module")
def modes(places: Mapping[str, Path], unreachable: Path) -> Mapping[str, SuiteRun]:
    """Every mode, in one process; a folder of reports for each, as `latest` is the last."""
    folders = {mode: places["folder"] / "modes" / str(number) for number, mode in enumerate(MODES)}
    lines = [
        [f"--evidence={unreachable}", *(word.format(**places) for word in mode.split()), f"--report-dir={folder}"]
        for mode, folder in folders.items()
    ]
    runs = run_many(lines, report_dir=places["folder"] / "reports")
    return {mode: replace(run, report_dir=folders[mode]) for mode, run in zip(MODES, runs, strict=True)}


@pytest.mark.parametrize("mode", MODES)
def test_an_unreachable_host_passes_in_no_mode(modes: Mapping[str, SuiteRun], mode: str) -> None:
    run = modes[mode]
    assert run.status == MODES[mode]
    assert "COMPLIANT" not in {line.partition(" ")[0] for line in run.output.splitlines()}
    assert bool([line for line in run.output.splitlines() if line.startswith("kvm-b  BLOCK  ")]) == ("--gate" in mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_unreachable_host_passes_in_no_report(modes: Mapping[str, SuiteRun], mode: str) -> None:
    run = modes[mode]
    assert run.document["run"]["exit_status"] in {1, 6}
    of_host = [each for each in run.document["results"] if each["target"] == "kvm-b"]
    assert {each["outcome"] for each in of_host} <= {"error", "notapplicable"}
    assert any(case.find("error") is not None for case in run.junit.iter("testcase"))


@pytest.mark.parametrize(("mode", "status"), [("", 6), ("--gate", 1), ("--nagios", 3)])
def test_an_unreachable_host_does_not_pass_because_nothing_is_asked_of_it(
    places: Mapping[str, Path], unreachable: Path, mode: str, status: int
) -> None:
    words = [f"--evidence={unreachable}", "-k", "kvm-a", *mode.split()]
    (run,) = run_many([words], report_dir=places["folder"] / f"narrow{mode}")
    assert run.status == status
    assert {each["target"] for each in run.document["results"]} == {"kvm-a"}


@pytest.mark.parametrize("mode", NO_HOST)
def test_a_run_of_no_host_passes_in_no_mode(places: Mapping[str, Path], mode: str) -> None:
    lines = [[word.format(**places) for word in [source, *mode.split()]] for source in EMPTY]
    for run in run_many(lines, report_dir=places["folder"] / "no-host"):
        assert (run.status, run.output) == (4, "")
        assert not run.report_dir.exists()


@pytest.mark.parametrize("source", EMPTY)
def test_a_run_of_no_host_is_unknown_to_nagios(places: Mapping[str, Path], source: str) -> None:
    run = run_suite("--nagios", source.format(**places), report_dir=places["folder"] / "no-host")
    assert run.status == 3
    assert run.output.startswith("NESTED-KVM UNKNOWN - ")
    assert not run.report_dir.exists()


@pytest.mark.parametrize(("mode", "status"), [("", 2), ("--gate", 2), ("--nagios", 3)])
def test_a_check_that_cannot_be_read_is_no_reason_to_pass(tmp_path: Path, mode: str, status: int) -> None:
    root = suite_with(tmp_path, "def broken(:\n")
    record(tmp_path / "evidence", "kvm-a")
    words = [f"--evidence={tmp_path}/evidence", "--continue-on-collection-errors", *mode.split()]
    run = run_suite(*words, report_dir=tmp_path / "reports", root=root)
    assert run.status == status
    assert "pass" in run.outcomes("kvm-a").values()


@pytest.mark.parametrize("body", ["async def test_it(cpu)", "def test_it(cpu)"], ids=["a coroutine", "a generator"])
def test_a_control_that_judges_nothing_is_no_reason_to_pass(tmp_path: Path, body: str) -> None:
    lines = [
        "from nested_kvm import Severity, control",
        "@control('L0-ZZZ-01', severity=Severity.LOW)",
        f"{body}:",
        "    '''It holds.\n\n    For a reason.\n    '''",
        "    yield" if body.startswith("def") else "    raise AssertionError",
    ]
    root = suite_with(tmp_path, "\n".join(lines))
    record(tmp_path / "evidence", "kvm-a")
    run = run_suite(f"--evidence={tmp_path}/evidence", report_dir=tmp_path / "reports", root=root)
    assert run.outcomes("kvm-a")["L0-ZZZ-01"] == "error"
    assert run.status != 0
