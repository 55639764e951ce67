"""What kmod does for a user who may not read everything, and what it says of modules."""

import os

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.parameter import parameter_types
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.kmod import Kmod
from tests.integration.kmod.configurations import Case, Entry
from tests.integration.kmod.module_tree import ModuleTree

pytestmark = pytest.mark.needs("kmod")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ModuleTree:
    return ModuleTree(tmp_path_factory.mktemp("kmod") / "root")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_that_may_not_be_read_is_passed_over_and_still_hides_others(tree: ModuleTree) -> None:
    content = Entry("file", b"options kvm_amd nested=0\n")
    case = Case({"etc": {"a.conf": content}, "lib": {"a.conf": content}}, b"\n")
    case.write(tree.cases / "0")
    (tree.cases / "0/etc/a.conf").chmod(0)
    (tree.root / "case").symlink_to("/cases/0")
    answer = tree.ask("/sbin/modprobe --show-depends kvm_amd", "--userspec=65534:65534").stdout.decode()
    assert answer == f"insmod {tree.module_path('kvm-amd')} \n"
    denied = Reading("/etc/modprobe.d/a.conf", Status.UNREADABLE)
    configuration = ModprobeConfiguration.parse(case.readings() | {denied.source: denied}, "", Kmod(30))
    assert configuration.options_for("kvm_amd").text == ""
    assert configuration.unreadable == (denied.source,)


def test_modinfo_tells_the_types(tree: ModuleTree) -> None:
    for module, kind in (("kvm_amd", "int"), ("kvm-intel", "bool")):
        answer = tree.ask(f"/sbin/modinfo --parameters {module}").stdout.decode()
        assert parameter_types(answer) == {"nested": kind}
