"""Hosts of a group, compared: by majority, without comparing each with each."""

from dataclasses import replace

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle, Failure
from nested_kvm.fleet.host_group import HostGroup, host_groups
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from tests.support.bundles import bundle_of, ok

INSERTED = "insmod /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-amd.ko "


def host(name: str, parameters: str = "nested=1\nnpt=Y", options: str = "nested=1") -> Machine:
    bundle = bundle_of(
        ok("/proc/sys/kernel/osrelease", "6.1.0"),
        ok("/proc/cmdline", "ro quiet"),
        ok("/sys/module/kvm_amd", "initstate=live"),
        ok("/sys/module/kvm_amd/parameters", parameters),
        ok("modprobe --version", "kmod version 30"),
        ok("modprobe --show-depends kvm_amd", f"{INSERTED}{options} "),
        ok("modinfo --parameters kvm_amd", "nested: (int)\nnpt: (bool)"),
        *(ok(f"{root}/modprobe.d", "") for root in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")),
        uname="x86_64",
        cpuinfo="processor: 0\nvendor_id: AuthenticAMD\nflags: svm",
        modules="kvm\nkvm_amd",
    )
    return Machine(named(bundle, name))


def named(bundle: Bundle, name: str) -> Bundle:
    return replace(bundle, target=replace(bundle.target, name=name, group="amd"))


def unreachable(name: str) -> Machine:
    return Machine(
        replace(named(host(name).bundle, name), failure=Failure("ConnectionFailed", "no route"), readings={})
    )


def differing(*machines: Machine) -> dict[str, list[str]]:
    group = HostGroup("amd", machines)
    names = [machine.target.name for machine in machines]
    return {name: [each.source for each in group.comparison(name).differences] for name in names}


def test_hosts_that_agree_have_no_difference() -> None:
    assert differing(host("a"), host("b", "nested=Y\nnpt=1")) == {"a": [], "b": []}


def test_the_one_that_differs_from_most_is_named() -> None:
    assert differing(host("a"), host("b"), host("c", "nested=0\nnpt=Y")) == {"a": [], "b": [], "c": ["nested"]}


def test_without_a_majority_each_of_them_is() -> None:
    assert differing(host("a"), host("b", "nested=1\nnpt=N")) == {"a": ["kvm_amd npt"], "b": ["kvm_amd npt"]}


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ("nested=Y", False),
        ("nested=1 npt=1", False),
        ("nested=0 nested=1", True),
        ("npt=0 nested=1 npt=1", False),
        ("", True),
    ],
)
def test_what_the_next_load_is_given_counts(options: str, *, same: bool) -> None:
    assert (differing(host("a"), host("b", options=options))["a"] == []) is same


def test_the_same_options_in_another_order_and_writing_agree() -> None:
    found = differing(host("a", options="nested=1 npt=Y avic=0"), host("b", options="avic=N npt nested=1"))
    assert found == {"a": [], "b": []}


def test_a_parameter_that_one_kernel_does_not_have_is_no_difference() -> None:
    assert differing(host("a"), host("b", "nested=1\nnpt=Y\nvls=1")) == {"a": [], "b": []}


def test_one_that_could_not_be_looked_at_leaves_the_others_open() -> None:
    group = HostGroup("amd", [host("a"), unreachable("b")], absent=["c"])
    seen = group.comparison("a")
    assert (seen.differences, seen.unseen) == ((), ("b: no route", "c: not part of this run"))
    with pytest.raises(NotObserved, match="no route"):
        group.comparison("b")


def test_of_very_many_hosts_few_are_named() -> None:
    machines = [host(f"h{number:03}", "nested=1\nnpt=N" if number % 2 else "nested=1\nnpt=Y") for number in range(100)]
    machines += [unreachable(f"u{number}") for number in range(10)]
    seen = HostGroup("amd", machines).comparison("h000")
    assert [each.text for each in seen.differences] == ["1 (h000), 0 (h001, h003, h005 and 47 others)"]
    assert seen.unseen == ("u0, u1, u2 and 7 others: no route",)


def test_groups_know_their_hosts_of_the_whole_inventory() -> None:
    elsewhere = [
        Target(name, level, Address.parse(name), Policy(), group="amd")
        for name, level in (("b", TargetLevel.L0), ("vm", TargetLevel.L1))
    ]
    auto = named(host("turned-out-a-guest").bundle, "turned-out-a-guest")
    guest = Machine(replace(auto, target=replace(auto.target, level=TargetLevel.L1)))
    declared = [host("a").target, replace(auto.target, level=TargetLevel.AUTO), *elsewhere]
    groups = host_groups([host("a"), guest], declared)
    assert list(groups) == ["amd"]
    assert groups["amd"].comparison("a").unseen == ("b: not part of this run",)
    assert HostGroup("amd", [host("a")]).comparison("a").others == 0
