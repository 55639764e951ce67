"""VMM processes: what QEMU makes of `-cpu`, whether it runs under KVM, and which guest it is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved, ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_guest import VmmGuests, domain_of_process, vmm_guests_of
from nested_kvm.facts.kvm.vmm_process import VmmProcess, VmmProcesses, vmm_processes_of
from nested_kvm.facts.libvirt.domain import Domain, ProcessCheck
from nested_kvm.model.answer import Answer
from tests.support.running_machines import CMDLINES, machine

AMD, INTEL = Vendor.AMD, Vendor.INTEL
YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


@pytest.mark.parametrize(
    ("argument", "amd", "intel"),
    [
        ("host", YES, YES),
        ("max", YES, YES),
        ("host,migratable=off,+invtsc", YES, YES),
        ("host,svm=off", NO, YES),
        ("host,-svm", NO, YES),
        ("host,-vmx", YES, NO),
        ("host,-svm-lock", YES, YES),
        ("EPYC", NO, NO),
        ("EPYC-Milan-v2,x2apic=on,svm=on", YES, NO),
        ("EPYC,+svm,+npt", YES, NO),
        ("EPYC,svm", YES, NO),
        ("EPYC,svm=off,svm=on", YES, NO),
        ("EPYC,svm=on,svm=off", NO, NO),
        ("EPYC,+svm,-svm", NO, NO),
        ("EPYC,-svm,+svm", UNKNOWN, NO),
        ("EPYC,svm=off,+svm", YES, NO),
        ("EPYC,+svm,svm=off", UNKNOWN, NO),
        ("host,-svm,svm=on", UNKNOWN, YES),
        ("EPYC,svm=perhaps", UNKNOWN, NO),
        ("Skylake-Server,vmx=on", NO, YES),
        ("Skylake-Server,vmx-ept=on", NO, NO),
        ("Skylake-Server", NO, NO),
        ("kvm64", NO, NO),
        ("kvm64,+vmx", NO, YES),
        ("qemu64,+svm", YES, NO),
        ("qemu64,+svm,enforce", YES, NO),
        ("", NO, NO),
        (None, NO, NO),
    ],
)
def test_what_a_cpu_argument_gives_under_kvm(argument: str | None, amd: Answer, intel: Answer) -> None:
    definition = qemu_cpu_definition(argument)
    assert (definition.promise(AMD).gives_flag, definition.promise(INTEL).gives_flag) == (amd, intel)


@pytest.mark.parametrize(
    ("of", "answer"),
    [
        ("pc-i440fx-2.1", UNKNOWN),
        ("type=pc-q35-2.0,usb=off", UNKNOWN),
        ("pc-1.3", UNKNOWN),
        ("pc-i440fx-2.2", NO),
        ("pc-i440fx-2.10", NO),
        ("q35", NO),
    ],
)
def test_machines_of_qemu_2_1_keep_a_models_svm(of: str, answer: Answer) -> None:
    assert qemu_cpu_definition("EPYC", of).promise(AMD).gives_flag is answer
    assert qemu_cpu_definition("host,-svm", of).promise(AMD).gives_flag is NO
    assert qemu_cpu_definition("EPYC", of).promise(INTEL).gives_flag is NO


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["M=pc-i440fx-2.0", "machine=accel=kvm"], UNKNOWN),
        (["machine=accel=kvm,type=pc-i440fx-2.0"], UNKNOWN),
        (["M=pc-i440fx-2.0", "machine=q35,accel=kvm"], NO),
        (["machine=q35,accel=kvm", "M=pc-i440fx-2.0"], UNKNOWN),
        (["machine=q35,confidential-guest-support=sev0", "machine=accel=kvm"], NO),
    ],
)
def test_several_options_for_the_machine_are_merged_as_by_qemu(lines: list[str], answer: Answer) -> None:
    given = ["program=qemu-system-x86_64", "cpu=EPYC", *lines]
    process = of_text("\n".join(f"7 {line}" for line in given)).processes[0]
    found = qemu_cpu_definition(process.cpu, process.machine)
    assert found.promise(AMD).gives_flag is answer
    assert (found.memory_encryption is not None) is any("confidential" in line for line in lines)


@given(st.text())
def test_any_argument_is_a_definition(argument: str) -> None:
    assert qemu_cpu_definition(argument).promise(AMD).gives_flag in Answer


def of_text(text: str, status: Status = Status.OK) -> VmmProcesses:
    return vmm_processes_of(machine("kvm-a", Reading(CMDLINES, status, text)))


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("guest=l1-svm,debug-threads=on", "l1-svm"),
        ("vm-100,debug-threads=on", "vm-100"),
        ("debug-threads=on,guest=a,,b", "a,b"),
        ("plain", "plain"),
        ("", None),
    ],
)
def test_the_guests_name_is_taken_out_of_its_option(given_name: str, name: str | None) -> None:
    assert of_text(f"7 program=kvm\n7 name={given_name}").processes[0].name == name


def test_the_last_cpu_counts_and_the_accelerators_keep_their_order() -> None:
    lines = ["7 cpu=EPYC", "7 cpu=host", "7 machine=pc,accel=kvm:tcg", "7 accel=tcg,thread=multi", "7 enable-kvm=on"]
    process = of_text("\n".join(["7 program=qemu-system-x86_64", *lines])).processes[0]
    assert (process.cpu, process.accelerators) == ("host", ("tcg", "kvm", "kvm", "tcg"))


def test_without_a_name_it_is_called_what_it_is() -> None:
    assert of_text("7 program=qemu-kvm").processes[0].label == "qemu-kvm-7"


@given(st.text(), st.sampled_from(Status))
def test_any_answer_is_processes_or_was_not_observed(text: str, status: Status) -> None:
    try:
        assert of_text(text, status).are_all is (status is Status.OK)
    except ObservationError:
        assert status is not Status.OK


QEMU = VmmProcess(7, "qemu-system-x86_64", "a", cpu="host")
PROXMOX = VmmProcess(8, "kvm", "vm-100", cpu="kvm64,+svm", accelerators=("kvm",))
ALL, SOME = VmHolders((7, 8), are_all=True), VmHolders((), are_all=False)
NOBODY = VmHolders((), are_all=True)


@pytest.mark.parametrize(
    ("accelerators", "holders", "kind"),
    [
        ((), ALL, "kvm"),
        (("tcg",), ALL, "kvm"),
        ((), NOBODY, "qemu"),
        (("kvm", "tcg"), NOBODY, "qemu"),
        (("kvm",), SOME, "kvm"),
        (("kvm", "kvm"), None, "kvm"),
        (("tcg",), SOME, "qemu"),
        (("tcg", "kvm"), None, "qemu"),
        (("kvm", "tcg"), SOME, None),
        ((), SOME, None),
        ((), None, None),
    ],
)
def test_who_holds_a_vm_decides_over_the_arguments(
    accelerators: tuple[str, ...], holders: VmHolders | None, kind: str | None
) -> None:
    process = VmmProcess(7, "qemu-system-x86_64", cpu="host", accelerators=accelerators)
    if kind is None:
        with pytest.raises(NotObserved, match="only root can see"):
            domain_of_process(process, holders)
    else:
        assert domain_of_process(process, holders).type == kind


def test_arguments_that_ask_for_kvm_alone_and_no_vm_contradict_each_other() -> None:
    process = VmmProcess(7, "qemu-system-x86_64", cpu="host", accelerators=("kvm",))
    with pytest.raises(NotObserved, match="started with KVM alone"):
        domain_of_process(process, NOBODY)
    assert guests(process, holders=NOBODY).undecided


def test_holders_that_were_not_inspected_leave_it_open() -> None:
    assert guests(holders=None).undecided == ("which processes hold a VM was not inspected",)
    assert guests(holders=NOBODY).undecided == ()


def guests(*processes: VmmProcess, holders: VmHolders | None = ALL, are_all: bool = True) -> VmmGuests:
    return vmm_guests_of(VmmProcesses(processes, are_all), holders, AMD)


def test_a_guest_has_the_flag_only_under_kvm() -> None:
    assert guests(QEMU, PROXMOX).with_flag == ("a", "vm-100")
    assert guests(QEMU, PROXMOX, holders=NOBODY).with_flag == ()


@pytest.mark.parametrize("program", ["firecracker", "cloud-hypervisor", "openvmm"])
def test_what_is_not_qemu_cannot_be_told(program: str) -> None:
    assert program in guests(VmmProcess(7, program)).undecided[0]


def test_hidden_processes_leave_it_open() -> None:
    assert guests(holders=SOME, are_all=False).undecided == ("processes of other accounts may be hidden",)
    assert guests(holders=NOBODY).undecided == ()


def test_a_vm_of_an_unknown_program_leaves_it_open() -> None:
    (reason,) = guests(QEMU).undecided
    assert "process 8 runs a VM" in reason


def test_a_process_that_withholds_what_its_domain_exposes_leaves_it_open() -> None:
    live = qemu_cpu_definition("host")
    check = ProcessCheck(contradiction="process 7 does not expose svm")
    domain = Domain("ci-1", "u-1", "kvm", "running", is_transient=False, cpu=live, live_cpu=live, process_check=check)
    confronted = vmm_guests_of(VmmProcesses((), are_all=True), NOBODY, AMD, (domain,))
    assert confronted.undecided == ("ci-1: process 7 does not expose svm",)
    withheld = replace(domain, live_cpu=qemu_cpu_definition("EPYC"))
    assert vmm_guests_of(VmmProcesses((), are_all=True), NOBODY, AMD, (withheld,)).undecided == ()


def test_a_key_names_one_process_whatever_the_guests_are_called() -> None:
    processes = VmmProcesses(
        (VmmProcess(7, "kvm", "pid:8"), VmmProcess(8, "kvm", "x"), VmmProcess(9, "kvm", "z")), are_all=True
    )
    assert [processes.named(name).pid for name in ("pid:8", "pid:9", "x")] == [8, 9, 8]
    with pytest.raises(NotObserved, match="no process of y was found"):
        processes.named("y")


@pytest.mark.parametrize(
    ("cpu", "properties", "answer"),
    [
        ("Nehalem", ["Nehalem-x86_64-cpu.svm=on"], YES),
        ("Nehalem", ["cpu.svm=on"], YES),
        ("Nehalem", ["driver=cpu,property=svm,value=on"], YES),
        ("max", ["cpu.svm=off"], NO),
        ("host", ["max-x86_64-cpu.svm=off"], UNKNOWN),
        ("host", ["cpu.svm=on", "cpu.svm=off"], UNKNOWN),
        ("host,svm=on", ["cpu.svm=off"], UNKNOWN),
        ("host", ["cpu.svm=perhaps"], UNKNOWN),
        ("host", ["cpu.enforce=on"], YES),
        ("EPYC", ["cpu.svm-lock=on"], NO),
        ("host", ["cpu.svm=off,x=y"], UNKNOWN),
    ],
)
def test_a_property_of_the_cpu_type_decides_as_its_option_does(cpu: str, properties: list[str], answer: Answer) -> None:
    assert qemu_cpu_definition(cpu, properties=properties).promise(AMD).gives_flag is answer


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (None, YES),
        ("", UNKNOWN),
        ("/etc/x.cfg", UNKNOWN),
        ("/usr/share/qemu-server/pve-q35-4.0.cfg", YES),
        ("/usr/share/qemu-server/pve-../x.cfg", UNKNOWN),
    ],
)
def test_a_configuration_file_may_change_the_cpu_unless_it_is_proxmoxs(config: str | None, answer: Answer) -> None:
    assert qemu_cpu_definition("host", config=config).promise(AMD).gives_flag is answer


def test_what_else_decides_is_read_of_the_process_and_shown() -> None:
    process = of_text("7 program=kvm\n7 global=cpu.svm=on\n7 cpu=EPYC\n7 readconfig=\n7 global=cpu.x=y").processes[0]
    assert (process.properties, process.config) == (("cpu.svm=on", "cpu.x=y"), "")
    assert "-cpu EPYC -global cpu.svm=on -global cpu.x=y -readconfig" in process.evidence[0].text
    assert guests(process).with_flag == ()
    assert "-readconfig" in guests(process, holders=VmHolders((7,), are_all=True)).undecided[0]


INCUS = """5 program=qemu-system-x86_64
5 cpu=host,hv_passthrough
5 readconfig=/run/incus/ci-1/qemu.conf
5 config=[machine]
5 config=graphics = "off"
5 config=type = "q35"
5 config=accel = "kvm"
5 config=[global]
5 config=driver = "ICH9-LPC"
5 config=property = "disable_s3"
5 config=value = "1"
"""
OF_CPU = """5 config=[global]
5 config=driver = "host-x86_64-cpu"
5 config=property = "svm"
5 config=value = "off"
"""
READ = "5 config-read=310\n"


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        (INCUS + READ, Answer.YES),
        (INCUS + OF_CPU + READ, Answer.NO),
        (INCUS.replace("host,hv_passthrough", "EPYC,svm=on") + OF_CPU + READ, Answer.UNKNOWN),
        (INCUS, Answer.UNKNOWN),
        (INCUS + '5 config=[accel]\n5 config=accel = "tcg"\n' + READ, Answer.UNKNOWN),
        (INCUS + '5 config=driver = "EPYC-x86_64-cpu"\n' + READ, Answer.UNKNOWN),
        (INCUS + '5 config=[machine]\n5 config=memory-encryption = "sev0"\n' + READ, Answer.UNKNOWN),
        (INCUS + '5 config=[global]\n5 config=driver = "a,property=b"\n' + READ, Answer.UNKNOWN),
        (INCUS + '5 config=[machine]\n5 config=usb = "off"\n' + READ, Answer.UNKNOWN),
        (INCUS + OF_CPU.replace("[global]", '[global "a"]').replace("off", "on") + READ, Answer.UNKNOWN),
        (INCUS + "5 config=nonsense\n" + READ, Answer.UNKNOWN),
        (INCUS + "5 readconfig=/run/incus/ci-2/qemu.conf\n" + READ, Answer.UNKNOWN),
    ],
)
def test_what_a_config_file_sets_is_part_of_the_cpu(text: str, gives: Answer) -> None:
    (process,) = of_text(text).processes
    cpu = qemu_cpu_definition(process.cpu, process.machine, process.properties, process.config)
    assert cpu.promise(Vendor.AMD).gives_flag is gives


def test_the_machine_of_a_config_file_counts_unless_the_command_line_names_another() -> None:
    read = of_text(INCUS + READ).processes[0]
    assert (read.machine, read.accelerators) == ("type=q35,graphics=off,accel=kvm", ("kvm",))
    both = of_text(INCUS + READ + "5 machine=pc\n").processes[0]
    assert (both.machine, both.config) == ("pc", "/run/incus/ci-1/qemu.conf")
