"""The files that `nested-kvm init` writes can be used as they are."""

import shutil
import subprocess
from pathlib import Path

import pytest

from nested_kvm.command import main
from nested_kvm.command.init import CHECK, INVENTORY, SCHEMA
from nested_kvm.controls.catalogue import catalogue
from nested_kvm.inventory.load import load_inventory

ROOT = Path(__file__).parents[3]
REMOTES = {
    "https://github.com/x/y.git": ".github/workflows/nested-kvm.yml",
    "git@gitlab.example.net:x/y.git": "nested-kvm.gitlab-ci.yml",
    "https://codeberg.org/x/y": ".forgejo/workflows/nested-kvm.yml",
}


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def test_the_inventory_is_valid_and_its_comments_are_the_example(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert [target.name for target in load_inventory(tmp_path / INVENTORY)] == ["localhost"]
    text = (tmp_path / INVENTORY).read_text()
    commented = [line.removeprefix("# ") for line in text.partition("made up:\n#\n")[2].splitlines()]
    (tmp_path / "uncommented.yaml").write_text("\n".join("" if line == "#" else line for line in commented))
    example = load_inventory(ROOT / "inventories" / "example.yaml")
    assert load_inventory(tmp_path / "uncommented.yaml").targets == example.targets


def test_the_check_is_a_control_of_the_site(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    assert (tmp_path / CHECK).exists()
    assert "SITE-EXAMPLE-01" in {control.id for control in catalogue(ROOT, tmp_path)}


def test_the_schema_that_the_inventory_names_is_there(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    assert (tmp_path / INVENTORY).read_text().splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA}"
    answer = subprocess.run(
        ["check-jsonschema", "--schemafile", SCHEMA, INVENTORY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{ROOT}/.venv/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("remote", REMOTES)
def test_the_ci_job_is_the_forges(tmp_path: Path, remote: str) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", remote)
    assert main(["init", str(tmp_path)]) == 0
    assert "nested-kvm gate --inventory=inventory.yaml" in (tmp_path / REMOTES[remote]).read_text()
    assert [job for job in REMOTES.values() if (tmp_path / job).exists()] == [REMOTES[remote]]


@pytest.mark.parametrize(
    ("schema", "job"),
    [("vendor.github-workflows", "job.github.yml"), ("vendor.gitlab-ci", "job.gitlab.yml")],
)
def test_a_ci_job_is_valid_for_its_forge(schema: str, job: str) -> None:
    path = ROOT / "nested_kvm" / "command" / job
    command = ["check-jsonschema", "--builtin-schema", schema, str(path)]
    if schema == "vendor.gitlab-ci":
        command[3:3] = ["--data-transform", "gitlab-ci"]
    program = shutil.which("check-jsonschema", path=f"{ROOT}/.venv/bin") or command[0]
    answer = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_without_a_forge_there_is_no_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tmp_path, "init", "-q")
    assert main(["init", str(tmp_path)]) == 0
    assert "no forge was recognized" in capsys.readouterr().out


def test_nothing_is_written_over_or_beside_what_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / INVENTORY).write_text("mine")
    assert main(["init", str(tmp_path)]) == 4
    assert [path.name for path in tmp_path.iterdir()] == [INVENTORY]
    assert (tmp_path / INVENTORY).read_text() == "mine"
    assert f"{INVENTORY} exists: nothing was written" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file")]) == 4
    assert f"nested-kvm init: {tmp_path}/file" in capsys.readouterr().err
