"""Which account may use /dev/kvm after udev handles it again, and whether the next boot loads the module."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.facts.kvm.device_rule import device_rule_of
from nested_kvm.facts.modprobe.boot_load import boot_load_of
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.kmod import ALL_DIRECTORIES
from nested_kvm.facts.modprobe.load_outcome import LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.nested_lines import NestedLines, nested_lines_of
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence
from tests.support.bundles import bundle_of, ok

UDEV = "/usr/lib/udev/rules.d/50-udev-default.rules"
RULE = f'{UDEV}:KERNEL=="kvm", GROUP="kvm", MODE="0660", OPTIONS+="static_node=kvm"'
OF_GROUP = "/etc/group:kvm:x:106:qemu\n"
MODULE = "filename: /lib/modules/6.1.0/kernel/arch/x86/kvm/kvm-intel.ko\n"
ALIAS = "alias: cpu:type:x86,ven*fam*mod*:feature:*0085*\n"
NO_LINES = NestedLines("", "", (), (), ())
UNKNOWN_LINES = NestedLines("a file that kmod reads could not be read", "", (), (), ())
NEXT = NextLoad("kvm_intel", LoadOutcome.ON)


def device(*, mode: str = "crw-rw----", owner: int = 0, group: int = 106, has_acl: bool = False) -> KvmDevice:
    return KvmDevice("crw", mode, owner, group, (10, 232), has_acl=has_acl)


@pytest.mark.parametrize(
    ("lines", "found", "lost"),
    [
        (OF_GROUP + RULE, device(), None),
        (OF_GROUP + RULE, device(group=0), None),
        (OF_GROUP + RULE, device(group=1001), "its group (1001)"),
        (RULE, device(group=1001), None),
        (OF_GROUP + RULE, device(owner=1000), "its owner (1000)"),
        (OF_GROUP + RULE, device(owner=1000, group=1001), "its owner (1000) and its group (1001)"),
        (OF_GROUP + RULE, device(mode="crw-rw-rw-"), "other accounts"),
        (OF_GROUP + RULE, device(group=1001, has_acl=True), None),
        (f'{UDEV}:KERNEL=="kvm", GROUP="106"', device(group=1001), "its group (1001)"),
        (f'{UDEV}:KERNEL=="kvm", GROUP="106"', device(mode="crw-rw-rw-"), "other accounts"),
        (f'{OF_GROUP}{UDEV}:KERNEL=="kvm", GROUP="kvm", MODE="0666"', device(owner=1, group=1001), None),
        (f'{OF_GROUP}{UDEV}:KERNEL=="kvm", OWNER="1000", MODE="0600"', device(owner=1000, mode="crw-------"), None),
        (f'{OF_GROUP}{UDEV}:KERNEL=="kvm", OWNER="me", MODE="0600"', device(owner=1000, mode="crw-------"), None),
        (f'{OF_GROUP}{UDEV}:KERNEL=="kvm", MODE="0600"', device(), "its group (106)"),
        (f'{UDEV}:KERNEL=="kvm", ENV{{x}}=="y", MODE="0600"', device(), None),
        ("", device(group=1001), None),
    ],
)
def test_who_loses_access_is_named(lines: str, found: KvmDevice, lost: str | None) -> None:
    assert device_rule_of(bundle_of(ok(sources.UDEV_RULES, lines))).takes_from(found) == lost


@pytest.mark.parametrize(
    ("rules", "modules", "cmdline", "loads"),
    [
        (RULE, MODULE + ALIAS, "", Answer.YES),
        (RULE, MODULE, "", Answer.NO),
        ("", MODULE + ALIAS, "", Answer.UNKNOWN),
        ("/etc/modules:kvm-intel\n", MODULE, "", Answer.YES),
        ("/etc/modules-load.d/kvm.conf:kvm_intel\n", MODULE, "", Answer.YES),
        ("/usr/lib/modules-load.d/kvm.conf: kvm_intel\n", MODULE, "", Answer.YES),
        ("/etc/modules-load.d/kvm.conf:kvm_amd\n" + RULE, MODULE, "", Answer.NO),
        ("/etc/modules-load.d/kvm.conf:#kvm_intel\n" + RULE, MODULE, "", Answer.NO),
        ("/etc/modules-load.d/kvm.conf:kvm_intel nested=0\n" + RULE, MODULE, "", Answer.NO),
        ("/etc/modules-load.d/kvm:kvm_intel\n" + RULE, MODULE, "", Answer.NO),
        ("/etc/modules-load.d/kvm.conf~:kvm_intel\n" + RULE, MODULE, "", Answer.NO),
        (RULE, MODULE, "quiet modules-load=loop,kvm-intel", Answer.YES),
        (RULE, MODULE, "quiet rd.modules_load=kvm_intel", Answer.YES),
        (RULE, MODULE, "quiet xmodules-load=kvm_intel", Answer.NO),
        (RULE, "", "", Answer.UNKNOWN),
    ],
)
def test_what_loads_the_module_at_boot_decides(rules: str, modules: str, cmdline: str, loads: Answer) -> None:
    bundle = bundle_of(ok(sources.UDEV_RULES, rules), ok(sources.EVERY_MODULE, modules), ok(sources.CMDLINE, cmdline))
    assert boot_load_of(bundle, NEXT, NO_LINES).loads is loads


@pytest.mark.parametrize(
    ("rules", "loads"), [("", Answer.NO), (f"{RULE}\n", Answer.NO), ("/etc/modules:kvm_intel\n", Answer.UNKNOWN)]
)
def test_a_line_that_forbids_it_counts_unless_another_names_it(rules: str, loads: Answer) -> None:
    bundle = bundle_of(ok(sources.UDEV_RULES, rules))
    blocked = NestedLines("", "", (), (), (Evidence("/etc/modprobe.d/a.conf:1", "blacklist kvm_intel"),))
    found = boot_load_of(bundle, NEXT, blocked)
    assert (found.loads, found.blocked_by) == (loads, blocked.blocking)


@pytest.mark.parametrize(
    ("line", "loads"),
    [
        ("alias cpu:type:x86,* off", Answer.UNKNOWN),
        ("alias cpu:* kvm", Answer.UNKNOWN),
        ("alias x86cpu:vendor:*:feature:*0085* off", Answer.UNKNOWN),
        ("alias cpu:type:x86,*feature:*0085* off", Answer.UNKNOWN),
        ("alias * off", Answer.UNKNOWN),
        ("alias [a-c]* off", Answer.UNKNOWN),
        ("alias char-major-10-232 off", Answer.UNKNOWN),
        ("alias char-major-10-232 kvm", Answer.YES),
        ("alias char-major-10-232 kvm-intel", Answer.YES),
        ("alias char-major-10-* kvm", Answer.UNKNOWN),
        ("alias cpu:* kvm-intel", Answer.YES),
        ("alias net-pf-10 off", Answer.YES),
        ("alias *-pf-10 off", Answer.YES),
        ("#alias cpu:* off", Answer.YES),
    ],
)
def test_an_alias_line_may_lead_udev_to_another_module(line: str, loads: Answer) -> None:
    lines = nested_lines_of(ModprobeConfiguration.parse(*one_file(line)), NEXT, bundle_of(ok(sources.CMDLINE, "")))
    bundle = bundle_of(ok(sources.UDEV_RULES, RULE), ok(sources.EVERY_MODULE, MODULE + ALIAS))
    found = boot_load_of(bundle, NEXT, lines)
    assert (found.loads, bool(lines.redirecting)) == (loads, loads is Answer.UNKNOWN)


def one_file(line: str) -> tuple[dict[str, Reading], str]:
    readings = {path: Reading(path, Status.ABSENT) for path in ALL_DIRECTORIES}
    folder = ok("/etc/modprobe.d", "a.conf")
    return {**readings, folder.source: folder, "/etc/modprobe.d/a.conf": ok("/etc/modprobe.d/a.conf", line)}, ""


def test_what_is_not_read_forbids_nothing_and_permits_nothing() -> None:
    bundle = bundle_of(ok(sources.UDEV_RULES, RULE), ok(sources.EVERY_MODULE, MODULE + ALIAS))
    assert boot_load_of(bundle, NEXT, UNKNOWN_LINES).loads is Answer.UNKNOWN
    assert boot_load_of(bundle_of(), NEXT, NO_LINES).loads is Answer.UNKNOWN


@given(rules=st.text(max_size=200), modules=st.text(max_size=200), cmdline=st.text(max_size=200))
def test_any_text_is_taken(rules: str, modules: str, cmdline: str) -> None:
    bundle = bundle_of(ok(sources.UDEV_RULES, rules), ok(sources.EVERY_MODULE, modules), ok(sources.CMDLINE, cmdline))
    found = boot_load_of(bundle, NEXT, NO_LINES)
    assert found.reason
    assert found.loads is not Answer.YES, "no text but a rule or a line that names the module loads it"
