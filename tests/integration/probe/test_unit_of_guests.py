"""Whether libvirt-guests is enabled is asked of systemctl, unless no unit has that name where systemd looks."""

from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import LIBVIRT_GUESTS
from tests.integration.probe.probing import NOBODY, Probing, kmods_shells, stub

pytestmark = pytest.mark.needs("accounts")
UNIT = "libvirt-guests.service"
ASKED = Reading(LIBVIRT_GUESTS, Status.OK, "from the stub", 0)
NOT_ASKED = Reading(LIBVIRT_GUESTS, Status.ABSENT)
PLACES = {"etc": "/etc/systemd", "run": "/run", "lib": "/usr/lib/systemd", "init.d": "/etc/init.d"}
FOLDERS = ("etc/system", "run/systemd/system", "run/systemd/generator.late", "lib/system", "init.d")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders that are put over those of the machine: systemd was booted there, and has no unit."""
    tmp_path.chmod(0o755)
    for name in FOLDERS:
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def look(root: Path, shell: str = "sh", *within: str) -> Reading:
    programs = stub(root / "bin", "systemctl", "echo from the stub")
    mounts = {root / name: place for name, place in PLACES.items() if Path(place).is_dir()}
    return Probing(shell, first_on_path=programs, mounts=mounts, within=within).run().answer.readings[LIBVIRT_GUESTS]


@kmods_shells
def test_without_a_unit_systemctl_is_not_asked(root: Path, shell: str) -> None:
    (root / "etc/system/libvirt-guestsx.service").touch()
    (root / "etc/system/multi-user.target.wants").mkdir()
    assert look(root, shell) == NOT_ASKED


@kmods_shells
@pytest.mark.parametrize("folder", FOLDERS)
def test_with_a_unit_it_is(root: Path, shell: str, folder: str) -> None:
    (root / folder / ("libvirt-guests" if folder == "init.d" else UNIT)).touch()
    assert look(root, shell) == ASKED


@pytest.mark.parametrize("target", ["/dev/null", "/nowhere"])
def test_a_link_is_a_unit_too(root: Path, target: str) -> None:
    (root / "etc/system" / UNIT).symlink_to(target)
    assert look(root) == ASKED


@pytest.mark.parametrize("folder", ["etc/system", "run/systemd/system", "lib/system"])
def test_where_systemd_was_not_booted_it_is_asked(root: Path, folder: str) -> None:
    (root / folder).rmdir()
    assert look(root) == ASKED


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("folder", ["etc", "etc/system", "run/systemd", "lib"])
def test_what_may_not_be_searched_may_hold_a_unit(root: Path, folder: str) -> None:
    assert look(root, "sh", *NOBODY) == NOT_ASKED
    (root / folder).chmod(0o700)
    assert look(root, "sh", *NOBODY).status is not Status.ABSENT
