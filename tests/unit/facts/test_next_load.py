from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import EVERY_MODULE
from nested_kvm.facts.kernel.cmdline import refused_modules
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.kmod import ALL_DIRECTORIES, Kmod
from nested_kvm.facts.modprobe.load_outcome import Authority, LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.module_options import accepts
from nested_kvm.facts.modprobe.next_load import next_load_of
from nested_kvm.facts.modprobe.show_depends import ShowDepends
from tests.support.bundles import bundle_of, ok

CONF = "/etc/modprobe.d/kvm.conf"
DIRECTORY = "/lib/modules/6.1.0/kernel/arch/x86/kvm"
AMD, INTEL = "nested: (int)\n", "nested: (bool)\n"


@dataclass(frozen=True)
class Host:
    """What was read of a host; the oracle answers as kmod would unless it is given."""

    module: str = "kvm_amd"
    files: Mapping[str, str | Status] = field(default_factory=dict)
    cmdline: str = "quiet\n"
    release: str = "6.1.0-56-cloud-amd64"
    modinfo: str | None = AMD
    oracle: str | None = None
    status: Status = Status.OK
    every: str | None = None

    def configuration(self) -> ModprobeConfiguration:
        readings = {path: Reading(path, Status.ABSENT) for path in ALL_DIRECTORIES}
        names = "\n".join(path.rpartition("/")[2] for path in self.files)
        readings["/etc/modprobe.d"] = Reading("/etc/modprobe.d", Status.OK, names)
        for path, content in self.files.items():
            status = content if isinstance(content, Status) else Status.OK
            readings[path] = Reading(path, status, content if status is Status.OK else "")
        return ModprobeConfiguration.parse(readings, self.cmdline, Kmod(30))

    def next_load(self) -> NextLoad:
        options = self.configuration().options_for(self.module).text
        path = f"{DIRECTORY}/{self.module.replace('_', '-')}.ko"
        of_kvm = self.configuration().options_for("kvm").text
        answer = (
            f"insmod {DIRECTORY}/kvm.ko {of_kvm} \ninsmod {path} {options} \n" if self.oracle is None else self.oracle
        )
        source = f"modinfo --parameters {self.module}"
        bundle = bundle_of(
            Reading(f"modprobe --show-depends {self.module}", self.status, answer),
            Reading(source, Status.MISSING) if self.modinfo is None else Reading(source, Status.OK, self.modinfo),
            Reading("/proc/cmdline", Status.OK, self.cmdline),
            Reading("/proc/sys/kernel/osrelease", Status.OK, self.release),
        )
        if self.every is not None:
            bundle = replace(bundle, readings={**bundle.readings, EVERY_MODULE: ok(EVERY_MODULE, self.every)})
        return next_load_of(bundle, self.module, self.configuration())


def conf(text: str) -> dict[str, str | Status]:
    return {CONF: text}


@pytest.mark.parametrize(
    ("host", "outcome", "authority", "source"),
    [
        (Host(files=conf("options kvm_amd nested=1\n")), LoadOutcome.ON, Authority.FILE, f"{CONF}:1"),
        (Host(files=conf("#x\noptions kvm-amd nested=0\n")), LoadOutcome.OFF, Authority.FILE, f"{CONF}:2"),
        (Host(files=conf("options kvm_amd nested=y\n")), LoadOutcome.FAILS, Authority.FILE, f"{CONF}:1"),
        (
            Host(files=conf("options kvm_amd nested=y\noptions kvm_amd nested=1\n")),
            LoadOutcome.FAILS, Authority.FILE, f"{CONF}:1",
        ),
        (
            Host("kvm_intel", conf("options kvm_intel nested=y\n"), modinfo=INTEL),
            LoadOutcome.ON, Authority.FILE, f"{CONF}:1",
        ),
        (
            Host(files=conf("options kvm_amd nested=1\n"), cmdline="kvm-amd.nested=0"),
            LoadOutcome.OFF, Authority.COMMAND_LINE, "/proc/cmdline",
        ),
        (Host(files=conf("options kvm_amd nested=1\\")), LoadOutcome.FAILS, Authority.FILE, f"{CONF}:1"),
        (Host(files=conf("options kvm_amd nested=1\r\n")), LoadOutcome.ON, Authority.FILE, f"{CONF}:1"),
        (Host(), LoadOutcome.ON, Authority.DEFAULT, "kernel default"),
        (Host("kvm_intel", modinfo=INTEL), LoadOutcome.ON, Authority.DEFAULT, "kernel default"),
        (
            Host("kvm_intel", modinfo=INTEL, release="4.19.0-27-amd64"),
            LoadOutcome.OFF, Authority.DEFAULT, "kernel default",
        ),
        (
            Host("kvm_intel", modinfo=INTEL, release="4.18.0-553.el8_10.x86_64"),
            LoadOutcome.UNKNOWN, Authority.DEFAULT, "kernel default",
        ),
        (Host(files=conf("options kvm_amd nested=1\n"), modinfo=None), LoadOutcome.ON, Authority.FILE, f"{CONF}:1"),
        (
            Host(files=conf("options kvm_amd nested=y\n"), modinfo=None),
            LoadOutcome.UNKNOWN, Authority.FILE, f"{CONF}:1",
        ),
        (
            Host(oracle=f"insmod {DIRECTORY}/kvm-amd.ko.xz nested=0 \n"),
            LoadOutcome.OFF, Authority.UNTRACED, "modprobe --show-depends kvm_amd",
        ),
        (Host(oracle="builtin kvm_amd\n"), LoadOutcome.ON, Authority.DEFAULT, "kernel default"),
        (
            Host(oracle="builtin kvm_amd\n", cmdline="kvm-amd.nested=0", files=conf("options kvm_amd nested=1\n")),
            LoadOutcome.OFF, Authority.COMMAND_LINE, "/proc/cmdline",
        ),
        (
            Host(oracle="builtin kvm_amd\n", cmdline="kvm-amd.nested=0 kvm_amd.nested=y"),
            LoadOutcome.OFF, Authority.COMMAND_LINE, "/proc/cmdline",
        ),
        (
            Host(oracle="builtin kvm_amd\n", cmdline="quiet -- kvm-amd.nested=0"),
            LoadOutcome.ON, Authority.DEFAULT, "kernel default",
        ),
    ],
)  # fmt: skip
def test_the_value_and_who_says_it(host: Host, outcome: LoadOutcome, authority: Authority, source: str) -> None:
    load = host.next_load()
    assert (load.outcome, load.authority, load.origin[0].source) == (outcome, authority, source)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (Host(status=Status.MISSING), "kmod is not installed"),
        (Host(status=Status.FAILED, oracle="modprobe: FATAL: Module kvm_amd not found"), "does not find the module"),
        (Host(status=Status.TIMED_OUT), "did not answer"),
        (Host(files={CONF: Status.UNREADABLE}), f"may not read: {CONF}"),
        (Host(modinfo="npt: (bool)\n"), "has no parameter nested"),
        (Host(oracle="", files=conf("alias kvm_amd off\n")), "an alias redirects it"),
        (Host(oracle=""), "does not name it"),
        (Host("kvm_intel", modinfo=INTEL, release=""), "default of kvm_intel"),
    ],
)
def test_what_cannot_be_told_says_why(host: Host, reason: str) -> None:
    load = host.next_load()
    assert load.outcome is LoadOutcome.UNKNOWN
    assert load.nested is None
    assert reason in load.reason


@pytest.mark.parametrize(
    ("oracle", "is_blocked"),
    [
        ("install /bin/false \n", True),
        ("install /sbin/modprobe --ignore-install kvm_amd nested=1 \n", False),
        (f"install /bin/false \ninsmod {DIRECTORY}/kvm-amd.ko nested=1 \n", True),
    ],
)
def test_an_install_command_takes_the_place_of_a_load(oracle: str, *, is_blocked: bool) -> None:
    load = Host(oracle=oracle, files=conf("install kvm_amd /bin/false\n")).next_load()
    assert load.outcome is LoadOutcome.COMMAND
    assert load.is_blocked is is_blocked


@pytest.mark.parametrize(
    ("host", "is_explicit"),
    [
        (Host(files=conf("options kvm_amd nested=1\n")), True),
        (Host(), False),
        (Host(cmdline="kvm_amd.nested=1"), False),
        (Host(cmdline="kvm_amd.nested=1", oracle="builtin kvm_amd\n"), True),
        (Host(oracle=f"insmod {DIRECTORY}/kvm-amd.ko.xz nested=1 \n"), None),
    ],
)
def test_who_says_it_explicitly(host: Host, *, is_explicit: bool | None) -> None:
    assert host.next_load().is_explicit is is_explicit


def test_the_lines_that_lose_are_named() -> None:
    host = Host(files=conf("options kvm_amd nested=1\noptions kvm_amd nested=0\n"), cmdline="kvm_amd.nested=1")
    assert [each.source for each in host.next_load().overridden] == [f"{CONF}:1", f"{CONF}:2"]


def test_the_kernel_refuses_modules_by_their_own_name() -> None:
    assert refused_modules("module_blacklist=x module_blacklist=kvm_amd,kvm-intel") == {"kvm_amd", "kvm-intel"}
    assert refused_modules("quiet -- module_blacklist=kvm_amd") == frozenset()


def test_the_answer_of_modprobe_is_read_by_the_modules_name() -> None:
    text = "insmod /lib/kvm.ko.zst ignore_msrs=1 \ninsmod /lib/kvm-amd.ko.zst nested=1 \ninsmod /lib/x.ko \nnoise\n"
    assert ShowDepends.parse("kvm-amd", text) == ShowDepends("kvm_amd", "nested=1")


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
