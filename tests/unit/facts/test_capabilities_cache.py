"""libvirt's cached capabilities prove that it lacks the flag only where nothing makes libvirt discard them."""

import pytest
from hypothesis import given

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.bundle import LibvirtAnswer
from nested_kvm.evidence.libvirt.capabilities import domain_types_of, version_of_virsh
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Cpu, Vendor
from nested_kvm.facts.libvirt.capabilities import LibvirtCapabilities, libvirt_capabilities_of
from nested_kvm.facts.libvirt.capabilities_cache import DIRECTORY, cached_capabilities_of
from nested_kvm.facts.libvirt.daemon import libvirt_of
from nested_kvm.model.answer import Answer
from tests.support.bundles import any_text, bundle_of, ok

CPU = Cpu("x86_64", Vendor.AMD, "AuthenticAMD", "", (frozenset({"svm"}),))
KERNEL = (ok("/proc/sys/kernel/osrelease", "6.1.0\n"), ok("/proc/sys/kernel/version", "#1 SMP\n"))
FILE = """\
  <emulator>/usr/bin/qemu</emulator>
  <qemuctime>5</qemuctime>
  <selfvers>9000000</selfvers>
  <kernelVersion>6.1.0 #1 SMP</kernelVersion>
  <arch>x86_64</arch>
  <hostCPU type='kvm' model='base' migratability='yes'>
    <property name='svm' type='boolean' value='false'/>
  </hostCPU>
  <hostCPU type='tcg' model='base' migratability='yes'>
    <property name='svm' type='boolean' value='true' migratable='yes'/>
  </hostCPU>
  <kvmSupportsNesting/>"""


def judged(
    *files: str, version: int | None = 9_000_000, types: tuple[str, ...] = ("qemu", "kvm")
) -> LibvirtCapabilities:
    names = [f"{number}.xml" for number in range(len(files))]
    remembered = [ok(f"{DIRECTORY}/{name}", text) for name, text in zip(names, files, strict=True)]
    readings = (*KERNEL, ok(DIRECTORY, "\n".join(names)), *remembered, ok("stat -L -c %Z /usr/bin/qemu", "5\n"))
    answer = LibvirtAnswer("qemu:///system", "libvirt", domain_types={"x86_64": types}, version=version)
    bundle = bundle_of(*readings, uname="x86_64", libvirt=answer)
    return libvirt_capabilities_of(bundle, libvirt_of(bundle), CPU)


def test_a_file_that_libvirt_will_use_proves_it() -> None:
    assert judged(FILE).give_flag is Answer.NO


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  <kvmSupportsNesting/>", ""),
        ("<qemuctime>5<", "<qemuctime>6<"),
        ("9000000", "8000000"),
        ("6.1.0 #1 SMP", "6.1.0 #2 SMP"),
        ("/usr/bin/qemu", "/usr/bin/other"),
        ("<selfvers>9000000</selfvers>", ""),
        ("type='kvm'", "type='hvf'"),
        ("<arch>x86_64", "<arch>i686"),
        ("<property name='svm' type='boolean' value='false'/>", ""),
        ("value='false'", "value='perhaps'"),
    ],
)
def test_anything_that_makes_libvirt_forget_it_leaves_it_open(old: str, new: str) -> None:
    assert old in FILE
    assert judged(FILE.replace(old, new)).give_flag is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<qemuctime>5<", "<qemuctime>6<"),
        ("9000000", "8000000"),
        ("6.1.0 #1 SMP", "6.1.0 #2 SMP"),
        ("<selfvers>9000000</selfvers>", ""),
        ("  <kvmSupportsNesting/>", ""),
    ],
)
def test_a_file_that_libvirt_discards_proves_nothing_even_with_the_flag(old: str, new: str) -> None:
    """It was true of another kernel, QEMU or libvirt; what they are asked next is not known."""
    having = FILE.replace("value='false'", "value='true'")
    assert judged(having).give_flag is Answer.YES
    assert judged(having.replace(old, new)).give_flag is Answer.UNKNOWN


def test_an_unknown_version_of_libvirt_leaves_it_open() -> None:
    assert judged(FILE, version=None).give_flag is Answer.UNKNOWN


def test_before_4_10_libvirt_may_or_may_not_notice_nested() -> None:
    old = FILE.replace("9000000", "4009000").replace("  <kvmSupportsNesting/>", "")
    assert judged(old, version=4_009_000).give_flag is Answer.UNKNOWN


def test_a_file_of_a_qemu_that_may_have_changed_does_not_prove_that_it_is_given() -> None:
    having = FILE.replace("value='false'", "value='true'")
    found = judged(having.replace("/usr/bin/qemu", "/usr/bin/other"))
    assert found.give_flag is Answer.UNKNOWN
    assert "/usr/bin/other" in found.reason


def test_one_qemu_that_gives_it_is_enough() -> None:
    assert judged(FILE, FILE.replace("value='false'", "value='true'")).give_flag is Answer.YES


@pytest.mark.parametrize(("types", "answer"), [(("qemu",), Answer.NO), ((), Answer.UNKNOWN)])
def test_what_libvirt_offers_comes_first(types: tuple[str, ...], answer: Answer) -> None:
    assert judged(FILE.replace("value='false'", "value='true'"), types=types).give_flag is answer


@given(any_text)
def test_any_text_is_no_proof(text: str) -> None:
    assert judged(text).give_flag is Answer.UNKNOWN


def test_a_file_that_may_not_be_read_is_not_passed_over() -> None:
    bundle = bundle_of(*KERNEL, ok(DIRECTORY, "a.xml"), Reading(f"{DIRECTORY}/a.xml", Status.UNREADABLE))
    with pytest.raises(ObservationError):
        cached_capabilities_of(bundle, 9_000_000)


@pytest.mark.parametrize("text", ["", "<x/>", "<!DOCTYPE capabilities><capabilities/>", "<capabilities>"])
def test_what_is_no_capabilities_tells_no_types(text: str) -> None:
    assert domain_types_of(text) is None


def test_types_are_those_of_full_virtualization() -> None:
    guest = "<guest><os_type>{0}</os_type><arch name='{1}'><domain type='{2}'/></arch></guest>"
    guests = [guest.format(*each) for each in (("hvm", "i686", "qemu"), ("exe", "i686", "lxc"), ("hvm", "i686", "kvm"))]
    assert domain_types_of(f"<capabilities>{''.join(guests)}</capabilities>") == {"i686": ("qemu", "kvm")}


def test_virsh_tells_the_daemons_version() -> None:
    printed = (
        "Compiled against library: libvirt 11.3.0\nRunning hypervisor: QEMU 7.2.22\nRunning against daemon: 9.2.1\n"
    )
    assert version_of_virsh(printed) == 9_002_001
    assert version_of_virsh("Using library: libvirt 11.3.0") is None
