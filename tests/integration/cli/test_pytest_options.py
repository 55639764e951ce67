"""The options of pytest mean for the audit what they mean for any pytest suite, or are refused."""

from pathlib import Path

import pytest

from nested_kvm.controls.catalogue import catalogue
from tests.support.recorded import record
from tests.support.suite import ROOT, SuiteRun, run_many, run_suite

REFUSED = {
    "--lf": "--lf is not supported: nothing is cached between runs",
    "--ff": "--ff is not supported: nothing is cached between runs",
    "--sw": "--sw is not supported: nothing is cached between runs",
    "--cache-show": "--cache-show is not supported: nothing is cached between runs",
    "--pdb": "--pdb is not supported: ",
    "--trace": "--trace is not supported: ",
    "--setup-only": "--setup-only is not supported: controls take facts, not fixtures",
    "--setup-show": "--setup-show is not supported: controls take facts, not fixtures",
    "--setup-plan": "--setup-plan is not supported: controls take facts, not fixtures",
    "-m=typo": "-m: unknown marker typo",
    "-m=L0 and": "-m 'L0 and' is not a valid expression",
}
SELECTIONS = {"-k=L0-KVM-01": "L0-KVM-01", "-m=L0": "L0-*", "-m=PAIR": "PAIR-02", "-k=L0-PER and high": "L0-PER-03"}


def selected(run: SuiteRun) -> set[str]:
    return {each["control"] for each in run.document["results"]}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence")
    record(folder, "kvm-a", refusal="Connection refused")
    return folder


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SuiteRun]:
    folder = tmp_path_factory.mktemp("refused")
    lines = [["--hosts=ssh://127.0.0.1:1", option] for option in REFUSED]
    return dict(zip(REFUSED, run_many(lines, report_dir=folder / "reports"), strict=True))


@pytest.mark.parametrize("option", REFUSED)
def test_an_option_that_would_have_no_effect_is_refused(refusals: dict[str, SuiteRun], option: str) -> None:
    run = refusals[option]
    assert (run.status, run.output) == (4, "")
    assert f"ERROR: {REFUSED[option]}" in run.errors
    assert not run.report_dir.exists()


def test_distributing_the_run_is_refused(tmp_path: Path) -> None:
    run = run_suite("--hosts=ssh://127.0.0.1:1", "-n", "2", report_dir=tmp_path / "reports")
    assert run.status == 4
    assert "ERROR: -n is not supported: --forks already observes in parallel" in run.errors
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("option", ["-k=L0-KVM-01", "-m=PAIR", "-k=L0-PER-02"])
def test_a_control_is_selected_by_its_id_or_level(evidence: Path, tmp_path: Path, option: str) -> None:
    run = run_suite(f"--evidence={evidence}", option, report_dir=tmp_path / "reports")
    expected = {"-k=L0-KVM-01": "L0-KVM-01", "-m=PAIR": "PAIR-02", "-k=L0-PER-02": "L0-PER-02"}[option]
    assert {each["control"] for each in run.document["results"] if each["outcome"] != "notchecked"} == {expected}


@pytest.mark.parametrize("option", ["-k=critical", "-m=critical"])
def test_controls_are_selected_by_severity(evidence: Path, tmp_path: Path, option: str) -> None:
    run = run_suite(f"--evidence={evidence}", option, report_dir=tmp_path / "reports")
    severities = {each["severity"] for each in run.document["results"] if each["outcome"] != "notchecked"}
    assert severities == {"critical"}


def test_verbose_prints_a_line_for_each_test(evidence: Path, tmp_path: Path) -> None:
    run = run_suite(f"--evidence={evidence}", "-v", "-m=L0", report_dir=tmp_path / "reports")
    lines = [line for line in run.output.splitlines() if line.startswith("checks/l0/test_kvm.py::")]
    assert any(line.startswith("checks/l0/test_kvm.py::test_dev_kvm_is_the_kvm_device[kvm-a] PASSED") for line in lines)
    assert len(lines) == sum(control.id.startswith("L0-KVM") for control in catalogue(ROOT))


def test_without_verbose_no_file_is_named(evidence: Path, tmp_path: Path) -> None:
    run = run_suite(f"--evidence={evidence}", report_dir=tmp_path / "reports")
    assert "checks/l0/test_kvm.py" not in run.output


def test_a_listing_counts_what_would_run_and_observes_nothing(evidence: Path, tmp_path: Path) -> None:
    run = run_suite(f"--evidence={evidence}", "--collect-only", report_dir=tmp_path / "reports")
    items = [line for line in run.output.splitlines() if "::" in line]
    assert f"{len(items)}/" in run.output
    assert " tests collected (" in run.output
    assert " deselected)" in run.output
    assert "observ" not in run.output


def test_skips_and_failures_point_at_the_control(evidence: Path, tmp_path: Path) -> None:
    run = run_suite(f"--evidence={evidence}", "-rs", "--tb=line", report_dir=tmp_path / "reports")
    source = (ROOT / "checks/l0/test_libvirt.py").read_text().splitlines()
    line = source.index("def test_libvirt_answers(libvirt: Libvirt) -> None:") + 1
    (failure,) = [each for each in run.output.splitlines() if each.startswith("checks/l0/test_libvirt.py:")]
    number = int(failure.split(":")[1])
    assert source[number - 1] == "@control("
    assert number < line < number + 10
    assert "test_libvirt.py:0" not in run.output


def test_an_error_is_one_of_the_test(tmp_path: Path) -> None:
    record(tmp_path / "evidence", "kvm-a", readings={"/proc/cpuinfo": "processor : 0"})
    run = run_suite(f"--evidence={tmp_path}/evidence", "--tb=short", report_dir=tmp_path / "reports")
    assert "ERROR at setup of" not in run.output
    assert [line for line in run.output.splitlines() if line.startswith("_") and " ERROR test_" in line]


def test_choices_are_words(tmp_path: Path) -> None:
    run = run_suite("--hosts=kvm-a", "--nested=require", report_dir=tmp_path / "reports")
    assert run.status == 4
    assert "<Nested" not in run.text
    assert "required" in run.errors


def test_a_pattern_needs_an_inventory(tmp_path: Path) -> None:
    run = run_suite("--hosts=kvm-*", report_dir=tmp_path / "reports")
    assert run.errors.splitlines()[0] == "ERROR: --hosts: 'kvm-*' is a pattern; patterns need --inventory"


@pytest.mark.parametrize("word", ["FAILED", "ERROR"])
def test_the_short_summary_gives_the_message_and_not_the_title(tmp_path: Path, word: str) -> None:
    cut = {"/proc/cpuinfo": "processor : 0"} if word == "ERROR" else {"/sys/module/kvm_amd/parameters": "nested=0"}
    record(tmp_path / "evidence", "kvm-a", readings=cut)
    run = run_suite(f"--evidence={tmp_path}/evidence", "-rfE", "-vv", "--tb=no", report_dir=tmp_path / "reports")
    lines = [line for line in run.output.splitlines() if line.startswith(f"{word} checks/") and "test_kvm" in line]
    assert lines
    for line in lines:
        control, _, message = line.partition(" - ")[2].partition(" kvm-a: ")
        assert message in {each["message"] for each in run.document["results"] if each["control"] == control}


def test_a_narrowed_run_prints_the_chains_of_the_guests_that_it_asked_of(tmp_path: Path) -> None:
    demo = ROOT / "examples/fleet"
    fleet = (f"--evidence={demo}/evidence", f"--inventory={demo}/inventory.yaml")
    runs = run_many([[*fleet, "-k=L0-KVM-01"], [*fleet, "-k=ci-1"]], report_dir=tmp_path / "reports")
    asked = [
        {each["target"] for each in run.document["diagnoses"] if f"{each['target']}  can nest" in run.output}
        for run in runs
    ]
    assert asked == [set(), {"ci-1"}]
    assert len(runs[0].document["diagnoses"]) > 1, "results.json has all"
