"""`SHA256SUMS`: what it is read as, and what a directory may hold."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nested_kvm.errors import FileUnusable, UsageError
from nested_kvm.evidence.bundle_file import unusable_bundle
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.reporting.run_directory import RunDirectory
from nested_kvm.results.checksums import checksums_text, differences, parse_checksums
from nested_kvm.results.inputs import InputKind, Inputs
from nested_kvm.results.run import Run

DIGEST = "0" * 64
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        f"{DIGEST}  ../secret",
        f"{DIGEST}  /etc/passwd",
        f"{DIGEST}  evidence/../../secret",
        f"{DIGEST} *report.html",
        f"{DIGEST}  a\\nb",
        f"\\{DIGEST}  a\\nb",
        f"{DIGEST[1:]}  report.html",
        f"{DIGEST}  a\n{DIGEST}  a",
        "",
        "x",
    ],
)
def test_what_no_run_writes_is_refused(line: str) -> None:
    with pytest.raises(FileUnusable, match="is not as a run writes it"):
        parse_checksums(f"# head\n{DIGEST}  report.html\n{line}\n")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "kvm a@[::1].json").write_text("{}")
    (tmp_path / "report.html").write_text("")
    text = checksums_text(tmp_path, "an id", STARTED, None)
    assert text.startswith("# nested-kvm-compliance run an id, started 2026-01-01T00:00:00Z\n")
    digests = parse_checksums(text)
    assert set(digests) == {"evidence/kvm a@[::1].json", "report.html"}
    assert list(differences(tmp_path, digests)) == []
    (tmp_path / "evidence" / "sub").symlink_to("/etc")
    assert list(differences(tmp_path, digests)) == ["evidence/sub: was added"]


def test_evidence_that_changes_while_the_run_goes_on_ends_it(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, STARTED)
    target = Target("kvm-a", TargetLevel.L0, Address.parse("ssh://kvm-a"), Policy())
    directory.keep(unusable_bundle(target, UsageError("refused")))
    run = Run("an id", STARTED, "0", "inventory.yaml")
    directory.seal(run, lambda _: None)
    (directory.path / "evidence" / "kvm-a.json").write_text("{}")
    with pytest.raises(UsageError, match=r"evidence/kvm-a.json was changed before the run ended"):
        directory.seal(run, lambda _: None)


def test_an_input_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text("a")
    inputs = Inputs()
    assert inputs.read(InputKind.INVENTORY, file, Path.read_text) == "a"
    (noted,) = inputs.all()
    assert (noted.kind, noted.file, noted.signed_by) == ("inventory", str(file), None)
    with pytest.raises(UsageError, match="changed while it was read"):
        inputs.read(InputKind.INVENTORY, file, lambda path: path.write_text("b"))


def test_what_is_not_a_regular_file_has_no_digest(tmp_path: Path) -> None:
    inputs = Inputs()
    inputs.read(InputKind.INVENTORY, tmp_path, lambda _: None)
    assert [each.sha256 for each in inputs.all()] == [None]
