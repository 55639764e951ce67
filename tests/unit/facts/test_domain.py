from dataclasses import replace

import pytest

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.cpu_definition import UNDECIDED, CpuDefinition
from nested_kvm.facts.libvirt.daemon import libvirt_of
from nested_kvm.facts.libvirt.domain import Domain, domain_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import X86
from tests.support.bundles import bundle_of, ok

PASSTHROUGH = "<cpu mode='host-passthrough'/>"
HOST_MODEL = "<cpu mode='host-model'/>"
QEMU64 = "<cpu><model>qemu64</model></cpu>"
MINIMUM = "<cpu match='minimum'><model>Opteron_G1</model></cpu>"
EXPANDED = "<cpu><model>EPYC</model><vendor>AMD</vendor><feature policy='{}' name='svm'/></cpu>"
OPTIONAL = "<cpu><model>EPYC</model><feature policy='optional' name='svm'/></cpu>"
OPTIONAL_HOST_MODEL = "<cpu mode='host-model'><feature policy='optional' name='svm'/></cpu>"


def domain(inactive: str, live: str | None = None, *, persistent: bool = True) -> Domain:
    def xml(cpu: str) -> str:
        return f"<domain type='kvm'><name>ci-1</name>{cpu}</domain>"

    record = DomainRecord(
        "ci-1", "u-1", "running", persistent, None, xml(inactive), None if live is None else xml(live)
    )
    return domain_of(record)


@pytest.mark.parametrize(
    ("inactive", "live", "gives"),
    [
        (HOST_MODEL, None, Answer.NO),
        (HOST_MODEL, EXPANDED.format("disable"), Answer.NO),
        (HOST_MODEL, EXPANDED.format("require"), Answer.UNKNOWN),
        (OPTIONAL, None, Answer.YES),
        (OPTIONAL_HOST_MODEL, None, Answer.UNKNOWN),
        (OPTIONAL_HOST_MODEL, EXPANDED.format("disable"), Answer.NO),
        (OPTIONAL_HOST_MODEL, EXPANDED.format("require"), Answer.YES),
        (OPTIONAL, "<cpu><model>EPYC</model><feature policy='require' name='svm'/></cpu>", Answer.YES),
        (OPTIONAL, "<cpu><model>EPYC</model><feature policy='disable' name='svm'/></cpu>", Answer.YES),
        (OPTIONAL_HOST_MODEL, PASSTHROUGH, Answer.UNKNOWN),
        (HOST_MODEL, PASSTHROUGH, Answer.NO),
        (PASSTHROUGH, QEMU64, Answer.YES),
        (QEMU64, PASSTHROUGH, Answer.NO),
    ],
)
def test_what_runs_decides_only_what_the_definition_leaves_open(inactive: str, live: str | None, gives: Answer) -> None:
    assert domain(inactive, live).promise(Vendor.AMD).gives_flag is gives


@pytest.mark.parametrize(
    ("inactive", "live"),
    [
        (PASSTHROUGH, PASSTHROUGH),
        (HOST_MODEL, EXPANDED.format("disable")),
        (HOST_MODEL, EXPANDED.format("require")),
        (QEMU64, "<cpu><model>qemu64</model><feature policy='disable' name='svm'/></cpu>"),
        ("", QEMU64),
        (MINIMUM, EXPANDED.format("disable")),
        (MINIMUM, "<cpu><model>Opteron_G1</model></cpu>"),
        (PASSTHROUGH, None),
    ],
)
def test_libvirts_own_expansion_is_no_change(inactive: str, live: str | None) -> None:
    assert domain(inactive, live).changed_since_start(Vendor.AMD) is None


@pytest.mark.parametrize(
    ("inactive", "live"),
    [
        (PASSTHROUGH, QEMU64),
        (QEMU64, PASSTHROUGH),
        (PASSTHROUGH, "<cpu mode='maximum'/>"),
        (MINIMUM, QEMU64),
        (MINIMUM, EXPANDED.format("require")),
        (HOST_MODEL, PASSTHROUGH),
        (HOST_MODEL, QEMU64),
        (QEMU64, "<cpu><model>EPYC</model></cpu>"),
        (PASSTHROUGH, "<cpu mode='host-passthrough'><feature policy='disable' name='svm'/></cpu>"),
        ("<cpu mode='host-passthrough'><feature policy='disable' name='svm'/></cpu>", PASSTHROUGH),
        ("", PASSTHROUGH),
    ],
)
def test_a_definition_changed_since_the_start_is_seen(inactive: str, live: str) -> None:
    assert domain(inactive, live).changed_since_start(Vendor.AMD)


INTEL_EXPANDED = "<cpu><model>Haswell</model><vendor>Intel</vendor>{}</cpu>"


@pytest.mark.parametrize(
    ("feature", "is_pending"),
    [
        ("", True),
        ("<feature policy='require' name='vmx-ept'/>", True),
        ("<feature policy='disable' name='vmx'/>", True),
        ("<feature policy='require' name='vmx'/>", False),
    ],
)
def test_an_expansion_without_vmx_is_of_a_host_that_did_not_offer_it(feature: str, *, is_pending: bool) -> None:
    started = domain(HOST_MODEL, INTEL_EXPANDED.format(feature))
    assert started.promise(Vendor.INTEL).gives_flag is Answer.YES
    assert (started.changed_since_start(Vendor.INTEL, lambda: True) is not None) is is_pending
    assert started.changed_since_start(Vendor.INTEL, lambda: False) is None


def passing(cpu: str, arguments: str) -> str:
    """A `<cpu>` beside arguments for QEMU."""
    words = "".join(f"<q:arg value='{word}'/>" for word in arguments.split())
    return f"{cpu}<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>{words}</q:commandline>"


@pytest.mark.parametrize(
    ("inactive", "live", "reason"),
    [
        (passing(PASSTHROUGH, "-cpu kvm64"), PASSTHROUGH, "passes -cpu kvm64 to QEMU by now, and passed nothing"),
        (PASSTHROUGH, passing(PASSTHROUGH, "-cpu kvm64"), "passes nothing to QEMU by now, and passed -cpu kvm64"),
        (passing(OPTIONAL, "-cpu host"), passing(QEMU64.replace("qemu64", "EPYC"), "-cpu host"), "changed beside it"),
        ("<cpu mode='future'/>", "<cpu><model>EPYC</model></cpu>", "the mode 'future' is not known"),
        (passing(PASSTHROUGH, "-cpu host"), passing(PASSTHROUGH, "-cpu host"), None),
        (OPTIONAL_HOST_MODEL, EXPANDED.format("disable"), None),
        (HOST_MODEL, EXPANDED.format("require"), None),
        ("<cpu mode='future'/>", "<cpu mode='future'/>", None),
        (PASSTHROUGH, None, None),
    ],
)
def test_a_cpu_that_cannot_be_compared_is_not_the_defined_one(
    inactive: str, live: str | None, reason: str | None
) -> None:
    found = domain(inactive, live)
    assert found.changed_since_start(Vendor.AMD) is None
    why = found.why_not_compared(Vendor.AMD)
    assert why is None if reason is None else reason in (why or "")


KNOWN_CPUS = [
    CpuDefinition("host-passthrough"),
    CpuDefinition("custom", "EPYC"),
    CpuDefinition("custom", "EPYC", features={"svm": "require"}),
    CpuDefinition("host-passthrough", features={"svm": "disable"}),
    CpuDefinition("custom", "EPYC", features={"svm": UNDECIDED}),
    CpuDefinition("host-passthrough", undecided="its instancetype is not known"),
    CpuDefinition("host-passthrough", reads_config=True),
    CpuDefinition("custom", unknown_mode="the file does not say it"),
    CpuDefinition("custom", "EPYC", invalid="a feature is listed twice"),
]


@pytest.mark.parametrize("defined", KNOWN_CPUS)
@pytest.mark.parametrize("running", KNOWN_CPUS)
def test_a_files_guest_runs_as_defined_only_if_both_are_known(defined: CpuDefinition, running: CpuDefinition) -> None:
    guest = replace(
        domain(PASSTHROUGH, PASSTHROUGH), file="vm.yaml", cpu=replace(defined, written="in the file"), live_cpu=running
    )
    answers = [each.promise(Vendor.AMD).gives_flag for each in (defined, running)]
    is_same = guest.changed_since_start(Vendor.AMD) is None and guest.why_not_compared(Vendor.AMD) is None
    assert is_same is (answers[0] is answers[1] is not Answer.UNKNOWN)


def test_a_changed_type_or_encryption_takes_a_power_cycle() -> None:
    plain = domain(PASSTHROUGH, PASSTHROUGH)
    assert "type qemu" in (replace(plain, live_type="qemu").changed_since_start(Vendor.AMD) or "")
    encrypted = domain(f"{PASSTHROUGH}<launchSecurity type='sev'/>", PASSTHROUGH)
    assert "encryption sev" in (encrypted.changed_since_start(Vendor.AMD) or "")


def of_os(os_type: str) -> Domain:
    xml = f"<domain type='kvm'><name>ci-1</name><os>{os_type}</os>{PASSTHROUGH}</domain>"
    return domain_of(DomainRecord("ci-1", "u-1", "shut off", inactive_xml=xml))


@pytest.mark.parametrize(
    ("os_type", "refused"),
    [
        ("<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>", False),
        ("<type arch='i686' machine='pc'>hvm</type>", False),
        ("<type machine='rhel6.6.0'>hvm</type>", False),
        ("<type>hvm</type>", False),
        ("", False),
        ("<type arch='aarch64'>hvm</type>", True),
        ("<type arch='riscv64'>hvm</type>", True),
        ("<type>xen</type>", True),
        ("<type machine='none'>hvm</type>", True),
        ("<type machine='virt-9.0'>hvm</type>", True),
    ],
)
def test_what_cannot_start_on_the_host_is_refused(os_type: str, *, refused: bool) -> None:
    assert (of_os(os_type).refused_on(X86) is not None) is refused
    assert of_os(os_type).refused_on(None) is None


def test_a_transient_domain_has_no_other_definition() -> None:
    assert domain(QEMU64, PASSTHROUGH, persistent=False).changed_since_start(Vendor.AMD) is None


@pytest.mark.parametrize(("xml", "problem"), [(None, None), ("<domain/>", "timed out"), (None, "no such domain")])
def test_a_domain_that_was_not_told_whole_is_an_error(xml: str | None, problem: str | None) -> None:
    with pytest.raises(ObservationError, match="domain ci-1"):
        domain_of(DomainRecord("ci-1", "u-1", "running", inactive_xml=xml, problem=problem))


def test_a_libvirt_that_refuses_is_an_answer_and_has_no_domains() -> None:
    seen = libvirt_of(bundle_of(libvirt=LibvirtAnswer("qemu:///system", "libvirt", refusal="gone"), uname="x86_64"))
    assert (seen.answers, seen.records) == (False, ())
    with pytest.raises(ObservationError, match="gone"):
        seen.record("ci-1")


@pytest.mark.parametrize("answer", [None, LibvirtAnswer("qemu:///system", "virsh", not_asked="cut")])
def test_a_libvirt_that_was_not_asked_neither_answers_nor_refuses(answer: LibvirtAnswer | None) -> None:
    with pytest.raises(ObservationError, match="queried"):
        libvirt_of(bundle_of(ok("uname -m", "x86_64"), libvirt=answer))


def test_a_domain_is_found_by_name_or_uuid_and_counted_while_it_holds_the_module() -> None:
    states = {"running": "a", "paused": "b", "shut off": "c", "crashed": "d", "pmsuspended": "e"}
    records = tuple(DomainRecord(name, f"u-{name}", state) for state, name in states.items())
    answer = LibvirtAnswer("qemu:///system", "libvirt", domains=records)
    seen = libvirt_of(bundle_of(libvirt=answer, uname="x86_64"))
    assert seen.record("a") is seen.record("u-a") is records[0]
    assert seen.running == ("a", "b", "e")
    with pytest.raises(ObservationError, match="has no domain z"):
        seen.record("z")


def test_a_domain_named_as_anothers_uuid_does_not_take_its_place() -> None:
    first, second = "9f5737ad-04b0-41f7-882c-99c327b51994", "9f5737ad-04b0-41f7-882c-99c327b51995"
    records = (DomainRecord(second, first, "running"), DomainRecord("ci-1", second, "running"))
    answer = LibvirtAnswer("qemu:///system", "libvirt", domains=records)
    assert libvirt_of(bundle_of(libvirt=answer, uname="x86_64")).record(second).name == "ci-1"
    impostor_only = LibvirtAnswer("qemu:///system", "libvirt", domains=records[:1])
    with pytest.raises(ObservationError, match="has no domain"):
        libvirt_of(bundle_of(libvirt=impostor_only, uname="x86_64")).record(second)


@pytest.mark.parametrize(
    ("emulator", "wrapped"),
    [
        ("/usr/bin/qemu-system-x86_64", False),
        ("/usr/libexec/qemu-kvm", False),
        ("/usr/bin/kvm", False),
        ("/usr/bin/kvm-spice", False),
        ("/opt/qemu-11/bin/qemu-system-x86_64-patched", False),
        ("/usr/local/bin/qemu-wrapper", True),
        ("/usr/local/bin/qemu.sh", True),
        ("/root/kvmwrap", True),
        ("/usr/local/bin/qemu-kvm-wrapper", True),
        ("/usr/local/bin/qemu-system-x86_64.wrapper", True),
        ("/usr/local/bin/qemu-system-x86_64-wrapped", True),
        ("/var/lib/one/kvm.sh", True),
        ("/opt/kvm-proxy.py", True),
        ("/run/libvirt/nix-emulators/qemu-system-x86_64", False),
        ("/usr/bin/qemu-kvm-spice", False),
        ("/snap/multipass/current/usr/bin/qemu-system-x86_64", False),
        ("/usr/local/sbin/qemu", False),
        ("", False),
    ],
)
def test_an_emulator_that_is_not_qemu_by_its_name_may_wrap_it_until_its_process_is_seen(
    emulator: str, *, wrapped: bool
) -> None:
    devices = f"<devices><emulator>{emulator}</emulator></devices>"
    assert domain(PASSTHROUGH + devices).may_be_wrapped is wrapped
    assert not domain(PASSTHROUGH + devices, PASSTHROUGH + devices).may_be_wrapped
