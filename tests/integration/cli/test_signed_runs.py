"""Signed runs: what is changed in one is noticed, and where signatures are required nothing else is read."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nested_kvm.command import main
from nested_kvm.util.ssh_signature import sign, signer_of
from tests.support.recorded import record
from tests.support.schema import assert_valid
from tests.support.signing import NAMESPACE, allow, make_key, sign_again
from tests.support.suite import ROOT, SuiteRun, command_line, environment, run_suite


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key, another's, and an encrypted one."""
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder)
    make_key(folder, "others")
    make_key(folder, "encrypted", "a passphrase")
    allow(folder, folder / "key").rename(folder / "signers")
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    folder = tmp_path_factory.mktemp("signed")
    record(folder / "evidence", "kvm-a")
    record(folder / "evidence", "kvm-b")
    return run_suite(
        f"--evidence={folder}/evidence", f"--sign-with={keys}/key", "--hosts=*", report_dir=folder / "reports"
    )


@pytest.fixture
def run(signed: SuiteRun, tmp_path: Path) -> Path:
    """A copy of the signed run, to be changed."""
    return Path(shutil.copytree(signed.reports, tmp_path / "run"))


def verify(run: Path, signers: Path, *words: str) -> int:
    return main(["verify", str(run), f"--allowed-signers={signers}", *words])


def test_a_signed_run_is_verified_with_its_id_and_its_times(
    signed: SuiteRun, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = signed.document["run"]
    assert verify(signed.reports, keys / "signers") == 0
    line = capsys.readouterr().out
    assert line.startswith("VERIFIED: all files are as audit@example.net signed them")
    assert f"run {head['id']}, started {head['started']}, finished {head['finished']}" in line
    assert f"run {head['id']}, started {head['started']}" in (signed.reports / "SHA256SUMS").read_text()


def test_other_tools_read_what_was_signed(signed: SuiteRun, keys: Path) -> None:
    sums = subprocess.run(["sha256sum", "--strict", "--check", "SHA256SUMS"], cwd=signed.reports, check=False)
    assert sums.returncode == 0
    words = ["-Y", "verify", "-n", "nested-kvm-compliance", "-I", "audit@example.net", "-s", "SHA256SUMS.sig"]
    with (signed.reports / "SHA256SUMS").open("rb") as data:
        command = ["ssh-keygen", *words, "-f", str(keys / "signers")]
        assert subprocess.run(command, cwd=signed.reports, stdin=data, check=False).returncode == 0


def test_results_name_the_digest_of_evidence_and_inputs(signed: SuiteRun) -> None:
    for target in signed.document["targets"]:
        file = signed.reports / target["evidence"]["file"]
        judged = signed.report_dir.parent / "evidence" / file.name
        assert target["evidence"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert target["evidence"]["judged_sha256"] == hashlib.sha256(judged.read_bytes()).hexdigest()
    inputs = {each["file"]: each for each in signed.document["run"]["inputs"]}
    check = ROOT / "checks" / "l0" / "test_kvm.py"
    assert inputs["checks/l0/test_kvm.py"]["sha256"] == hashlib.sha256(check.read_bytes()).hexdigest()
    assert inputs["the packaged advisories"]["kind"] == "advisories"
    assert_valid(signed)


def append(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text((run / name).read_text() + " ")


def swap(run: Path) -> None:
    one, other = run / "evidence" / "kvm-a.json", run / "evidence" / "kvm-b.json"
    texts = one.read_text(), other.read_text()
    other.write_text(texts[0])
    one.write_text(texts[1])


def replace_by_a_link(run: Path) -> None:
    file = run / "evidence" / "kvm-a.json"
    file.rename(run.parent / "kvm-a.json")
    file.symlink_to(run.parent / "kvm-a.json")


def move_the_evidence_behind_a_link(run: Path) -> None:
    (run / "evidence").rename(run.parent / "elsewhere")
    (run / "evidence").symlink_to(run.parent / "elsewhere")


def replace_by_a_fifo(run: Path) -> None:
    (run / "report.html").unlink()
    os.mkfifo(run / "report.html")


def enlarge(run: Path) -> None:
    with (run / "report.html").open("r+b") as file:
        file.truncate(2**40)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "evidence changed": (append("evidence/kvm-a.json"), "evidence/kvm-a.json: was changed"),
    "evidence removed": (lambda run: (run / "evidence" / "kvm-a.json").unlink(), "evidence/kvm-a.json: cannot be read"),
    "evidence swapped": (swap, "evidence/kvm-b.json: was changed"),
    "evidence added": (lambda run: record(run / "evidence", "kvm-c"), "evidence/kvm-c.json: was added"),
    "evidence linked": (replace_by_a_link, "evidence/kvm-a.json: cannot be read: is a symbolic link"),
    "directory linked": (move_the_evidence_behind_a_link, "evidence/kvm-a.json: is behind a symbolic link"),
    "report changed": (append("report.html"), "report.html: was changed"),
    "report a FIFO": (replace_by_a_fifo, "report.html: cannot be read: is not a regular file"),
    "report too large": (enlarge, "report.html: cannot be read: is larger than"),
    "JUnit removed": (lambda run: (run / "junit.xml").unlink(), "junit.xml: cannot be read"),
    "results changed": (append("results.json"), "NOT VERIFIED: results.json is not the one that audit@example.net"),
    "results removed": (lambda run: (run / "results.json").unlink(), "NOT VERIFIED: "),
    "sums changed": (append("SHA256SUMS"), "NOT VERIFIED: its signature is not accepted"),
    "sums removed": (lambda run: (run / "SHA256SUMS").unlink(), "is not signed"),
    "not signed": (lambda run: (run / "SHA256SUMS.sig").unlink(), "is not signed"),
    "signature broken": (lambda run: (run / "SHA256SUMS.sig").write_bytes(b"\x00\xff"), "NOT VERIFIED: its signature"),
    "signature huge": (lambda run: os.truncate(run / "SHA256SUMS.sig", 2**40), "its signature cannot be read"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_noticed(run: Path, keys: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = CHANGES[name]
    change(run)
    assert verify(run, keys / "signers") == 1
    output = capsys.readouterr().out
    assert words in output
    assert "\nVERIFIED" not in f"\n{output}"


def test_a_script_that_was_added_is_noticed(run: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "remediation").mkdir(exist_ok=True)
    (run / "remediation" / "kvm-a.sh").write_text("#!/bin/sh\n")
    assert verify(run, keys / "signers") == 1
    assert "remediation/kvm-a.sh: was added" in capsys.readouterr().out


def test_sums_that_leave_the_directory_are_refused(run: Path, keys: Path) -> None:
    (run / "SHA256SUMS").write_text(f"{'0' * 64}  ../secret\n")
    sign_again(run, keys / "key")
    assert verify(run, keys / "signers") == 1


@pytest.mark.parametrize(
    "options",
    ['valid-before="20200101"', 'valid-after="20990101"', 'namespaces="file"'],
)
def test_a_key_that_may_not_sign_now_is_refused(run: Path, keys: Path, options: str) -> None:
    assert verify(run, allow(keys, keys / "key", options=options)) == 1


def test_a_key_that_may_sign_with_options_is_accepted(run: Path, keys: Path) -> None:
    signers = allow(keys, keys / "key", who="a@example.net,b@example.net", options='namespaces="nested-kvm-*"')
    assert verify(run, signers) == 0


def test_the_signature_of_another_key_is_refused(run: Path, keys: Path) -> None:
    sign_again(run, keys / "others")
    assert verify(run, keys / "signers") == 1
    assert verify(run, allow(keys, keys / "others")) == 0


def test_the_signature_of_another_purpose_is_refused(run: Path, keys: Path) -> None:
    sign_again(run, keys / "key", namespace="git")
    assert verify(run, keys / "signers") == 1


def test_an_old_run_in_the_place_of_a_new_one_is_refused_by_its_age(
    run: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(run, keys / "signers", "--max-age=1d") == 0
    text = (run / "results.json").read_text()
    old = text.replace('"started": "20', '"started": "19')
    (run / "results.json").write_text(old)
    sums = (run / "SHA256SUMS").read_text()
    digests = [hashlib.sha256(each.encode()).hexdigest() for each in (text, old)]
    (run / "SHA256SUMS").write_text(sums.replace(digests[0], digests[1]))
    sign_again(run, keys / "key")
    assert verify(run, keys / "signers") == 0
    assert verify(run, keys / "signers", "--max-age=1d") == 1
    assert "longer ago than --max-age allows" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["{run}/none"], ["{run}/results.json"], ["{run}", "--max-age=soon"]], ids=str)
def test_what_is_not_a_run_is_bad_usage(signed: SuiteRun, keys: Path, words: list[str]) -> None:
    given = [each.format(run=signed.reports) for each in words]
    assert main(["verify", *given, f"--allowed-signers={keys}/signers"]) == 4
    assert main(["verify", str(signed.reports)]) == 4
    assert verify(signed.reports, keys / "none") == 4


@pytest.mark.parametrize("name", ["encrypted", "missing", "signers"])
def test_a_key_that_cannot_sign_ends_the_run_before_anything_is_inspected(
    signed: SuiteRun, keys: Path, tmp_path: Path, name: str
) -> None:
    words = [f"--evidence={signed.reports}/evidence", f"--sign-with={keys}/{name}"]
    run = run_suite(*words, report_dir=tmp_path / "reports")
    assert run.status == 4
    assert f"--sign-with: {keys}/{name}" in run.errors
    assert not (tmp_path / "reports").exists()


def test_no_passphrase_is_asked_for_on_a_terminal(signed: SuiteRun, keys: Path, tmp_path: Path) -> None:
    words = [f"--evidence={signed.reports}/evidence", f"--sign-with={keys}/encrypted"]
    line = command_line(*words, report_dir=tmp_path / "reports")
    script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    ended = subprocess.run(
        [sys.executable, "-c", script, *line],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 4
    assert "Enter passphrase" not in ended.stdout
    assert "an encrypted key has to be in an agent" in " ".join(ended.stdout.split())


def test_an_agent_signs_with_an_encrypted_key(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["ssh-agent", "-D", "-a", str(tmp_path / "agent")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        try:
            assert agent.stdout is not None
            agent.stdout.readline()
            plain = shutil.copy(keys / "encrypted", tmp_path / "plain")
            subprocess.run(["ssh-keygen", "-q", "-p", "-P", "a passphrase", "-N", "", "-f", plain], check=True)
            monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
            subprocess.run(["ssh-add", "-q", plain], check=True)
            signature = sign(b"what is signed", keys / "encrypted", NAMESPACE)
        finally:
            agent.terminate()
    signers = allow(keys, keys / "encrypted")
    assert signer_of(b"what is signed", signature, signers, NAMESPACE) == "audit@example.net"
