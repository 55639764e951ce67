"""The wheel is the whole product, and the sdist builds it."""

import configparser
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.installed import ROOT, build

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(tmp_path_factory.mktemp("wheel")))


def tracked(*patterns: str) -> set[str]:
    command = ["git", "-C", str(ROOT), "ls-files", *patterns]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("not a git checkout")
    return set(found.stdout.splitlines())


def test_it_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {name for name in tracked("nested_kvm") if name not in names} == set()


def test_it_holds_every_check_the_inventories_and_the_settings(wheel: zipfile.ZipFile) -> None:
    wanted = tracked("checks/**/*.py", "inventories/example.yaml", "inventories/local.yaml", "pytest.ini")
    assert {name for name in wanted if f"nested_kvm/{name}" not in wheel.namelist()} == set()
    assert len(wanted) > 10


def test_it_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No test, no lab, and no check or inventory of the site that built it."""
    outside = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in outside if name != "nested_kvm" and not name.startswith("nested_kvm_compliance-")} == set()
    sites = {name for name in wheel.namelist() if "/checks/site/" in name or "/nested_kvm/inventories/" in name}
    assert sites == {"nested_kvm/checks/site/example.py"}


def test_it_brings_the_command_the_man_page_and_the_licence(wheel: zipfile.ZipFile) -> None:
    ends = ("share/man/man1/nested-kvm.1", "licenses/LICENSE")
    assert all(any(name.endswith(end) for name in wheel.namelist()) for end in ends)
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    parsed = configparser.ConfigParser()
    parsed.read_string(wheel.read(points).decode())
    assert set(parsed["console_scripts"]) == {"nested-kvm"}
    assert set(parsed["pytest11"].values()) == {"nested_kvm.plugin.early"}


def test_the_metadata_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    (path,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    lines = wheel.read(path).decode().splitlines()
    assert {"License-Expression: Apache-2.0", "Requires-Python: >=3.11"} <= set(lines)
    assert any(line.startswith("Classifier: Framework :: Pytest") for line in lines)


def test_the_sdist_builds_the_same_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    (tmp_path / "sdist").mkdir()
    with tarfile.open(build(tmp_path / "sdist", "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = [path for path in tmp_path.iterdir() if path.name.startswith("nested_kvm_compliance-")]
    (tmp_path / "wheel").mkdir()
    again = zipfile.ZipFile(build(tmp_path / "wheel", source=source))
    assert set(again.namelist()) == set(wheel.namelist())
    differing = [name for name in again.namelist() if again.read(name) != wheel.read(name)]
    assert [name for name in differing if not name.endswith("RECORD")] == []
