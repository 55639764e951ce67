"""The real kmod over the modprobe.d of an archive: its own verdict, whatever this machine's own configuration is."""

from pathlib import Path

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.archive import kmod
from nested_kvm.evidence.archive.kmod import ModuleIndex, ask_kmod, index_of_modinfo, index_of_modules_dep
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.show_depends import ShowDepends

RELEASE = "6.1.0-archived"
INDEX = index_of_modules_dep("kernel/a/kvm.ko.xz:\nkernel/a/kvm-amd.ko.xz: kernel/a/kvm.ko.xz\nkernel/b/zz.ko:\n")
pytestmark = pytest.mark.needs("kmod")


def ask(files: dict[str, str], cmdline: str = "quiet", index: ModuleIndex = INDEX, **links: str) -> Reading:
    """kmod's answer for kvm_amd."""
    readings = {sources.CMDLINE: Reading(sources.CMDLINE, Status.OK, cmdline)}
    for folder in {path.rpartition("/")[0] for path in (*files, *links.values())}:
        names = [path.rpartition("/")[2] for path in (*files, *links.values()) if path.rpartition("/")[0] == folder]
        readings[folder] = Reading(folder, Status.OK, "\n".join(names))
    readings |= {path: Reading(path, Status.OK, text) for path, text in files.items()}
    readings |= {path: Reading(path, Status.DEVICE) for path in links.values()}
    return next(each for each in ask_kmod(readings, RELEASE, index).readings if each.source.endswith(" kvm_amd"))


def options(reading: Reading) -> str | None:
    return ShowDepends.parse("kvm_amd", reading.text).options


def test_the_answer_is_kmods_own_with_the_archives_paths() -> None:
    answer = ask({"/etc/modprobe.d/a.conf": "options kvm-amd nested=1\noptions kvm ignore_msrs=1\n"})
    assert answer.text.splitlines() == [
        f"insmod /lib/modules/{RELEASE}/kernel/a/kvm.ko ignore_msrs=1 ",
        f"insmod /lib/modules/{RELEASE}/kernel/a/kvm-amd.ko nested=1 ",
    ]


def test_files_are_read_by_name_across_folders_and_a_higher_one_hides() -> None:
    files = {
        "/etc/modprobe.d/10.conf": "options kvm_amd nested=0\n",
        "/lib/modprobe.d/99.conf": "options kvm_amd nested=1\n",
        "/usr/lib/modprobe.d/10.conf": "options kvm_amd nested=7\n",
    }
    assert options(ask(files)) == "nested=0 nested=1"


def test_a_link_to_dev_null_masks() -> None:
    files = {"/lib/modprobe.d/99.conf": "options kvm_amd nested=1\n"}
    assert options(ask(files, masked="/etc/modprobe.d/99.conf")) == ""


def test_an_install_command_replaces_the_module() -> None:
    answer = ask({"/etc/modprobe.d/off.conf": "install kvm_amd /bin/false\n"})
    assert ShowDepends.parse("kvm_amd", answer.text).commands == ("/bin/false",)


def test_a_softdep_is_followed() -> None:
    answer = ask({"/etc/modprobe.d/a.conf": "softdep kvm_amd pre: zz\n"})
    assert [each.module for each in ShowDepends.parse("kvm_amd", answer.text).insertions] == ["kvm", "zz", "kvm_amd"]


@pytest.mark.needs("accounts")
def test_the_archives_command_line_counts_and_not_this_machines() -> None:
    files = {"/etc/modprobe.d/a.conf": "options kvm_amd nested=1\n"}
    assert options(ask(files, cmdline="quiet kvm-amd.nested=0 ro")) == "nested=1 nested=0"


def test_a_built_in_module_is_said_to_be_one() -> None:
    assert ask({}, index=ModuleIndex(built_in=frozenset({"kvm_amd"}))).text.strip() == "builtin kvm_amd"


def test_modules_can_be_known_by_modinfo_alone() -> None:
    index = index_of_modinfo(
        "filename:       /lib/modules/6.1/kernel/a/kvm-amd.ko.zst\ndepends:        kvm\n"
        "filename:       /lib/modules/6.1/kernel/a/kvm.ko.zst\ndepends:        \n"
    )
    assert [each.module for each in ShowDepends.parse("kvm_amd", ask({}, index=index).text).insertions] == [
        "kvm",
        "kvm_amd",
    ]


def test_without_kmod_on_this_machine_that_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kmod, "_SEARCHED", str(tmp_path))
    answer = ask({"/etc/modprobe.d/a.conf": "options kvm_amd nested=1\n"})
    assert answer.status is Status.NOT_COLLECTED
    assert "is not installed on this machine" in answer.text


@pytest.mark.parametrize("release", ["", "../../x", ".", "a b", "x" * 200])
def test_a_hostile_release_is_refused(release: str) -> None:
    found = ask_kmod({}, release, INDEX).readings
    assert {each.status for each in found} == {Status.NOT_COLLECTED}


def test_hostile_paths_of_modules_are_left_out() -> None:
    assert index_of_modules_dep("../../etc/kvm.ko:\n/etc/kvm-amd.ko:\nkernel/../x/zz.ko:\n").files.keys() <= {"kvm_amd"}
