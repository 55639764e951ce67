"""The image that contrib/container/Containerfile builds, on a base made by mmdebstrap: registries are not needed.

buildah runs each step by chroot, without a daemon; pip takes what the base holds.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.installed import ROOT, build
from tests.support.wheels import download, step

pytestmark = [pytest.mark.slow, pytest.mark.needs("mmdebstrap"), pytest.mark.needs("buildah")]
BASE = """\
FROM scratch
ADD root.tar /
COPY wheels /opt/wheels
COPY pip.conf /etc/pip.conf
"""
ONLY_FROM_THE_BASE = "[global]\nno-index = true\nfind-links = /opt/wheels\n"


@dataclass(frozen=True)
class Buildah:
    """buildah with its own storage, which goes with the folder."""

    folder: Path

    def words(self, *words: object) -> list[str]:
        storage = (f"--root={self.folder}/storage", f"--runroot={self.folder}/run", "--storage-driver=vfs")
        return ["buildah", *storage, *map(str, words)]

    def build(self, name: str, *words: object) -> None:
        """Build an image of that name."""
        command = self.words("build", "--isolation=chroot", "--pull-never", "-t", name, *words)
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]

    def run(self, container: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run the command of the image's entry point, as its user."""
        command = self.words("run", "--isolation=chroot", container, "nested-kvm", *words)
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    with TemporaryDirectory(prefix="container-", dir="/var/tmp") as name:
        folder = Path(name)
        base, dist = folder / "base", folder / "dist"
        (base / "wheels").mkdir(parents=True)
        options = ("--mode=root", "--variant=minbase", "--format=tar", "--include=python3,python3-venv")
        step("mmdebstrap", *options, "trixie", base / "root.tar")
        download("requirements.lock", "3.13", base / "wheels")
        (base / "pip.conf").write_text(ONLY_FROM_THE_BASE)
        (base / "Containerfile").write_text(BASE)
        build(dist)
        shutil.copytree(ROOT / "examples" / "fleet", dist / "fleet")
        found = Buildah(folder)
        found.build("base", "-f", base / "Containerfile", base)
        file = ROOT / "contrib" / "container" / "Containerfile"
        found.build("nested-kvm-compliance", "--build-arg=BASE=localhost/base", "-f", file, dist)
        yield found


@pytest.fixture(scope="module")
def container(buildah: Buildah) -> str:
    command = buildah.words("from", "--pull-never", "localhost/nested-kvm-compliance")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_its_entry_point_is_the_command_as_an_ordinary_user(buildah: Buildah) -> None:
    command = buildah.words("inspect", "--type=image", "localhost/nested-kvm-compliance")
    described = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    config = described["OCIv1"]["config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["nested-kvm"], ["--help"], "10001")
    assert config["WorkingDir"] == "/work"


def test_it_shows_its_help_and_its_version(buildah: Buildah, container: str) -> None:
    assert "examples:" in buildah.run(container, "--help").stdout
    assert buildah.run(container, "--version").stdout.startswith("nested-kvm ")


def test_it_audits_a_fleet_and_writes_its_reports(buildah: Buildah, container: str) -> None:
    """The demo's fleet, given to the container as a mounted folder would be."""
    subprocess.run(buildah.words("copy", container, buildah.folder / "dist" / "fleet", "/fleet"), check=True)
    answer = buildah.run(container, "audit", "--inventory=/fleet/inventory.yaml", "--evidence=/fleet/evidence")
    assert (answer.returncode, "NOT COMPLIANT" in answer.stdout) == (1, True), answer.stdout + answer.stderr
    left = buildah.words("run", "--isolation=chroot", container, "stat", "-c", "%u", "/work/reports/latest/report.html")
    assert subprocess.run(left, capture_output=True, text=True, check=True).stdout.strip() == "10001"
