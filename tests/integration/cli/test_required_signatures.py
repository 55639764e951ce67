"""`--allowed-signers`: a run that is read has to be signed; and evidence that its run recorded has to be as it was."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.recorded import record
from tests.support.signing import allow, make_key
from tests.support.suite import SuiteRun, run_suite

NO_RUN = "is not signed: it has no SHA256SUMS and SHA256SUMS.sig"


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    return allow(folder, make_key(folder))


@pytest.fixture(scope="module", params=["signed", "unsigned"])
def past(signers: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SuiteRun:
    """A run of two hosts that comply."""
    folder = tmp_path_factory.mktemp("past")
    record(folder / "evidence", "kvm-a")
    record(folder / "evidence", "kvm-b")
    key = [f"--sign-with={signers.parent}/key"] if request.param == "signed" else []
    return run_suite(f"--evidence={folder}/evidence", *key, report_dir=folder / "reports")


@pytest.fixture
def folder(past: SuiteRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(past.reports, tmp_path / "past"))


def judge(folder: Path, *words: str) -> SuiteRun:
    return run_suite(f"--evidence={folder}/evidence", *words, report_dir=folder.parent / "reports")


def is_signed(folder: Path) -> bool:
    return (folder / "SHA256SUMS.sig").exists()


def required(folder: Path, signers: Path) -> list[str]:
    """Require a signature where there is one: the digests have to be enough for the others."""
    return [f"--allowed-signers={signers}"] if is_signed(folder) else []


def test_only_a_signed_run_is_judged_where_signatures_are_required(folder: Path, signers: Path) -> None:
    run = judge(folder, f"--allowed-signers={signers}")
    assert run.status == (0 if is_signed(folder) else 4)
    if is_signed(folder):
        (source,) = [each for each in run.document["run"]["inputs"] if each["kind"] == "evidence"]
        assert source["signed_by"] == "audit@example.net"
    else:
        assert NO_RUN in run.errors
    assert judge(folder).status == 0


def test_evidence_that_no_run_left_is_refused_where_signatures_are_required(signers: Path, tmp_path: Path) -> None:
    record(tmp_path / "evidence", "kvm-a")
    run = judge(tmp_path, f"--allowed-signers={signers}")
    assert run.status == 4
    assert NO_RUN in run.errors


@pytest.mark.parametrize("gate", [[], ["--gate"]], ids=["audit", "gate"])
def test_changed_evidence_is_an_error_of_its_target(folder: Path, signers: Path, gate: list[str]) -> None:
    file = folder / "evidence" / "kvm-a.json"
    document = json.loads(file.read_text())
    document["readings"][0]["text"] += "\n"
    file.write_text(json.dumps(document))
    run = judge(folder, *gate, *required(folder, signers))
    assert run.status == (1 if gate else 6)
    assert "kvm-a.json: was changed after its run" in run.target("kvm-a")["error"]
    assert set(run.outcomes("kvm-a").values()) - {"notapplicable"} == {"error"}
    assert run.target("kvm-b")["error"] is None


def test_evidence_that_was_swapped_is_an_error_of_both(folder: Path, signers: Path) -> None:
    one, other = folder / "evidence" / "kvm-a.json", folder / "evidence" / "kvm-b.json"
    texts = one.read_text(), other.read_text()
    other.write_text(texts[0])
    one.write_text(texts[1])
    run = judge(folder, *required(folder, signers))
    assert run.status == 6
    assert all("was changed after its run" in run.target(name)["error"] for name in ("kvm-a", "kvm-b"))


def test_evidence_that_was_removed_is_an_error(folder: Path, signers: Path) -> None:
    (folder / "evidence" / "kvm-b.json").unlink()
    run = judge(folder, *required(folder, signers))
    assert run.status == 6
    assert "its evidence file is missing" in run.target("kvm-b")["error"]


def test_evidence_that_was_added_is_an_error(folder: Path, signers: Path) -> None:
    record(folder / "evidence", "kvm-c")
    run = judge(folder, *required(folder, signers))
    assert run.status == 6
    assert run.target("kvm-c")["error"] == "kvm-c.json was added after its run: results.json does not name it"


def test_digests_that_were_changed_with_the_evidence_need_the_signature(folder: Path, signers: Path) -> None:
    """Without signatures, anyone who can write the directory can forge it: the threat model states it."""
    results = folder / "results.json"
    results.write_text(results.read_text().replace('"complete": true', '"complete":  true'))
    run = judge(folder, *required(folder, signers))
    assert run.status == (4 if is_signed(folder) else 0)
    if is_signed(folder):
        assert "results.json is not the one that audit@example.net signed" in run.errors


@pytest.mark.parametrize("option", ["--baseline={}/results.json", "--merge={}"])
def test_other_runs_that_are_read_have_to_be_signed_as_well(
    past: SuiteRun, folder: Path, signers: Path, tmp_path: Path, option: str
) -> None:
    words = [option.format(folder), f"--allowed-signers={signers}"]
    if "baseline" in option:
        words += [f"--evidence={past.reports}/evidence"]
    run = run_suite(*words, report_dir=tmp_path / "reports")
    if not is_signed(folder):
        assert run.status == 4
        assert NO_RUN in run.errors
        return
    assert run.status == 0
    (folder / "results.json").write_text((folder / "results.json").read_text() + "\n")
    run = run_suite(*words, report_dir=tmp_path / "again")
    assert run.status == 4
    assert "results.json is not the one that audit@example.net signed" in run.errors


def test_a_merged_run_names_the_runs_that_it_is_of_and_is_signed(past: SuiteRun, signers: Path, tmp_path: Path) -> None:
    words = [f"--merge={past.reports}", f"--sign-with={signers.parent}/key"]
    run = run_suite(*words, report_dir=tmp_path / "reports")
    assert run.status == 0
    assert is_signed(run.reports)
    assert [each["kind"] for each in run.document["run"]["inputs"]] == ["results"]
    assert [each["evidence"] for each in run.document["targets"]] == [None, None]
    record(run.reports / "evidence", "kvm-a")
    again = judge(run.reports.resolve(), f"--allowed-signers={signers}")
    assert again.status == 6
    assert again.target("kvm-a")["error"] == "kvm-a.json was added after its run: results.json does not name it"


def test_signers_without_a_run_that_is_read_are_a_conflict(signers: Path, tmp_path: Path) -> None:
    run = run_suite("--hosts=local://", f"--allowed-signers={signers}", report_dir=tmp_path / "reports")
    assert run.status == 4
    assert "--allowed-signers is about runs that are read" in run.errors
