"""What `make release` makes: nothing from a commit that is not the version's, and a file that needs no installation."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def release(folder: Path, what: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in {"PATH", "HOME"}}
    return subprocess.run(
        ["tools/release.sh", what], cwd=folder, env={**kept, **variables}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit, with the script and no tag."""
    folder = tmp_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    for name in ("pyproject.toml", "tools/release.sh", "tools/packages.sh"):
        shutil.copy(ROOT / name, folder / name)
    author = ["-c", "user.name=x", "-c", "user.email=x@example.net"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "One"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def test_a_commit_without_the_versions_tag_is_no_release(checkout: Path) -> None:
    answer = release(checkout, "all")
    assert answer.returncode == 1
    assert "this commit has no tag of a version" in answer.stderr
    assert not (checkout / "dist").exists()


def test_what_is_not_committed_is_no_release(checkout: Path) -> None:
    (checkout / "more").write_text("")
    answer = release(checkout, "all")
    assert (answer.returncode, "not committed" in answer.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.needs("release")
def test_a_trial_has_all_parts_and_the_one_file_works(tmp_path: Path) -> None:
    answer = release(ROOT, "all", UNTAGGED="yes", DIST=str(tmp_path / "dist"))
    assert answer.returncode == 0, answer.stderr
    made = {path.name: path for path in (tmp_path / "dist").iterdir()}
    assert {path.suffix for path in made.values()} == {".whl", ".gz", ".pyz", ".json", ""}
    for line in made["SHA256SUMS"].read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256(made[name].read_bytes()).hexdigest() == digest
    (bom,) = [json.loads(path.read_text()) for name, path in made.items() if name.endswith(".json")]
    assert bom["bomFormat"] == "CycloneDX"
    version = bom["metadata"]["component"]["version"]
    assert {f"nested_kvm_compliance-{version}-py3-none-any.whl", f"nested_kvm_compliance-{version}.tar.gz"} <= set(made)
    assert "pytest" in {component["name"] for component in bom["components"]}
    one_file = subprocess.run(
        [sys.executable, "-I", str(made["nested-kvm.pyz"]), "doctor", "--json"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(one_file.stdout)["can_nest"] in {"yes", "no", "unknown"}
