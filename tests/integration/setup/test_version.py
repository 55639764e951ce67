"""The version is the tag's, wherever the project is built."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.installed import build

ROOT = Path(__file__).parents[3]
FILES = ("pyproject.toml", ".gitattributes", ".git_archival.txt", "README.md", "LICENSE", "pytest.ini", "CHANGELOG.md")
FOLDERS = ("checks", "docs", "inventories", "nested_kvm")
AUTHOR = ("-c", "user.name=x", "-c", "user.email=x@example.net")


def git(folder: Path, *words: object) -> None:
    subprocess.run(["git", *AUTHOR, *map(str, words)], cwd=folder, check=True, capture_output=True)


def version(folder: Path, **variables: str) -> str:
    command = [sys.executable, "-m", "hatchling", "version"]
    environment = {**os.environ, **variables}
    made = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return made.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit without a tag, with what a build needs."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "One")
    return folder


def test_a_clone_without_tags_has_a_version_that_counts(checkout: Path) -> None:
    assert version(checkout).startswith("0.1.dev1+g")


def test_a_tagged_commit_has_the_tags_version(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    git(checkout, "tag", "lab-7")
    assert version(checkout) == "1.2.3"
    (checkout / "README.md").write_text("Changed.\n")
    assert version(checkout).startswith("1.2.4.dev0+g")


def test_wheel_and_sdist_carry_it_and_the_sdist_needs_no_git(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    assert build(tmp_path / "wheel", source=checkout).name == "nested_kvm_compliance-1.2.3-py3-none-any.whl"
    with tarfile.open(build(tmp_path / "sdist", "sdist", source=checkout)) as archive:
        archive.extractall(tmp_path, filter="data")
    assert version(tmp_path / "nested_kvm_compliance-1.2.3") == "1.2.3"


def test_an_archive_of_a_forge_carries_it(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    git(checkout, "archive", "--format=tar", "-o", tmp_path / "archive.tar", "HEAD")
    (tmp_path / "archive").mkdir()
    with tarfile.open(tmp_path / "archive.tar") as archive:
        archive.extractall(tmp_path / "archive", filter="data")
    assert version(tmp_path / "archive") == "1.2.3"


def test_a_copy_of_the_files_has_a_version_too(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert version(checkout) == "0.1.dev0"
    assert version(checkout, PATH=os.defpath.replace("/bin", "/nowhere")) == "0.1.dev0"
