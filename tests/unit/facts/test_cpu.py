import pytest
from hypothesis import given

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Cpu, Vendor, cpu_of
from tests.support.bundles import any_status, any_text, bundle_of


def cpu(*flags: str, vendor: str = "AuthenticAMD") -> Cpu:
    lines = [f"processor\t: {n}\nvendor_id\t: {vendor}\nflags\t\t: {words}\n" for n, words in enumerate(flags)]
    return cpu_of(bundle_of(uname="x86_64\n", cpuinfo="\n".join(lines)))


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        (("fpu svm",), 1),
        (("fpu svm_lock",), 0),
        (("fpu xsvm",), 0),
        (("svm", "fpu"), 1),
        (("svm", "svm svm"), 2),
        (("",), 0),
        (("fpu vmx",), 0),
    ],
)
def test_the_flag_is_a_word_on_each_cpu(flags: tuple[str, ...], count: int) -> None:
    seen = cpu(*flags)
    assert (seen.count_with_flag, seen.all_show_flag) == (count, count == len(flags))
    assert seen.none_shows_flag is (count == 0)


@pytest.mark.parametrize(
    ("vendor_id", "vendor"),
    [
        ("GenuineIntel", Vendor.INTEL),
        ("CentaurHauls", Vendor.INTEL),
        ("  Shanghai  ", Vendor.INTEL),
        ("AuthenticAMD", Vendor.AMD),
        ("HygonGenuine", Vendor.AMD),
        ("TransmetaCPU", None),
        ("genuineintel", None),
        ("", None),
    ],
)
def test_the_vendor_id_chooses_module_and_flag(vendor_id: str, vendor: Vendor | None) -> None:
    assert cpu("fpu", vendor=vendor_id).vendor is vendor


def test_the_vmx_flags_line_is_another_line() -> None:
    text = "processor : 0\nvendor_id : GenuineIntel\nflags : fpu\nvmx flags : vmx ept\n"
    assert cpu_of(bundle_of(uname="x86_64", cpuinfo=text)).none_shows_flag


def test_cpus_of_two_vendors_have_none() -> None:
    text = "processor: 0\nvendor_id: GenuineIntel\nprocessor: 1\nvendor_id: AuthenticAMD\n"
    with pytest.raises(ObservationError, match="AuthenticAMD, GenuineIntel"):
        cpu_of(bundle_of(uname="x86_64", cpuinfo=text)).require_vendor()


@pytest.mark.parametrize("machine", ["aarch64", "ppc64le", "riscv64"])
def test_where_no_flag_shows_it_there_is_no_vendor(machine: str) -> None:
    text = "vendor_id : IBM/S390\nprocessor : 0\nvendor_id : AuthenticAMD\nflags : svm\n"
    seen = cpu_of(bundle_of(uname=machine, cpuinfo=text))
    assert (seen.is_x86, seen.vendor, seen.is_known_to_show_flag, seen.evidence) == (False, None, False, ())


Z_CPUS = "processor 0: version = FF,  identification = 1\nprocessor 1: version = FF,  identification = 1\n"


@pytest.mark.parametrize(("features", "shown"), [("esan3 zarch sie", 2), ("esan3 sief2 zsie sie2", 0), ("", 0)])
def test_on_s390x_one_line_of_features_is_every_cpus(features: str, shown: int) -> None:
    seen = cpu_of(bundle_of(uname="s390x", cpuinfo=f"vendor_id       : IBM/S390\nfeatures\t: {features}\n{Z_CPUS}"))
    assert (seen.vendor, seen.flag, len(seen.flags), seen.count_with_flag) == (Vendor.IBM_Z, "sie", 2, shown)


@pytest.mark.parametrize("vendor_id", ["GenuineIntel", "AuthenticAMD", ""])
def test_on_s390x_there_is_one_vendor(vendor_id: str) -> None:
    seen = cpu_of(bundle_of(uname="s390x", cpuinfo=f"vendor_id : {vendor_id}\nfeatures : sie\n{Z_CPUS}"))
    assert seen.vendor is None


def test_ibms_vendor_is_none_of_x86() -> None:
    assert cpu_of(bundle_of(uname="x86_64", cpuinfo="processor: 0\nvendor_id: IBM/S390\nflags: sie\n")).vendor is None


def test_on_s390x_no_cpu_at_all_is_not_a_cpu_without_flag() -> None:
    with pytest.raises(ObservationError, match="names no CPU"):
        cpu_of(bundle_of(uname="s390x", cpuinfo="vendor_id : IBM/S390\nfeatures : sie\n"))


def test_a_guest_is_told_by_the_hypervisor_flag() -> None:
    assert cpu("fpu hypervisor").is_virtual
    assert not cpu("fpu hypervisor_like").is_virtual


def test_no_cpu_at_all_is_not_a_cpu_without_flag() -> None:
    with pytest.raises(ObservationError, match="names no CPU"):
        cpu_of(bundle_of(uname="x86_64", cpuinfo="model name : EPYC\n"))


@given(any_text, any_text, any_status)
def test_any_answer_is_a_cpu_or_was_not_observed(machine: str, text: str, status: Status) -> None:
    readings = Reading("uname -m", Status.OK, machine), Reading("/proc/cpuinfo", status, text)
    try:
        seen = cpu_of(bundle_of(*readings))
        assert 0 <= seen.count_with_flag <= len(seen.flags)
    except ObservationError:
        pass
