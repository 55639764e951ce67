"""Whether guests reach, after the next load, what is open: nesting is off, and EPT or NPT may be off as well."""

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kvm.exposure import Reach
from nested_kvm.facts.kvm.reach import reach_of
from nested_kvm.facts.modprobe.boot_cmdline import next_cmdline_of
from nested_kvm.facts.modprobe.config import modprobe_configuration_of
from nested_kvm.facts.modprobe.kmod import ALL_DIRECTORIES
from nested_kvm.facts.modprobe.next_load import next_load_of
from nested_kvm.model.answer import Answer
from tests.support.bundles import bundle_of, ok

CLOSED = KvmModule("kvm_intel", is_loaded=True, is_built_in=False, parameters={"nested": "N", "ept": "Y"})
ABSENT = (sources.GRUB_D, sources.GRUBENV, sources.BOOT_ENTRIES, sources.KERNEL_INSTALL, *ALL_DIRECTORIES)
INFO = """\
filename: /lib/kvm-intel.ko
depends: kvm
parm: nested: (bool)
parm: ept: (bool)
"""


def reach(
    options: str = "nested=0",
    *,
    in_file: str | None = None,
    grub: str = "quiet",
    cmdline: str = "quiet",
    release: str = "6.1.0-56-amd64",
    is_built_in: bool = False,
    mounts: str = "/dev/vda1 / ext4 rw 0 0",
) -> Reach:
    conf = "/etc/modprobe.d/kvm.conf"
    bundle = bundle_of(
        *(Reading(path, Status.ABSENT) for path in ABSENT),
        ok("/etc/modprobe.d", "kvm.conf"),
        ok(conf, f"options kvm_intel {options if in_file is None else in_file}"),
        ok(sources.MODPROBE_VERSION, "kmod version 30"),
        ok(sources.ESP_IMAGES, ""),
        ok(sources.MOUNTS, mounts),
        ok(sources.GRUB, f"GRUB_CMDLINE_LINUX='{grub}'"),
        ok(sources.CMDLINE, cmdline),
        ok(sources.KERNEL_RELEASE, release),
        ok(
            sources.show_depends("kvm_intel"),
            "builtin kvm_intel" if is_built_in else f"insmod /lib/kvm-intel.ko {options} ",
        ),
        ok(sources.EVERY_MODULE, INFO),
    )
    load = next_load_of(bundle, "kvm_intel", modprobe_configuration_of(bundle))
    return reach_of(bundle, CLOSED, lambda: load, lambda: next_cmdline_of(bundle, "kvm_intel"))


@pytest.mark.parametrize(
    "options",
    [
        "nested=0 ept=0",
        "nested=0 ept=off",
        "nested=0 ept=oFF",
        "ept=No nested=0",
        "nested=0 ept=1 ept=false",
        '"ept=0" nested=0',
    ],
)
def test_a_load_without_ept_lets_every_guest_reach_it(options: str) -> None:
    found = reach(options)
    assert (found.now, found.later) == (Answer.NO, Answer.YES)
    assert "EPT" in found.reason


@pytest.mark.parametrize(
    "options", ["nested=0", "nested=0 ept=1", "nested=0 ept=0 ept=1", "nested=0 ept", "nested=0 next=0"]
)
def test_a_load_with_ept_and_without_nesting_lets_no_guest_reach_it(options: str) -> None:
    assert reach(options).later is Answer.NO


@pytest.mark.parametrize("word", ["kvm_intel.ept=0", "kvm-intel.ept=n", "kvm_intel.ept=1 kvm_intel.ept=0"])
def test_the_next_boots_command_line_may_turn_ept_off(word: str) -> None:
    found = reach(grub=word)
    assert (found.later, found.evidence[-1].source) == (Answer.YES, sources.GRUB)


@pytest.mark.parametrize(
    ("cmdline", "answer"),
    [
        ("kvm_intel.nested=0", Answer.NO),
        ("kvm_intel.nested=0 kvm_intel.ept=0", Answer.YES),
        ("kvm_intel.nested=0 kvm_intel.ept=0 kvm-intel.ept=1", Answer.NO),
        ("kvm_intel.nested=0 -- kvm_intel.ept=0", Answer.NO),
    ],
)
def test_a_module_of_the_kernel_itself_obeys_the_command_line(cmdline: str, answer: Answer) -> None:
    assert reach(cmdline=cmdline, grub="kvm_intel.nested=0", is_built_in=True).later is answer


def test_a_value_that_depends_on_the_kernel_is_not_known() -> None:
    assert reach("nested=0 ept=disable", release="6.14.0").later is Answer.UNKNOWN


@pytest.mark.parametrize("word", ["kvm_intel.nested=enable", "kvm_intel.ept=disable"])
def test_a_word_of_the_next_boot_that_depends_on_the_kernel_is_not_known(word: str) -> None:
    found = reach(grub=word, release="6.14.0")
    assert (found.later, found.evidence[-1].source) == (Answer.UNKNOWN, sources.GRUB)
    assert word in found.reason


@pytest.mark.parametrize(
    ("in_file", "grub", "release", "answer"),
    [
        ("ept=1", "quiet", "6.1.0-56-amd64", Answer.UNKNOWN),
        ("ept=1 nested=1", "quiet", "6.1.0-56-amd64", Answer.UNKNOWN),
        ("ept=1", "kvm_intel.nested=0", "6.1.0-56-amd64", Answer.NO),
        ("ept=1 nested=0", "quiet", "6.1.0-56-amd64", Answer.NO),
        ("ept=1", "quiet", "4.19.0-27-amd64", Answer.NO),
    ],
)
def test_a_word_of_the_current_command_line_that_the_next_boot_lacks_closes_nothing(
    in_file: str, grub: str, release: str, answer: Answer
) -> None:
    options = f"{in_file} nested=0"
    found = reach(options, in_file=in_file, cmdline="kvm_intel.nested=0", grub=grub, release=release)
    assert found.later is answer
    assert (answer is Answer.UNKNOWN) is ("not each command line of the next boot" in found.reason)


def test_so_it_is_with_a_module_of_the_kernel_itself() -> None:
    found = reach(cmdline="kvm_intel.nested=0", grub="quiet", is_built_in=True)
    assert (found.later, found.evidence[-1].source) == (Answer.UNKNOWN, sources.CMDLINE)


@pytest.mark.parametrize(
    ("release", "answer"),
    [
        ("6.1.0-56-amd64", Answer.YES),
        ("4.18.0-553.el8_10.x86_64", Answer.UNKNOWN),
        ("4.19.0-27-amd64", Answer.NO),
    ],
)
def test_a_file_that_is_gone_after_the_next_boot_closes_nothing(release: str, answer: Answer) -> None:
    found = reach("nested=0", release=release, mounts="tmpfs /etc tmpfs rw 0 0")
    assert found.later is answer
    assert (answer is not Answer.NO) is ("is gone after the next boot" in found.reason)


@pytest.mark.parametrize(("release", "answer"), [("6.1.0-56-amd64", Answer.UNKNOWN), ("4.19.0-27-amd64", Answer.NO)])
def test_a_file_of_which_it_is_not_known_whether_it_lasts_closes_nothing(release: str, answer: Answer) -> None:
    overlay = "overlay / overlay rw,lowerdir=/sysroot,upperdir=/cow/upper 0 0"
    found = reach("nested=0", release=release, cmdline="persistent", mounts=overlay)
    assert found.later is answer
    assert (answer is Answer.UNKNOWN) is ("may be gone after the next boot" in found.reason)
