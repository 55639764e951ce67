"""nova.conf: the CPU of every instance on a compute host."""

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.model.answer import Answer
from tests.support.defined import gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def conf(*lines: str) -> tuple[str, str]:
    return "nova.conf", "\n".join(["[DEFAULT]", "a = %b", "a = %b", "[libvirt]", *lines, "", "[pci]", "alias = {}", ""])


@pytest.mark.parametrize(
    ("lines", "amd", "intel"),
    [
        ([], NO, YES),
        (["cpu_mode = host-model"], NO, YES),
        (["cpu_mode = host-passthrough"], YES, YES),
        (["cpu_mode=host-passthrough", "cpu_model_extra_flags = -SVM, pcid"], NO, YES),
        (["cpu_mode = none"], NO, NO),
        (["cpu_mode = none", "cpu_model_extra_flags = svm"], NO, NO),
        (["cpu_mode = custom", "cpu_models = Cascadelake-Server,Haswell"], NO, NO),
        (["cpu_mode = custom", "cpu_model = EPYC", "cpu_model_extra_flags = +svm"], YES, NO),
        (["cpu_mode = custom", "cpu_models = Haswell", "cpu_model_extra_flags = VMX"], NO, YES),
        (["cpu_mode = custom", "cpu_models = EPYC", "cpu_model_extra_flags = svm,vmx"], UNKNOWN, UNKNOWN),
        (["cpu_mode = custom"], UNKNOWN, UNKNOWN),
        (["cpu_mode = none", "hw_machine_type = aarch64=virt, x86_64=pc-i440fx-2.0"], UNKNOWN, NO),
        (["cpu_mode = none", "hw_machine_type = x86_64=q35"], NO, NO),
        (["# cpu_mode = host-passthrough"], NO, YES),
    ],
)
def test_the_section_of_libvirt_decides(lines: list[str], amd: Answer, intel: Answer) -> None:
    assert gives(only(conf(*lines))) == (amd, intel)


@pytest.mark.parametrize(
    ("lines", "amd", "intel"),
    [
        (["CPU_MODE = host-passthrough"], NO, YES),
        (["cpu_mode = 'host-passthrough'"], YES, YES),
        (['cpu_mode: "none"'], NO, NO),
        (["cpu_mode =", "  host-passthrough"], YES, YES),
        (["cpu_mode = custom", "cpu_models = EPYC", "cpu_model_extra_flags =", " pcid,", "\tsvm"], YES, NO),
        (["cpu_mode = none", "; cpu_mode = host-passthrough"], NO, NO),
        (["[pci2]", "cpu_mode = host-passthrough"], NO, YES),
    ],
)
def test_a_file_is_read_as_oslo_config_reads_it(lines: list[str], amd: Answer, intel: Answer) -> None:
    assert gives(only(conf(*lines))) == (amd, intel)


def test_the_name_of_the_section_counts_in_any_case() -> None:
    assert gives(only(("nova.conf", "[compute]\n[LIBVIRT]\ncpu_mode = none\n"))) == (NO, NO)


@pytest.mark.parametrize("kind", ["xen", "lxc", "uml", "parallels"])
def test_what_nova_does_not_run_under_kvm_is_of_another_type(kind: str) -> None:
    assert only(conf(f"virt_type = {kind}", "cpu_mode = host-passthrough")).is_of_another_hypervisor


def test_nova_on_qemu_emulates() -> None:
    assert only(conf("virt_type = qemu")).type == "qemu"


def test_the_line_is_that_of_the_mode() -> None:
    assert only(conf("virt_type = kvm", "cpu_mode = none")).place == ":6"
    assert only(conf()).place == ":4"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["cpu_mode = host"], "cpu_mode is 'host'"),
        (["cpu_mode = none", "cpu_mode = custom"], "option 'cpu_mode' in section 'libvirt' already exists"),
        (["[libvirt]"], "the section libvirt is there 2 times"),
        (["a line"], "is not a nova.conf"),
        (["  cpu_mode = none"], "line 5 continues nothing"),
        (["cpu_mode = none", "", "  x"], "line 7 continues nothing"),
        (["[libvirt] # more", "cpu_mode = none"], "line 5 is no section"),
        (["= none"], "line 5 sets nothing"),
        (["[LIBVIRT]"], "the section libvirt is there 2 times"),
        (["cpu_mode = $other"], "cpu_mode takes the value of another option"),
        (["cpu_model_extra_flags = ${flags}"], "cpu_model_extra_flags takes the value of another option"),
        (["virt_type = KVM"], "virt_type is 'KVM'"),
    ],
)
def test_what_nova_would_not_read_is_an_error(lines: list[str], says: str) -> None:
    with pytest.raises(NotObserved, match=r"nova\.conf: ") as error:
        only(conf(*lines))
    assert says in str(error.value)
    assert str(error.value).isprintable()
