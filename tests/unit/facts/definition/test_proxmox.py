"""Proxmox VE's confs against the `-cpu` that its CPUConfig.pm writes for them, drawn at random."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.model.answer import Answer
from tests.support.defined import BOTH, defined, gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
TYPES = st.sampled_from([None, "host", "max", "kvm64", "EPYC", "x86-64-v2-AES", "Skylake-Server"])
SIGNS = st.sampled_from(["+", "-"])
OWN_FLAGS = st.dictionaries(st.sampled_from(["nested-virt", "aes", "pcid"]), SIGNS, max_size=2)
MODEL_FLAGS = st.dictionaries(st.sampled_from(["svm", "aes", "avx"]), SIGNS, max_size=2)


def flags(given: dict[str, str]) -> str:
    return ";".join(f"{sign}{name}" for name, sign in given.items())


def conf(*lines: str, number: int = 100) -> tuple[str, str]:
    return f"{number}.conf", "".join(f"{line}\n" for line in lines)


@given(TYPES, OWN_FLAGS, st.booleans())
def test_it_is_the_cpu_that_proxmox_gives_qemu(kind: str | None, own: dict[str, str], named: bool) -> None:  # noqa: FBT001 - drawn
    first = f"cputype={kind}" if named else kind
    setting = [] if kind is None else ["cpu: " + ",".join(filter(None, [first, f"flags={flags(own)}" if own else ""]))]
    found = only(conf("name: ci-1", *setting))
    for vendor in BOTH:
        given_by_host = {vendor.flag if name == "nested-virt" else name: sign for name, sign in own.items()}
        words = [] if kind is None else [f"{sign}{name}" for name, sign in sorted(given_by_host.items())]
        theirs = qemu_cpu_definition(",".join([kind or "kvm64", *words])).promise(vendor)
        ours = found.promise(vendor)
        assert (ours.gives_flag, ours.cause) == (theirs.gives_flag, theirs.cause)


@given(st.sampled_from([None, "host", "EPYC"]), MODEL_FLAGS, OWN_FLAGS)
def test_a_custom_model_is_its_reported_one_and_the_guests_flags_win(
    reported: str | None, of_model: dict[str, str], own: dict[str, str]
) -> None:
    lines = ["cpu-model: mine", *([f"    flags {flags(of_model)}"] if of_model else [])]
    lines += [] if reported is None else [f"    reported-model {reported}"]
    setting = ",".join(["custom-mine", *([f"flags={flags(own)}"] if own else [])])
    found = only(conf(f"cpu: {setting}"), ("cpu-models.conf", "\n".join(lines)))
    for vendor in BOTH:
        won = of_model | {vendor.flag if name == "nested-virt" else name: sign for name, sign in own.items()}
        words = [f"{sign}{name}" for name, sign in sorted(won.items())]
        theirs = qemu_cpu_definition(",".join([reported or "kvm64", *words])).promise(vendor)
        assert found.promise(vendor).gives_flag is theirs.gives_flag


@pytest.mark.parametrize(
    ("lines", "amd", "intel"),
    [
        (["cpu: host"], YES, YES),
        ([], NO, NO),
        (["cpu: host", "[PENDING]", "cpu: kvm64"], NO, NO),
        (["cpu: kvm64", "[PENDING]", "cpu: host"], YES, YES),
        (["cpu: host", "[PENDING]", "delete: cpu"], NO, NO),
        (["cpu: host", "[PENDING]", "delete: !cpu,args"], NO, NO),
        (["cpu: host", "[old]", "cpu: kvm64"], YES, YES),
        (["cpu: kvm64", "args: -cpu host,-svm"], NO, YES),
        (["cpu: host", "args: -global cpu.svm=off"], NO, YES),
        (["cpu: host", "args: -readconfig /x.cfg"], UNKNOWN, UNKNOWN),
        (["cpu: host", "args: -machine q35"], UNKNOWN, UNKNOWN),
        (["cpu: host", "args: -device usb-host -smbios type=1"], YES, YES),
        (["cpu: custom-gone"], UNKNOWN, UNKNOWN),
        (["cpu: custom-gone", "args: -cpu host"], YES, YES),
        (["cpu: host", "machine: pc-i440fx-9.2+pve1"], YES, YES),
        (["cpu: EPYC,flags=+svm"], UNKNOWN, UNKNOWN),
        (["cpu: host,flags=+pcid;+avx512f"], UNKNOWN, UNKNOWN),
        (["cpu: host,flags=+pcid;"], UNKNOWN, UNKNOWN),
        (["cpu: host,reported-model=EPYC"], UNKNOWN, UNKNOWN),
        (["cpu: host,model=max"], UNKNOWN, UNKNOWN),
        (["cpu: host, hidden=1"], UNKNOWN, UNKNOWN),
        (["cpu: host,flags="], UNKNOWN, UNKNOWN),
        (["cpu: host,"], YES, YES),
        (["cpu: host,,flags=+pcid, "], YES, YES),
        (["cpu: ,EPYC,"], NO, NO),
        (["cpu: host,hidden=1,phys-bits=host,flags=+pcid;-aes"], YES, YES),
        (["cpu: EPYC,flags=+svm", "args: -cpu host"], YES, YES),
    ],
)
def test_the_next_start_decides(lines: list[str], amd: Answer, intel: Answer) -> None:
    assert gives(only(conf(*lines))) == (amd, intel)


def test_a_custom_model_of_which_two_files_differ_decides_nothing() -> None:
    one, other = ((f"{name}-models.conf", f"cpu-model: mine\n  reported-model {name}\n") for name in ("host", "EPYC"))
    assert gives(only(conf("cpu: custom-mine"), one)) == (YES, YES)
    assert gives(only(conf("cpu: custom-mine"), one, one)) == (YES, YES)
    assert gives(only(conf("cpu: custom-mine"), one, other)) == (UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("listed", ["+svm; +aes", "+svm;", ";+svm"])
def test_flags_of_a_custom_model_in_another_form_may_be_passed_over(listed: str) -> None:
    models = ("cpu-models.conf", f"cpu-model: mine\n  flags {listed}\n  reported-model host\n")
    assert gives(only(conf("cpu: custom-mine"), models)) == (UNKNOWN, UNKNOWN)


def test_both_vendors_flags_let_qemu_start_nowhere() -> None:
    models = ("cpu-models.conf", "cpu-model: both\n  flags +svm;+vmx\n  reported-model EPYC\n")
    assert gives(only(conf("cpu: custom-both"), models)) == (UNKNOWN, UNKNOWN)


@pytest.mark.parametrize("value", ["0", "off", "no", "false"])
def test_without_kvm_it_is_emulated(value: str) -> None:
    found = only(conf("cpu: host", f"kvm: {value}"))
    assert (found.type, found.place) == ("qemu", ":2")


def test_memory_encryption_is_seen() -> None:
    assert only(conf("cpu: host", "amd-sev: type=std")).cpu.memory_encryption == "sev"
    assert only(conf("cpu: host", "intel-tdx: type=tdx")).cpu.memory_encryption == "tdx"


def test_the_name_is_the_guests_or_its_number() -> None:
    assert [only(conf("name: ci-1")).name, only(conf("cpu: host", number=7)).name] == ["ci-1", "7"]


def test_the_line_is_the_one_that_decides() -> None:
    assert only(conf("# a note", "cores: 2", "cpu: host")).place == ":3"
    assert only(conf("cpu: host", "args: -cpu max")).place == ":2"
    assert only(conf("cpu: host", "", "[PENDING]", "cpu: max")).place == ":4"


def test_a_container_is_no_guest_of_kvms() -> None:
    assert defined(conf("arch: amd64", "rootfs: local-lvm:vm-101-disk-0,size=8G")) == []


def test_no_secret_of_the_arguments_is_kept() -> None:
    found = only(conf("cpu: host", "args: -fw_cfg name=opt/password,string=S3CRET -cpu host"))
    assert "S3CRET" not in f"{found}"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["cpu: host", "cpu: kvm64"], "line 2: the key cpu is given twice"),
        (["[PENDING]", "[PENDING]"], "line 2: the section PENDING is there twice"),
        (["cpu host"], "line 1: is not a line of a Proxmox VE conf"),
        (["cpu: host,cputype=max"], "line 1: cputype is given twice"),
        (["cpu: host,flags=svm"], "'svm' is not a flag"),
        (["args: -cpu 'host"], "line 1: args: No closing quotation"),
        (["name: a\tb\x1b"], "of 1 to 250 visible bytes"),
    ],
)
def test_what_proxmox_would_not_write_is_an_error_with_its_line(lines: list[str], says: str) -> None:
    with pytest.raises(NotObserved) as error:
        only(conf(*lines))
    assert str(error.value).startswith("100.conf: ")
    assert says in str(error.value)


def test_the_section_of_what_is_pending_counts_in_any_case() -> None:
    assert gives(only(conf("cpu: host", "[pending]", "cpu: kvm64"))) == (NO, NO)
    with pytest.raises(NotObserved, match="the section PENDING is there twice"):
        only(conf("cpu: host", "[pending]", "[PENDING]"))


@pytest.mark.parametrize("end", ["\x0b", "\x85", "\u2028"])
def test_only_a_newline_ends_a_line(end: str) -> None:
    assert gives(only(conf("cpu: host", f"#a note{end}args: -cpu kvm64"))) == (YES, YES)
