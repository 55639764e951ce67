"""Each option of each module that a load inserts is held against the type of its parameter."""

import re
from dataclasses import replace

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.load_outcome import LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.module_options import accepts
from tests.support.next_loads import CONF, DIRECTORY, Host, conf

EVERY = f"""\
filename:       {DIRECTORY}/irqbypass.ko
depends:
filename:       /lib/modules/6.1.0/kernel/drivers/crypto/ccp/ccp.ko
depends:
parm:           nqueues:Number of queues (uint)
filename:       {DIRECTORY}/kvm.ko
depends:        irqbypass
parm:           ignore_msrs:bool
parm:           nx_huge_pages:bool
parm:           ignore_msrs: (bool)
parm:           nx_huge_pages: (bool)
filename:       {DIRECTORY}/kvm-amd.ko
depends:        kvm,ccp
parm:           nested: (int)
parm:           nrips: (int)
parm:           npt: (bool)
parm:           dump_invalid_vmcb: (bool)
"""
REFUSED = {
    "options kvm_amd nested=1 nrips=Y": "nrips=Y of kvm_amd is not an integer",
    "options kvm_amd npt=maybe nested=1": "npt=maybe of kvm_amd is not a boolean",
    "options kvm ignore_msrs=maybe": "ignore_msrs=maybe of kvm is not a boolean",
    "options ccp nqueues=-1": "nqueues=-1 of ccp is not an integer",
}
ACCEPTED = (
    "options kvm_amd nested=1 nrips=1 npt=Y",
    "options kvm nested=maybe",
    "options kvm nx_huge_pages=force",
    "options kvm_amd nested=1 # on",
)


def asked_with_every(line: str) -> NextLoad:
    host = Host(files=conf(f"{line}\n"), every=EVERY)
    of_ccp = host.configuration().options_for("ccp").text
    kvm, amd = (host.configuration().options_for(each).text for each in ("kvm", "kvm_amd"))
    ccp = f"insmod /lib/modules/6.1.0/kernel/drivers/crypto/ccp/ccp.ko {of_ccp} \n"
    oracle = f"{ccp}insmod {DIRECTORY}/kvm.ko {kvm} \ninsmod {DIRECTORY}/kvm-amd.ko {amd} \n"
    return replace(host, modinfo="nested: (int)\nnrips: (int)\nnpt: (bool)\n", oracle=oracle).next_load()


@pytest.mark.parametrize(("line", "reason"), REFUSED.items())
def test_any_option_that_a_module_refuses_fails_the_load(line: str, reason: str) -> None:
    load = asked_with_every(line)
    assert (load.outcome, load.reason, load.origin[0].source) == (LoadOutcome.FAILS, reason, f"{CONF}:1")


@pytest.mark.parametrize("line", ACCEPTED)
def test_an_option_that_a_module_accepts_or_ignores_leaves_no_doubt(line: str) -> None:
    load = asked_with_every(line)
    assert (load.outcome, load.doubt) == (LoadOutcome.ON, "")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("options kvm ignore_msrs=maybe", "ignore_msrs=maybe"),
        ("options kvm_amd nested=1 nrips=Y", "nrips=Y"),
    ],
)
def test_an_option_of_unknown_type_leaves_a_doubt(line: str, word: str) -> None:
    load = Host(files=conf(f"{line}\n"), modinfo=None).next_load()
    assert load.outcome is LoadOutcome.ON
    assert word in load.doubt


@pytest.mark.parametrize(
    ("modinfo", "every"),
    [
        ("nested: (int)\nnri", None),
        ("nested: (int)\nnpt: (bo", None),
        ("nested: (int)\nnrips: (bool)\n", EVERY),
    ],
)
def test_an_answer_that_was_cut_or_is_contradicted_leaves_a_doubt(modinfo: str, every: str | None) -> None:
    load = Host(files=conf("options kvm_amd nested=1 nrips=Y\n"), modinfo=modinfo, every=every).next_load()
    assert load.outcome is LoadOutcome.ON
    assert "nrips=Y" in load.doubt


def test_the_types_of_either_answer_count() -> None:
    load = Host(files=conf("options kvm_amd nested=1 nrips=Y\n"), modinfo="nested: (int)\n", every=EVERY).next_load()
    assert load.outcome is LoadOutcome.FAILS


def test_an_option_on_the_command_line_fails_the_load_as_well() -> None:
    load = Host(cmdline="kvm.ignore_msrs=maybe", every=EVERY).next_load()
    assert (load.outcome, load.origin[0].source) == (LoadOutcome.FAILS, "/proc/cmdline")


def test_a_module_that_is_not_required_leaves_a_doubt_only() -> None:
    oracle = f"insmod {DIRECTORY}/extra.ko size=x \ninsmod {DIRECTORY}/kvm-amd.ko \n"
    every = f"{EVERY}filename:       {DIRECTORY}/extra.ko\nparm:           size: (int)\n"
    load = Host(oracle=oracle, every=every).next_load()
    assert (load.outcome, load.doubt) == (LoadOutcome.ON, "size=x of extra is not an integer")


@pytest.mark.parametrize("line", ["options kvm_amd nested=0", "options kvm_amd nested=1"])
def test_a_line_that_kmods_answer_ignores_decides_nothing(line: str) -> None:
    load = Host(files=conf(f"{line}\n"), oracle=f"insmod {DIRECTORY}/kvm-amd.ko \n").next_load()
    assert load.outcome is LoadOutcome.UNKNOWN
    assert load.reason == f"modprobe --show-depends kvm_amd ignores {CONF}:1: {line}"


AMDS = "options kvm_amd nested="


@pytest.mark.parametrize("line", [f"{AMDS}1", f"{AMDS}0", f"{AMDS}y", *REFUSED, *ACCEPTED])
def test_the_list_of_every_module_answers_for_the_modules_own(line: str) -> None:
    host = Host(files=conf(f"{line}\n"), every=EVERY, modinfo="nested: (int)\nnrips: (int)\nnpt: (bool)\n")
    assert replace(host, is_asked_alone=False).next_load() == host.next_load()


@pytest.mark.parametrize("line", [f"{AMDS}1", f"{AMDS}0", f"{AMDS}y", *REFUSED, *ACCEPTED])
def test_a_list_names_the_type_of_a_parameter_without_description_as_kmod_does(line: str) -> None:
    """Kmod 30 prints `nested:int` in the list, and `nested: (int)` where it is asked for parameters."""
    every = re.sub(r": \((\w+)\)$", r":\1", EVERY, flags=re.MULTILINE)
    assert "parm:           nested:int\n" in every
    host = Host(files=conf(f"{line}\n"), every=EVERY, modinfo="nested: (int)\nnrips: (int)\nnpt: (bool)\n")
    assert replace(host, every=every, is_asked_alone=False).next_load() == host.next_load()


def test_a_list_of_every_module_without_the_parameter_says_so() -> None:
    every = EVERY.replace("parm:           nested: (int)\n", "")
    load = Host(files=conf(f"{AMDS}1\n"), every=every, is_asked_alone=False).next_load()
    assert (load.outcome, load.reason) == (LoadOutcome.UNKNOWN, "kvm_amd has no parameter nested")
    assert load.origin[0].source == "modinfo of every module"


@pytest.mark.parametrize("every", [None, "", f"filename:       {DIRECTORY}/kvm.ko\nparm:           nested: (int)\n"])
def test_without_either_list_nothing_is_known(every: str | None) -> None:
    with pytest.raises(NotObserved):
        Host(files=conf(f"{AMDS}1\n"), every=every, is_asked_alone=False).next_load()


@pytest.mark.parametrize(
    ("kind", "value", "accepted"),
    [
        ("bool", "Y", True), ("bool", None, True), ("bool", "2", False), ("invbool", "n", True), ("bint", "x", False),
        ("int", "-1", True), ("int", "y", False), ("int", None, False), ("int", "2147483648", False),
        ("uint", "-1", False), ("uint", "-0", False), ("uint", "4294967295", True), ("uint", "4294967296", False),
        ("ulong", "0xffffffffffffffff", True), ("ullong", "01777777777777777777777", True),
        ("byte", "255", True), ("byte", "256", False), ("short", "-32768", True), ("ushort", "65536", False),
        ("charp", "x", True), ("charp", None, False), ("charp", "x" * 1025, False),
        ("string", "x", None), ("array of int", "1", None), ("", "1", None),
    ],
)  # fmt: skip
def test_a_value_is_checked_against_the_type(kind: str, value: str | None, *, accepted: bool | None) -> None:
    assert accepts(kind, value, KernelRelease.parse("6.1.0")) is accepted
